package bus

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sync/atomic"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// routes are the known ways to addresses that nobody listens to here, up to a number of
// them; then one goes that was not used lately (the clock algorithm, as in cache). With
// many of them a look-up waits for memory and for little else: it takes the text that is
// asked for, one cache line here, and the destination, which many addresses share.
//
// It is a hash table of buckets with open addressing. A bucket that is full sends what
// comes on to the next one, and counts it (passed): where it has sent nothing on, nothing
// needs to be looked for behind it.
//
// get may run beside other gets; everything else needs the table for itself.
type routes struct {
	limit int
	count int
	seed  maphash.Seed
	parts [routeParts]routePart // by the hash; each grows by itself, which takes a moment
	hand  hand
	to    destinations
}

const (
	routeParts = 64
	bucketSize = 3 // fills a cache line
)

type routePart struct {
	buckets []bucket // a power of two, or none
	count   int
}

// bucket is 64 bytes, and begins a cache line.
type bucket struct {
	keys   [bucketSize]string
	routes [bucketSize]route
	tags   [bucketSize + 1]uint8 // of the hashes, 0 is empty; and passed
}

// passed is where the tags of a bucket have how many have been sent on. The highest number
// stays.
const passed = bucketSize

// route is the number of a destination, and marks, which gets may set side by side.
type route uint32

const (
	routeUsed   route = 1 << 31 // since the hand came by
	routeFresh  route = 1 << 30 // it has been asked for on the registry's stream that there is
	routeForP2P route = 1 << 29 // it was asked for with the wish for a P2P connection
	routePlaced route = 1 << 28 // the address has a place
	routeNumber       = routePlaced - 1
)

func (r *route) has(mark route) bool { return atomic.LoadUint32((*uint32)(r))&uint32(mark) != 0 }

// set tells whether it was the one to set a mark.
func (r *route) set(mark route) bool {
	return !r.has(mark) && atomic.OrUint32((*uint32)(r), uint32(mark))&uint32(mark) == 0
}

func (r *route) clear(mark route) { atomic.AndUint32((*uint32)(r), ^uint32(mark)) }

func (r *route) number() uint32 { return atomic.LoadUint32((*uint32)(r)) & uint32(routeNumber) }

// newRoutes makes a table; place gives what is known of an address.
func newRoutes(limit int, place func(address string) *place) *routes {
	return &routes{limit: min(limit, int(routeNumber)), seed: maphash.MakeSeed(), to: newDestinations(place)}
}

func (r *routes) len() int { return r.count }

// get gives the route to an address, which counts as used; nil when it is not known.
func (r *routes) get(to string) *route {
	rt := r.find(to)
	if rt != nil {
		rt.set(routeUsed)
	}
	return rt
}

// destination of a route.
func (r *routes) destination(rt *route) *destination { return r.to.all[rt.number()] }

func (r *routes) find(to string) *route {
	h := r.hash(to)
	p := &r.parts[h.part()]
	for n := range p.buckets {
		b := &p.buckets[p.home(h, n)]
		if i := b.find(h.tag(), to); i >= 0 {
			return &b.routes[i]
		}
		if b.tags[passed] == 0 {
			return nil
		}
	}
	return nil
}

// put makes told the route to an address, with marks. It counts as used: who asked for it
// is about to take it.
func (r *routes) put(to string, told *pb.Route, marks route) {
	number := r.to.hold(told)
	if r.to.find(to) != nil {
		marks |= routePlaced
	}
	if rt := r.find(to); rt != nil {
		r.to.release(rt.number())
		*rt = *rt&routeUsed | route(number) | marks
		return
	}
	if r.count >= r.limit {
		r.delete(r.victim())
	}
	h := r.hash(to)
	p := &r.parts[h.part()]
	if 4*(p.count+1) > 3*bucketSize*len(p.buckets) { // three quarters
		r.grow(p)
	}
	p.insert(h, to, route(number)|marks|routeUsed)
	r.count++
}

func (r *routes) delete(to string) {
	h := r.hash(to)
	p := &r.parts[h.part()]
	for n := range p.buckets {
		b := &p.buckets[p.home(h, n)]
		if i := b.find(h.tag(), to); i >= 0 {
			r.to.release(b.routes[i].number())
			b.keys[i], b.routes[i], b.tags[i] = "", 0, 0
			p.unpass(h, n)
			p.count--
			r.count--
			return
		}
		if b.tags[passed] == 0 {
			return
		}
	}
}

// placed notes that an address has a place from now on, or with nil none any more.
func (r *routes) placed(address string, pl *place) {
	r.to.placed(address, pl)
	switch rt := r.find(address); {
	case rt == nil:
	case pl != nil:
		rt.set(routePlaced)
	default:
		rt.clear(routePlaced)
	}
}

// age takes the mark from all that they are fresh.
func (r *routes) age() {
	for i := range r.parts {
		for b := range r.parts[i].buckets {
			for j := range bucketSize {
				r.parts[i].buckets[b].routes[j] &^= routeFresh
			}
		}
	}
}

// grow doubles a part.
func (r *routes) grow(p *routePart) {
	old := p.buckets
	p.buckets, p.count = make([]bucket, max(1, 2*len(old))), 0
	for i := range old {
		for j, key := range old[i].keys {
			if old[i].tags[j] != 0 {
				p.insert(r.hash(key), key, old[i].routes[j])
			}
		}
	}
}

// home is the bucket in which an address is, or the n-th one behind it.
func (p *routePart) home(h hashed, n int) int { return (int(uint32(h)) + n) & (len(p.buckets) - 1) }

// insert adds an address that is not there; there is room.
func (p *routePart) insert(h hashed, key string, rt route) {
	for n := 0; ; n++ {
		b := &p.buckets[p.home(h, n)]
		for i := range bucketSize {
			if b.tags[i] == 0 {
				b.keys[i], b.routes[i], b.tags[i] = key, rt, h.tag()
				p.count++
				return
			}
		}
		if b.tags[passed] < 255 {
			b.tags[passed]++
		}
	}
}

// unpass notes that one is gone which n buckets had sent on.
func (p *routePart) unpass(h hashed, n int) {
	for n--; n >= 0; n-- {
		if b := &p.buckets[p.home(h, n)]; b.tags[passed] < 255 {
			b.tags[passed]--
		}
	}
}

// find compares all tags at once: to try one after the other is a branch that the
// processor guesses wrong, and then it has to wait for memory again.
func (b *bucket) find(tag uint8, key string) int {
	const ones = 0x010101
	differ := binary.LittleEndian.Uint32(b.tags[:]) ^ uint32(tag)*ones
	for same := (differ - ones) &^ differ & (0x80 * ones); same != 0; same &= same - 1 { // bytes that are 0, and rarely others
		if i := bits.TrailingZeros32(same) / 8; b.keys[i] == key {
			return i
		}
	}
	return -1
}

// hashed is the hash of an address.
type hashed uint64

func (r *routes) hash(to string) hashed { return hashed(maphash.String(r.seed, to)) }

func (h hashed) tag() uint8 { return uint8(h>>56) | 1 } // eight bits

func (h hashed) part() int { return int(h>>48) % routeParts } // small

// hand of the clock.
type hand struct{ part, bucket, slot int }

// victim goes on from where it stopped to the first route that was not used since it
// last came by. There is one, after two rounds at the most.
func (r *routes) victim() string {
	for {
		p := &r.parts[r.hand.part]
		if r.hand.bucket >= len(p.buckets) {
			r.hand = hand{part: (r.hand.part + 1) % routeParts}
			continue
		}
		b, i := &p.buckets[r.hand.bucket], r.hand.slot
		if r.hand.slot++; r.hand.slot == bucketSize {
			r.hand = hand{part: r.hand.part, bucket: r.hand.bucket + 1}
		}
		switch {
		case b.tags[i] == 0:
		case b.routes[i]&routeUsed != 0:
			b.routes[i] &^= routeUsed
		default:
			return b.keys[i]
		}
	}
}
