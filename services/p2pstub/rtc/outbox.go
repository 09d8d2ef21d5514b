package rtc

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of what waits to be sent.
const (
	// burstSize is how many bytes leave in one call at most: what fits into an IP packet,
	// as the system counts.
	burstSize = 60_000
	// burstCount is how many datagrams do: the least of what the versions of Linux allow.
	burstCount = 60
	// maxBursts may wait before who sends one more waits: more than an association has
	// under way on a fast link, and one of each of a hundred connections. They have 8 MB
	// at most, and those that are being sent as much.
	maxBursts = 128
	// thick is how soon after another one a datagram waits for those behind it. A
	// request and its answer are further apart, and leave at once.
	thick = 100 * time.Microsecond
)

// outbox sends the datagrams of a mux. Those of a connection that follow each other
// closely wait for a goroutine, which sends what has come together in one call. They hold up
// no other connection: what is alone leaves at once, whatever else waits.
type outbox struct {
	socket *net.UDPConn
	began  time.Time
	taken  []*burst // that the goroutine sends; it alone touches them

	mu      sync.Mutex
	more    sync.Cond // there is something to send
	room    sync.Cond
	waiting []*burst
	closed  bool
	cuts    bool // the system cuts
}

// sender is what an outbox knows of a connection.
type sender struct {
	last atomic.Int64 // when it has sent a datagram, in nanoseconds since the outbox began

	// The outbox's mutex guards them.
	kept  int    // bursts of its datagrams that have not left
	grows *burst // the last of those, if it still waits
}

// burst is what leaves in one call: datagrams of one length to one address, the last of
// which may be shorter.
type burst struct {
	from  *sender
	to    netip.AddrPort
	size  int // of each
	count int
	data  []byte
}

// bursts recycles those that have left, with their memory.
var bursts = sync.Pool{New: func() any { return &burst{} }}

func newOutbox(socket *net.UDPConn) *outbox {
	o := &outbox{socket: socket, began: time.Now(), cuts: cutsDatagrams(socket)}
	o.more.L, o.room.L = &o.mu, &o.mu
	return o
}

// send sends a datagram of a connection, or keeps a copy of it for the goroutine.
func (o *outbox) send(b []byte, to netip.AddrPort, from *sender) (int, error) {
	now := int64(time.Since(o.began))
	follows := now-from.last.Swap(now) < int64(thick)
	if !o.keep(b, to, from, follows) {
		return o.socket.WriteToUDPAddrPort(b, to)
	}
	return len(b), nil
}

// keep tells whether the goroutine sends it: what follows another one closely, and what
// would overtake one.
func (o *outbox) keep(b []byte, to netip.AddrPort, from *sender, follows bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.cuts || !follows && from.kept == 0 {
		return false
	}
	for len(o.waiting) >= maxBursts && !o.closed {
		o.room.Wait()
	}
	if o.closed {
		return false
	}
	if from.grows != nil && from.grows.takes(b, to) {
		from.grows.add(b)
		return true
	}
	one, _ := bursts.Get().(*burst)
	one.from, one.to, one.size, one.count, one.data = from, to, len(b), 0, one.data[:0]
	one.add(b)
	from.kept++
	from.grows = one
	o.waiting = append(o.waiting, one)
	o.more.Signal()
	return true
}

func (b *burst) takes(data []byte, to netip.AddrPort) bool {
	return b.to == to && len(b.data) == b.count*b.size && len(data) <= b.size &&
		b.count < burstCount && len(b.data)+len(data) <= burstSize
}

func (b *burst) add(data []byte) {
	b.data = append(b.data, data...)
	b.count++
}

// run sends what was kept, until the outbox is closed.
func (o *outbox) run() {
	control := make([]byte, controlSize)
	for o.await() {
		runtime.Gosched() // what waits grows while the others run: once, however much it is
		o.take()
		for _, one := range o.taken {
			if err := one.write(o.socket, control); errors.Is(err, syscall.EIO) {
				o.cutsNot()
			}
		}
	}
}

// cutsNot notes that the system does not cut, as on a device without checksums.
func (o *outbox) cutsNot() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cuts = false
}

// await lets go of what was sent, and waits until there is more; false when the outbox is
// closed.
func (o *outbox) await() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, one := range o.taken {
		one.from.kept--
		one.from = nil
		bursts.Put(one)
	}
	clear(o.taken)
	o.taken = o.taken[:0]
	for len(o.waiting) == 0 && !o.closed {
		o.more.Wait()
	}
	return !o.closed
}

// take takes what waits, but for the last one of several, which may grow.
func (o *outbox) take() {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := max(len(o.waiting)-1, min(len(o.waiting), 1))
	for _, one := range o.waiting[:n] {
		if one.from.grows == one {
			one.from.grows = nil
		}
	}
	o.taken = append(o.taken, o.waiting[:n]...)
	o.waiting = slices.Delete(o.waiting, 0, n)
	o.room.Broadcast()
}

// write sends a burst: in pieces where the system does not cut it, and says why. What it
// refuses then is lost, as on the way.
func (b *burst) write(socket *net.UDPConn, control []byte) (err error) {
	if b.count > 1 {
		if _, _, err = socket.WriteMsgUDPAddrPort(b.data, cutInto(control, b.size), b.to); err == nil {
			return nil
		}
	}
	for rest := b.data; len(rest) > 0; {
		n := min(b.size, len(rest))
		_, _ = socket.WriteToUDPAddrPort(rest[:n], b.to)
		rest = rest[n:]
	}
	return err
}

// close has run end; what waits is lost.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.more.Broadcast()
	o.room.Broadcast()
}
