package rtc

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxQueued is how many packets may wait for a connection's reader: what it
// falls behind in the time of a garbage collection on a fast link. More are
// dropped, as UDP may.
const maxQueued = 1024

// datagrams recycles the packets that wait.
var datagrams = sync.Pool{New: func() any { b := make([]byte, 0, 1500); return &b }}

type datagram struct {
	data *[]byte
	from *net.UDPAddr
}

// muxConn is the net.PacketConn that pion has of a connection.
type muxConn struct {
	mux     *mux
	session *session
	local   net.Addr
	v4      bool
	tap     *tap
	sender  sender // of DTLS records

	mu     sync.Mutex
	more   sync.Cond
	queue  []datagram // from head on
	head   int
	held   []datagram // until the gate is open
	shut   bool       // the gate
	closed bool
}

func newMuxConn(m *mux, s *session, local net.Addr, t *tap) *muxConn {
	c := &muxConn{mux: m, session: s, local: local, tap: t}
	if u, ok := local.(*net.UDPAddr); ok {
		c.v4 = u.IP.To4() != nil
	}
	c.more.L = &c.mu
	return c
}

// push hands over packets of one address; it never waits.
func (c *muxConn) push(all [][]byte, from *net.UDPAddr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	for i, b := range all {
		to, most := &c.queue, maxQueued+c.head
		if c.shut && isDTLS(b) {
			to, most = &c.held, maxHeld
		}
		if len(*to) >= most {
			c.mux.meter.dropped.Add(uint64(len(all) - i))
			break
		}
		data, _ := datagrams.Get().(*[]byte)
		*data = append((*data)[:0], b...)
		*to = append(*to, datagram{data, from})
	}
	c.more.Signal()
}

func (c *muxConn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.head == len(c.queue) {
		if c.closed {
			return 0, nil, net.ErrClosed
		}
		c.more.Wait()
	}
	d := c.queue[c.head]
	c.queue[c.head] = datagram{}
	if c.head++; c.head == len(c.queue) {
		c.queue, c.head = c.emptied(), 0
	}
	n := copy(b, *d.data)
	datagrams.Put(d.data)
	return n, d.from, nil
}

// emptied is the queue for what comes: the same, unless it has grown long.
func (c *muxConn) emptied() []datagram {
	const keep = 64
	if cap(c.queue) > keep {
		return nil
	}
	return c.queue[:0]
}

func (c *muxConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("not a UDP address")
	}
	to := u.AddrPort()
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	c.mux.sent(c.tap, c.session, b, to)
	c.mux.meter.sent.add(b)
	if !isDTLS(b) {
		return c.mux.socket.WriteToUDPAddrPort(b, to)
	}
	c.tap.records.Add(1) // pion writes one a datagram, but for the handshake
	return c.mux.out.send(b, to, &c.sender)
}

func (c *muxConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, d := range c.queue[c.head:] {
		datagrams.Put(d.data)
	}
	for _, d := range c.held {
		datagrams.Put(d.data)
	}
	c.queue, c.head, c.held = nil, 0, nil
	c.more.Broadcast()
}

// Close ends this conn; the session goes with RemoveConnByUfrag.
func (c *muxConn) Close() error {
	c.end()
	return nil
}

func (c *muxConn) LocalAddr() net.Addr              { return c.local }
func (c *muxConn) SetDeadline(time.Time) error      { return nil }
func (c *muxConn) SetReadDeadline(time.Time) error  { return nil }
func (c *muxConn) SetWriteDeadline(time.Time) error { return nil }
