package rtc

import (
	"net/netip"
	"sync/atomic"

	"github.com/pion/ice/v2"
	"github.com/pion/stun"
)

// early has ICE use a path before it is nominated, which saves a round trip of a set-up:
// pion's own nomination begins when a check was answered, and has ended when the
// nominating check was answered too.
//
//	requester (controlling)                      handler (controlled)
//	    ├── check ────────────────────────────────►│ in use: it was heard
//	    │◄──────────────────────── answer, check ──┤
//	    │ in use: it was nominated, and is heard   │
//	    │◄──────────────────────────── ClientHello ┤
//	    ├── nominating check, ServerHello ────────►│ in use, be it another one
//
// Both sides must do so, as one that is in use at the handler alone brings a ClientHello
// too early, and a requester that does not wait for its nomination to be answered does
// not repeat it either.
type early struct {
	on atomic.Bool

	// Owned by the ICE agent, which calls heard.
	generation string // the user name of the checks of those below
	pair       *ice.CandidatePair
}

// UseEarly has ICE use a path before it is nominated. It is for a peer that has said that
// it does so as well, and is called before its description is taken.
func (p *Peer) UseEarly() { p.tap.early.on.Store(true) }

// heard is called by ICE for each check that the other side has sent, once it has taken
// it. It tells whether the pair that it came by is to be used.
func (t *tap) heard(m *stun.Message, _, remote ice.Candidate, pair *ice.CandidatePair) bool {
	if !t.early.on.Load() || pair == nil {
		return false
	}
	if m.Contains(stun.AttrICEControlling) {
		return t.early.controlled(m, pair)
	}
	return t.nominated(m, remote)
}

// controlled uses the first path that was heard, until the other side nominates one, or
// one turns out that leads there too while the first does not.
func (e *early) controlled(m *stun.Message, pair *ice.CandidatePair) bool {
	name, err := m.Get(stun.AttrUsername)
	if err != nil {
		return false
	}
	if e.generation != string(name) {
		e.generation, e.pair = string(name), nil
	}
	switch {
	case e.pair == pair:
		return false
	case e.pair == nil, m.Contains(stun.AttrUseCandidate), e.pair.ResponsesReceived() == 0 && pair.ResponsesReceived() > 0:
		e.pair = pair
		return true
	default:
		return false
	}
}

// nominated tells whether a check came from where this side's nominating check went to.
// It is true once in a generation.
func (t *tap) nominated(m *stun.Message, from ice.Candidate) bool {
	ufrag, ok := usernameOf(m.Raw)
	if !ok {
		return false
	}
	addr, err := netip.ParseAddr(from.Address())
	if err != nil {
		return false
	}
	return t.takeNominated(ufrag, netip.AddrPortFrom(addr.Unmap(), uint16(from.Port()))) // a port
}

// takeNominated gives whether a connection has nominated an address, and forgets it then.
func (m *mux) takeNominated(ufrag string, addr netip.AddrPort) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.byUfrag[ufrag]
	if s == nil || s.nominated != addr {
		return false
	}
	s.nominated = netip.AddrPort{}
	return true
}
