package rtc

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
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
	// under way on a fast link.
	maxBursts = 32
	// thick is how soon after another one a datagram waits for those behind it. A
	// request and its answer are further apart, and leave at once.
	thick = 100 * time.Microsecond
)

// outbox sends the datagrams of a mux. Those of a connection that follow each other
// closely wait for a goroutine, which sends what has come together in one call.
type outbox struct {
	socket *net.UDPConn
	began  time.Time

	mu      sync.Mutex
	more    sync.Cond // there is something to send
	room    sync.Cond
	waiting []*burst
	sending bool
	closed  bool
	cuts    bool // the system cuts
}

// burst is what leaves in one call: datagrams of one length to one address, the last of
// which may be shorter.
type burst struct {
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

// send sends a datagram, or keeps a copy of it for the goroutine. last is when the
// connection has sent one before, in nanoseconds.
func (o *outbox) send(b []byte, to netip.AddrPort, last *atomic.Int64) (int, error) {
	now := int64(time.Since(o.began))
	follows := now-last.Swap(now) < int64(thick)
	if !o.keep(b, to, follows) {
		return o.socket.WriteToUDPAddrPort(b, to)
	}
	return len(b), nil
}

// keep tells whether the goroutine sends it.
func (o *outbox) keep(b []byte, to netip.AddrPort, follows bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.waiting) >= maxBursts && !o.closed {
		o.room.Wait()
	}
	if o.closed || !o.cuts || !follows && !o.sending && len(o.waiting) == 0 {
		return false
	}
	if n := len(o.waiting); n > 0 && o.waiting[n-1].takes(b, to) {
		o.waiting[n-1].add(b)
		return true
	}
	one, _ := bursts.Get().(*burst)
	one.to, one.size, one.count, one.data = to, len(b), 0, one.data[:0]
	one.add(b)
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
	for {
		one := o.next()
		if one == nil {
			return
		}
		if err := one.write(o.socket, control); errors.Is(err, syscall.EIO) {
			o.cutsNot()
		}
		bursts.Put(one)
	}
}

// cutsNot notes that the system does not cut, as on a device without checksums.
func (o *outbox) cutsNot() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cuts = false
}

// next waits for a burst, and lets it grow while the other goroutines run; nil when the
// outbox is closed.
func (o *outbox) next() *burst {
	if !o.await() {
		return nil
	}
	runtime.Gosched()
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.waiting[0]
	o.waiting = append(o.waiting[:0], o.waiting[1:]...)
	o.room.Broadcast()
	return one
}

// await waits until there is one; false when the outbox is closed.
func (o *outbox) await() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sending = false
	for len(o.waiting) == 0 && !o.closed {
		o.more.Wait()
	}
	o.sending = true
	return !o.closed
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
