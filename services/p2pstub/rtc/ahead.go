package rtc

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
)

// maxAhead is how many checks of a peer wait for their candidates: some from each address
// of a machine that has many. More are dropped, as UDP may; ICE repeats them.
const maxAhead = 32

// ahead keeps the other side's checks until ICE has the candidate that they come from.
//
//	requester                             handler
//	    │◄───────────────────────── check ──┤  waits: nobody knows who sends it
//	    │◄─────────────────── description ──┤  waits: the description names the address
//	    ├── check ─────────────────────────►│  is taken: ICE has the candidate, and uses it
//
// pion takes the candidates of a description and checks from goroutines of its own, in
// any order. A check that it takes first makes a peer-reflexive candidate, with a pair of its
// own, beside the one that is named. All answers go to that, while the pair of the named
// one has the higher priority; so neither is nominated before ICE looks through all pairs
// again, up to 200 ms later. A check from an address that the description does not name
// is of a peer-reflexive candidate (RFC 8445, section 7.3.1.3), and waits no longer.
//
// It is guarded by the mutex of the mux.
type ahead struct {
	described bool
	named     []netip.AddrPort
	checks    []waiting
}

// waiting is a check that waits.
type waiting struct {
	conn *muxConn
	data []byte
	from netip.AddrPort
}

// describe takes the other side's description, before ICE does. An empty one is of a
// generation of ICE that has begun, and whose description is still to come.
func (t *tap) describe(sdp string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.ahead
	a.described, a.named = sdp != "", addressesIn(sdp)
	if a.described {
		a.admit(func(w waiting) bool { return !slices.Contains(a.named, w.from) })
	}
}

// waits keeps a check that came for a conn, when it is too early.
func (m *mux) waits(c *muxConn, check []byte, from netip.AddrPort) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := &c.tap.ahead
	if _, sent := c.session.remotes[from]; sent || a.described && !slices.Contains(a.named, from) {
		return false
	}
	if len(a.checks) < maxAhead {
		a.checks = append(a.checks, waiting{c, bytes.Clone(check), from})
	} else {
		m.meter.dropped.Add(1)
	}
	return true
}

// sentTo has ICE take the checks that came from where a connection now sends to.
func (a *ahead) sentTo(s *session, to netip.AddrPort) {
	a.admit(func(w waiting) bool { return w.conn.session == s && w.from == to })
}

// over forgets the checks of a connection that has ended.
func (a *ahead) over(s *session) {
	a.checks = slices.DeleteFunc(a.checks, func(w waiting) bool { return w.conn.session == s })
}

// admit hands over the checks that need not wait any longer.
func (a *ahead) admit(ready func(waiting) bool) {
	a.checks = slices.DeleteFunc(a.checks, func(w waiting) bool {
		ok := ready(w)
		if ok {
			w.conn.push([][]byte{w.data}, net.UDPAddrFromAddrPort(w.from))
		}
		return ok
	})
}
