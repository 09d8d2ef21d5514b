package rtc

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxDatagram = 8 << 10 // bytes; pion reads no longer ones
	// maxChecks is how many STUN requests of ours may be unanswered in each of
	// two generations: the older ones are forgotten.
	maxChecks = 4096
	// maxRemotes is how many addresses a connection may have to do with. Its
	// candidates are some tens; more are someone who sends from ever new ones.
	maxRemotes = 256
)

// mux shares one socket between the connections of an Engine. It is an
// ice.UDPMux: a connection is known by its ICE user name fragment.
type mux struct {
	socket    *net.UDPConn
	addresses func(v6 bool) []netip.Addr
	log       *slog.Logger
	over      sync.WaitGroup
	meter     meter
	out       *outbox

	mu       sync.RWMutex
	closed   bool
	sequence uint64
	byUfrag  map[string]*session
	byRemote map[netip.AddrPort][]*session // whom its packets are for is last
	checks   map[transaction]check
	older    map[transaction]check // checks, a generation ago
}

// check is a STUN request of a connection that may be answered.
type check struct {
	session *session
	to      netip.AddrPort
}

// session is one connection on the mux. It has a conn for each address that
// was advertised, as pion wants; what comes in goes to the first.
type session struct {
	ufrag    string
	sequence uint64
	conns    []*muxConn
	remotes  map[netip.AddrPort]remote
	// nominated is where the last nominating check went to, until the other side is
	// heard from there.
	nominated netip.AddrPort
}

// remote is an address that a connection has sent to. It is proven by an answer
// to a check: whom a peer names as its candidate need not be the peer, and must
// not lose its packets by that.
type remote struct {
	addr   *net.UDPAddr
	proven bool
}

// began is what moments are counted from by the clock that is never set.
var began = time.Now()

func newMux(socket *net.UDPConn, addresses func(v6 bool) []netip.Addr, log *slog.Logger) *mux {
	m := &mux{
		socket: socket, addresses: addresses, log: log, out: newOutbox(socket),
		byUfrag: map[string]*session{}, byRemote: map[netip.AddrPort][]*session{},
		checks: map[transaction]check{}, older: map[transaction]check{},
	}
	m.over.Go(m.read)
	m.over.Go(m.out.run)
	return m
}

// GetListenAddresses are the addresses that are told to the other side. They
// are looked up for each connection, because interfaces come and go.
func (m *mux) GetListenAddresses() []net.Addr {
	local, ok := m.socket.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil
	}
	ips := m.addresses(m.v6())
	out := make([]net.Addr, 0, len(ips))
	for _, ip := range ips {
		out = append(out, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(local.Port)))) // a port
	}
	return out
}

// v6 tells whether the socket speaks IPv6 too.
func (m *mux) v6() bool {
	local, ok := m.socket.LocalAddr().(*net.UDPAddr)
	return ok && local.IP.To4() == nil
}

// tap is the mux as one peer has it, with what it counts over all generations of ICE,
// each of which has a user name of its own.
type tap struct {
	*mux
	tally
	gate  gate
	early early
	ahead ahead
}

// tally is what a mux counts of a peer.
type tally struct {
	records atomic.Uint64 // DTLS records that left
	checked atomic.Int64  // when the other side's last STUN message came, in nanoseconds since began
}

// GetConn is that of the mux.
func (t *tap) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	return t.conn(ufrag, addr, t)
}

// GetConn gives a connection's conn for one of the addresses.
func (m *mux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	t := &tap{mux: m, ahead: ahead{described: true}}
	t.gate.lift() // nobody else would
	return m.conn(ufrag, addr, t)
}

func (m *mux) conn(ufrag string, addr net.Addr, t *tap) (net.PacketConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, net.ErrClosed
	}
	s := m.byUfrag[ufrag]
	if s == nil {
		m.sequence++
		s = &session{ufrag: ufrag, sequence: m.sequence, remotes: map[netip.AddrPort]remote{}}
		m.byUfrag[ufrag] = s
	}
	c := newMuxConn(m, s, addr, t)
	s.conns = append(s.conns, c)
	t.gate.hold(c)
	return c, nil
}

// RemoveConnByUfrag ends a connection.
func (m *mux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.byUfrag[ufrag]
	if s == nil {
		return
	}
	delete(m.byUfrag, ufrag)
	for remote := range s.remotes {
		left := slices.DeleteFunc(m.byRemote[remote], func(o *session) bool { return o == s })
		if len(left) == 0 {
			delete(m.byRemote, remote)
		} else {
			m.byRemote[remote] = left
		}
	}
	for _, checks := range []map[transaction]check{m.checks, m.older} {
		for id, c := range checks {
			if c.session == s {
				delete(checks, id)
			}
		}
	}
	for _, c := range s.conns {
		c.tap.ahead.over(s)
		c.end()
	}
}

// Close ends all connections, and waits for the reader.
func (m *mux) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	sessions := m.byUfrag
	m.byUfrag = map[string]*session{}
	m.mu.Unlock()
	for _, s := range sessions {
		for _, c := range s.conns {
			c.end()
		}
	}
	m.out.close()
	err := m.socket.Close()
	m.over.Wait()
	return err
}

func (m *mux) read() {
	in := newInbox(m.socket)
	for {
		from, err := in.read()
		switch {
		case errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
			return
		case err != nil:
			// An ICMP answer to something that was sent, for instance.
			m.log.Debug("udp read", "error", err)
			continue
		}
		m.arrived(in.datagrams, from)
	}
}

// arrived hands over what came from an address. What is not STUN is for one
// connection, and handed over together.
func (m *mux) arrived(all [][]byte, from netip.AddrPort) {
	data := all[:0]
	for _, one := range all {
		if len(one) > maxDatagram {
			continue
		}
		m.meter.received.add(one)
		if !isSTUN(one) {
			data = append(data, one)
			continue
		}
		c, to := m.receiver(one, from)
		if !to.proven && !isRequest(one) {
			m.answered(one, from)
			c, to = m.receiver(one, from)
		}
		if c == nil || !to.proven && isRequest(one) && m.waits(c, one, from) {
			continue
		}
		if to.proven {
			c.tap.checked.Store(int64(time.Since(began)))
		}
		c.push([][]byte{one}, to.addr)
	}
	if len(data) == 0 {
		return
	}
	if c, to := m.receiver(data[0], from); c != nil {
		c.push(data, to.addr)
	}
}

// receiver finds the connection that a packet is for, and what it knows of the sender.
func (m *mux) receiver(b []byte, from netip.AddrPort) (*muxConn, remote) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.owner(b, from)
	if s == nil || len(s.conns) == 0 {
		return nil, remote{}
	}
	if r := s.remotes[from]; r.addr != nil {
		return s.first(from.Addr()), r
	}
	if len(s.remotes) >= maxRemotes {
		return nil, remote{}
	}
	return s.first(from.Addr()), remote{addr: net.UDPAddrFromAddrPort(from)}
}

func (m *mux) owner(b []byte, from netip.AddrPort) *session {
	if isSTUN(b) {
		if isRequest(b) {
			if ufrag, ok := usernameOf(b); ok {
				return m.byUfrag[ufrag]
			}
			return nil
		}
		return m.checkOf(b).session
	}
	if claims := m.byRemote[from]; len(claims) > 0 {
		return claims[len(claims)-1]
	}
	return nil
}

// checkOf gives the check that a STUN message answers, if any.
func (m *mux) checkOf(b []byte) check {
	id := transactionOf(b)
	if c, ok := m.checks[id]; ok {
		return c
	}
	return m.older[id]
}

// answered notes that a check was answered by whom it was sent to.
func (m *mux) answered(b []byte, from netip.AddrPort) {
	if !isSTUN(b) || isRequest(b) {
		return
	}
	m.mu.RLock()
	c := m.checkOf(b)
	news := c.to == from && !c.session.remotes[from].proven
	m.mu.RUnlock()
	if !news {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := c.session.remotes[from]; ok {
		c.session.remotes[from] = remote{r.addr, true}
		m.rank(from)
	}
}

// rank puts whom an address's packets are for last: the newest of those that
// have proven it, else the newest.
func (m *mux) rank(addr netip.AddrPort) {
	slices.SortFunc(m.byRemote[addr], func(a, b *session) int {
		if proven := a.remotes[addr].proven; proven != b.remotes[addr].proven {
			if proven {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.sequence, b.sequence)
	})
}

// first is the conn of an address family that takes what comes in.
func (s *session) first(from netip.Addr) *muxConn {
	for _, c := range s.conns {
		if c.v4 == from.Is4() {
			return c
		}
	}
	return s.conns[0]
}

// sent notes where a connection sends to, and its STUN requests.
func (m *mux) sent(t *tap, s *session, b []byte, to netip.AddrPort) {
	request := isSTUN(b) && isRequest(b)
	if !request && m.knows(s, to) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byUfrag[s.ufrag] != s {
		return
	}
	if s.remotes[to].addr == nil {
		s.remotes[to] = remote{addr: net.UDPAddrFromAddrPort(to)}
		m.byRemote[to] = append(m.byRemote[to], s)
		m.rank(to)
		t.ahead.sentTo(s, to)
	}
	if request {
		if len(m.checks) >= maxChecks {
			m.older, m.checks = m.checks, map[transaction]check{}
		}
		m.checks[transactionOf(b)] = check{s, to}
		if nominates(b) {
			s.nominated = to
		}
	}
}

// knows tells whether a connection has sent to an address before.
func (m *mux) knows(s *session, to netip.AddrPort) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return s.remotes[to].addr != nil
}

// interfaceIPs are the addresses of this machine that another can use; those of
// the loopback only when there is no other.
func interfaceIPs(v6 bool) ([]netip.Addr, error) {
	const most = 8 // each costs a candidate of every connection
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out, loopback []netip.Addr
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := prefix.Addr().Unmap()
		switch {
		case ip.IsLoopback() && ip.Is4():
			loopback = append(loopback, ip)
		case !ip.IsGlobalUnicast() || ip.Is6() && !v6:
		case len(out) < most:
			out = append(out, ip)
		}
	}
	if len(out) == 0 {
		return loopback, nil
	}
	return out, nil
}
