package flow

import (
	"fmt"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// road is a direct path as it is: so many bytes leave in a second, one after the
// other, and come out a while later. Short messages and pieces of long ones take
// turns; what is behind a long one of its lane waits for it. The listeners deal
// with everything at once.
type road struct {
	t        *testing.T
	now      time.Time
	rate     int // bytes a second
	delay    time.Duration
	sender   *Sender
	receiver *Receiver

	short  []Transmission
	long   []*load
	piece  bool // the next to leave is a piece of a long one
	turn   int
	budget int // bytes that may leave now
	going  []arrival
	acks   []arrival
	lose   func(*parcel) bool
	halt   func(*parcel) bool // it finds a queue full, which is told a while later
	halted []arrival

	slowest map[string]time.Duration // from post to arrival, by address
	arrived map[string]int           // bytes, by address
	lost    map[*parcel]bool         // once
	doubled int                      // arrived again
	unkept  int                      // not taken, though it was new
	refused int
	widest  [kinds]int // windows
}

// parcel is a message on a road.
type parcel struct {
	address string
	size    int
	posted  time.Time
	arrived bool
}

// load is a long message that is leaving, and those behind it.
type load struct {
	Transmission
	left   int
	behind []Transmission
}

type arrival struct {
	Transmission
	ack *pb.FlowAck
	at  time.Time
}

func newRoad(t *testing.T, rate int, delay time.Duration) *road {
	r := &road{
		t: t, now: time.Unix(1_000_000, 0), rate: rate, delay: delay, lose: func(*parcel) bool { return false }, halt: func(*parcel) bool { return false },
		sender: NewSender(ID{1, 1}, Limits{}), receiver: NewReceiver(1, Limits{}),
		slowest: map[string]time.Duration{}, arrived: map[string]int{}, lost: map[*parcel]bool{},
	}
	r.sender.Announce(r.now)
	r.sender.SetPaths(r.now, Paths{Direct: true, Relay: true})
	return r
}

// post posts unless there is no room.
func (r *road) post(address string, size int) bool {
	p := &parcel{address: address, size: size, posted: r.now}
	return r.sender.Post(r.now, Item{Address: address, Size: size, Value: p})
}

// flood posts as much as there is room for.
func (r *road) flood(address string, size int) {
	for r.post(address, size) {
	}
}

// pass lets time pass; what is done in each millisecond comes first.
func (r *road) pass(d time.Duration, each func()) {
	for range d / time.Millisecond {
		each()
		r.now = r.now.Add(time.Millisecond)
		r.settle(r.sender.Tick(r.now))
		for t, ok := r.sender.Next(r.now); ok; t, ok = r.sender.Next(r.now) {
			r.enter(t)
		}
		r.leave()
		r.comeOut()
		for kind := range r.widest {
			r.widest[kind] = max(r.widest[kind], r.sender.windows[kind].size)
		}
	}
}

func (r *road) settle(all []Settled) {
	for _, s := range all {
		if s.Code != 0 {
			r.refused++
		}
	}
}

// enter puts a transmission on the road; one that goes both ways goes this one.
func (r *road) enter(t Transmission) {
	p, _ := t.Value.(*parcel)
	if p == nil {
		r.short = append(r.short, t)
		return
	}
	if r.lose(p) && !r.lost[p] {
		r.lost[p] = true
		return
	}
	if r.halt(p) {
		r.halted = append(r.halted, arrival{Transmission: t, at: r.now.Add(r.delay)})
		return
	}
	for _, l := range r.long {
		if l.Value.(*parcel).address == p.address {
			l.behind = append(l.behind, t)
			return
		}
	}
	if p.size > 16<<10 {
		r.long = append(r.long, &load{Transmission: t, left: p.size})
		return
	}
	r.short = append(r.short, t)
}

// leave has as much leave as the rate allows.
func (r *road) leave() {
	r.budget = min(r.budget, 0) + r.rate/1000
	for r.budget > 0 && len(r.short)+len(r.long) > 0 {
		if r.piece = !r.piece && len(r.long) > 0 || len(r.short) == 0; r.piece {
			r.leavePiece()
			continue
		}
		r.leavePacket()
	}
}

// leavePacket has as many short ones leave as fit in a packet.
func (r *road) leavePacket() {
	for room := 16 << 10; room > 0 && len(r.short) > 0; {
		t := r.short[0]
		n := 100
		if p, ok := t.Value.(*parcel); ok {
			n += p.size
		}
		r.short = r.short[1:]
		r.depart(t)
		r.budget -= n
		room -= n
	}
}

func (r *road) leavePiece() {
	r.turn %= len(r.long)
	l := r.long[r.turn]
	n := min(l.left, 16<<10)
	r.budget -= n
	if l.left -= n; l.left > 0 {
		r.turn++
		return
	}
	r.long = append(r.long[:r.turn:r.turn], r.long[r.turn+1:]...)
	r.depart(l.Transmission)
	for _, t := range l.behind {
		r.enter(t)
	}
}

func (r *road) depart(t Transmission) {
	r.going = append(r.going, arrival{Transmission: t, at: r.now.Add(r.delay)})
}

// comeOut takes in what has arrived, on both sides.
func (r *road) comeOut() {
	for len(r.going) > 0 && !r.going[0].at.After(r.now) {
		r.arrive(r.going[0].Transmission)
		r.going = r.going[1:]
	}
	for len(r.halted) > 0 && !r.halted[0].at.After(r.now) {
		r.settle(r.sender.Refused(r.now, r.halted[0].Sequence, 429, "full"))
		r.halted = r.halted[1:]
	}
	if at, ok := r.receiver.AckDue(); ok && !at.After(r.now) {
		a := r.receiver.Ack(r.now)
		a.Epoch, a.Id = 1, 1
		r.acks = append(r.acks, arrival{ack: a, at: r.now.Add(r.delay)})
	}
	for len(r.acks) > 0 && !r.acks[0].at.After(r.now) {
		r.settle(r.sender.Acked(r.now, r.acks[0].ack))
		r.acks = r.acks[1:]
	}
}

func (r *road) arrive(t Transmission) {
	p, _ := t.Value.(*parcel)
	if p == nil {
		r.receiver.Receive(r.now, t.Place, 0, nil)
		return
	}
	if p.arrived {
		r.doubled++
	} else {
		p.arrived = true
		r.arrived[p.address] += p.size
		r.slowest[p.address] = max(r.slowest[p.address], r.now.Sub(p.posted))
	}
	known := t.Sequence < r.receiver.expected || r.receiver.ahead.has(t.Sequence)
	turn, taken := r.receiver.Receive(r.now, t.Place, p.size, p)
	if !taken && !known {
		r.unkept++
	}
	for _, d := range turn {
		r.receiver.Dealt(r.now, d.Sequence, 0, "")
	}
}

// every calls f once in a while.
func (r *road) every(d time.Duration, f func()) func() {
	next := r.now
	return func() {
		if !r.now.Before(next) {
			next = next.Add(d)
			f()
		}
	}
}

const (
	slowRate = 50 << 10 // what SCTP makes of 100 ms and 2 % loss
	fastRate = 100 << 20
)

// Behind an address with megabytes waiting, of whatever size, another has its
// messages there within a bounded time on a slow path; the window stays small, and
// what the path takes is used.
func TestFair(t *testing.T) {
	for name, size := range map[string]int{"short": 1000, "packets": 16 << 10, "long": 256 << 10} {
		t.Run(name, func(t *testing.T) {
			r := newRoad(t, slowRate, 100*time.Millisecond)
			flood := func() { r.flood("flood", size) }
			r.pass(20*time.Second, flood)
			r.widest, r.arrived["flood"] = [kinds]int{}, 0
			poll := r.every(100*time.Millisecond, func() { r.post("other", 300) })
			r.pass(30*time.Second, func() { flood(); poll() })
			if slowest := r.slowest["other"]; slowest > 2*time.Second || r.arrived["other"] < 290*300 {
				t.Errorf("beside a flood %d bytes arrive, the slowest after %v", r.arrived["other"], slowest)
			}
			if n := r.arrived["flood"]; n < 30*slowRate*7/10 {
				t.Errorf("of the flood %d bytes arrive", n)
			}
			if size <= r.sender.limits.Short && r.widest[short] > 64<<10 {
				t.Errorf("the window for short messages is %d wide", r.widest[short])
			}
			r.inPeace()
		})
	}
}

// inPeace proves that nothing was sent again or given up.
func (r *road) inPeace() {
	r.t.Helper()
	if s := r.sender.Stats(); s.Again > 0 || r.doubled > 0 || r.refused > 0 {
		r.t.Errorf("%d were sent again, %d arrived twice, %d were given up", s.Again, r.doubled, r.refused)
	}
}

// Many addresses share a path evenly, whatever the sizes of their messages.
func TestShares(t *testing.T) {
	r := newRoad(t, slowRate, 100*time.Millisecond)
	sizes := map[string]int{"a": 300, "b": 1000, "c": 5000, "d": 16 << 10}
	r.pass(time.Minute, func() {
		for a, size := range sizes {
			r.flood(a, size)
		}
	})
	for a := range sizes {
		if n := r.arrived[a]; n < 15*slowRate*7/10 {
			t.Errorf("%s has %d bytes of %v", a, n, r.arrived)
		}
	}
	r.inPeace()
}

// On a fast path both windows get as wide as they may, and nothing is sent twice.
func TestFastPath(t *testing.T) {
	for size, kind := range map[int]int{8 << 10: short, 256 << 10: long, 4 << 20: long} {
		r := newRoad(t, fastRate, 20*time.Millisecond)
		r.pass(5*time.Second, func() { r.flood("a", size); r.flood("b", size) })
		if r.widest[kind] != r.sender.limits.UnderWay {
			t.Errorf("with messages of %d bytes the window is %d wide", size, r.widest[kind])
		}
		if n := r.arrived["a"] + r.arrived["b"]; n < 5*fastRate*4/10 {
			t.Errorf("with messages of %d bytes %d arrive in 5 s", size, n)
		}
		r.inPeace()
	}
}

// Long messages that are slow are not sent again, and not given up, while short
// ones overtake them.
func TestSlowIsNotLost(t *testing.T) {
	r := newRoad(t, slowRate, 100*time.Millisecond)
	r.post("a", 4<<20)
	poll := r.every(50*time.Millisecond, func() { r.post("b", 300) })
	big := r.every(time.Second, func() { r.post("c", 100<<10) })
	r.pass(150*time.Second, func() { poll(); big() })
	if r.arrived["a"] == 0 || r.slowest["b"] > 2*time.Second {
		t.Errorf("the longest arrives after %v, short ones after %v", r.slowest["a"], r.slowest["b"])
	}
	r.inPeace()
}

// Nor is the longest one when it is alone, and nothing arrives for a minute.
func TestSlowAndAlone(t *testing.T) {
	r := newRoad(t, slowRate, 100*time.Millisecond)
	r.post("a", 4<<20)
	r.pass(100*time.Second, func() {})
	if r.arrived["a"] == 0 {
		t.Error("the longest does not arrive")
	}
	r.inPeace()
}

// What is lost, and the last of its lane, is found beside the traffic of others;
// the rest goes on undisturbed.
func TestLostIsFound(t *testing.T) {
	for rate, within := range map[int]time.Duration{slowRate: 25 * time.Second, 5 << 20: 3 * time.Second} {
		for _, size := range []int{300, 100 << 10} {
			r := newRoad(t, rate, 100*time.Millisecond)
			r.lose = func(p *parcel) bool { return p.address == "lost" }
			flood := func() { r.flood("a", 1000); r.flood("b", 40<<10) }
			r.pass(20*time.Second, flood)
			r.post("lost", size)
			r.pass(within, flood)
			if r.arrived["lost"] == 0 || r.sender.Stats().Again != 1 || r.refused > 0 {
				t.Errorf("at %d B/s one of %d bytes has not come within %v, or %d were sent again", rate, size, within, r.sender.Stats().Again)
			}
			for kind := range r.sender.windows {
				if w := &r.sender.windows[kind]; w.size < w.limits.Least {
					t.Errorf("a window of %d is left", w.size)
				}
			}
		}
	}
}

// What a full queue refuses here and there goes again soon, with what the receiver had no
// room for behind it; nothing waits for a time-out.
func TestFullNowAndThen(t *testing.T) {
	for _, one := range []int{1, 5, 30, 100} {
		for _, c := range []struct {
			size      int
			addresses string
		}{{1000, "a"}, {1000, "abcdefghij"}, {30 << 10, "a"}} {
			t.Run(fmt.Sprintf("one of %d, %d bytes, to %s", one, c.size, c.addresses), func(t *testing.T) {
				testFullNowAndThen(t, one, c.size, c.addresses)
			})
		}
	}
}

func testFullNowAndThen(t *testing.T, one, size int, addresses string) {
	r := newRoad(t, fastRate, 20*time.Millisecond)
	flood := func() {
		for _, a := range addresses {
			r.flood(string(a), size)
		}
	}
	r.pass(500*time.Millisecond, flood)
	n, end := 0, r.now.Add(50*time.Millisecond)
	r.halt = func(*parcel) bool { n++; return r.now.Before(end) && n%one == 0 }
	quiet, longest := 0, 0
	r.pass(time.Second, func() {
		flood()
		quiet++
		if len(r.arrived) > 0 {
			quiet = 0
		}
		longest = max(longest, quiet)
		clear(r.arrived)
	})
	if longest > 250 || r.doubled != r.unkept || r.refused > 0 {
		t.Errorf("for %d ms nothing arrives; %d come twice, %d of them as they were not kept; %d are given up", longest, r.doubled, r.unkept, r.refused)
	}
	if r.sender.Stats().Again == 0 {
		t.Error("nothing goes again")
	}
}

// A long message that is refused does not go beside others on a slow path: each would have
// too little of it, and be taken for lost.
func TestFullWhenSlow(t *testing.T) {
	r := newRoad(t, 20<<10, 100*time.Millisecond)
	flood := func() { r.flood("a", 200<<10); r.flood("b", 200<<10); r.flood("c", 200<<10) }
	r.pass(20*time.Second, flood)
	once := false
	r.halt = func(*parcel) bool { was := once; once = true; return !was }
	r.pass(5*time.Minute, flood)
	if again := r.sender.Stats().Again; again != 1 || r.doubled > 0 || r.refused > 0 {
		t.Errorf("%d go again, %d come twice, %d are given up", again, r.doubled, r.refused)
	}
}
