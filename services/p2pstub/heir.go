package p2pstub

import (
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/status"
)

// A connection that is worn is replaced without a pause: another one, its heir, is
// set up beside it, on another socket of the requester.
//
//	requester's side                      handler's side
//	 Deploy(replace): heir                  │
//	 ├─ create, data.replaces = <object> ──►│ heir, which says nothing
//	 │◄══════════ data channel ════════════►│
//	 │ live: current                        │ live: current; what led over the old
//	 │                                      │ one leads over it, without a word
//	 │ the registry subscribes an address of it, and takes that of the old one out
//	 │ the old one leads nowhere, the heir has been heard of: it is emptied, and ends
//	 ├─ delete <old object> ───────────────►│ the old one ends
//
// A peer that has been succeeded says nothing more of itself: for the registry the
// connection with the remote runtime is live all the time. A handler's heir says
// nothing either where it follows another one of the same handler; where it follows
// a requester's, it publishes its states, as its stub is another. If the old one
// ends before its heir is live, that becomes an ordinary set-up, and is published
// as one.
//
// An invitation that does not say that it replaces a connection, of whose path heartbeats
// tell, makes a newcomer, beside that one and its heir: anyone may send one in another
// runtime's name, but only that runtime gets the answer, without which no channel opens. When
// it is live it is what the registry knows of a peer that has restarted: the old connection
// has ended, and this one has come (ADR 0039).

// place is where a peer stands with its remote runtime; there is one peer in each.
type place int

const (
	inOffice   place = iota // it is the connection
	asHeir                  // it is to take over without a word
	asNewcomer              // it takes over if it is live some time
)

// places is how many there are.
const places = 3

// room is the peers that have a place, by remote runtime.
func (s *Stub) room(at place) map[string]*peer {
	switch at {
	case asHeir:
		return s.heirs
	case asNewcomer:
		return s.newcomers
	default:
		return s.peers
	}
}

func standingIn(room map[string]*peer, remote string) standing {
	if p := room[remote]; p != nil {
		return p.now
	}
	return standing{}
}

// replaceable gives the peer that another may be set up beside; nil if there is
// none. The mutex is held.
func (s *Stub) replaceable(remote string) *peer {
	p := s.peers[remote]
	if p == nil || p.now.state != status.Live && p.now.state != status.Disconnected {
		return nil
	}
	return p
}

// succession is what becomes of a peer in whose place another has come.
type succession struct {
	old  *peer // nil: there is none
	ends bool  // it has to end before anything is said of the other
}

// succeed puts an heir or a newcomer that is live in the place of the one before, and tells
// which states of it have to be published: those that the registry cannot know. The mutex
// is held.
func (s *Stub) succeed(p *peer) (by succession, say []status.State) {
	old, anew := s.peers[p.remote], p.place == asNewcomer
	delete(s.room(p.place), p.remote)
	s.peers[p.remote] = p
	p.place = inOffice
	if old != nil && !anew {
		old.successor = p
		if p.role == handler {
			s.moveLeads(old, p)
		}
	}
	switch {
	case anew:
		say = []status.State{status.Created, status.InProgress, status.Live}
	case !p.muted:
		say = []status.State{status.Live}
	case old == nil:
		say = []status.State{status.Created, status.InProgress, status.Live}
	case old.now.state != status.Live:
		say = []status.State{status.Live}
	}
	p.muted = false
	return succession{old, old != nil && anew}, say
}

// moveLeads has what leads over one peer lead over another. The mutex is held.
func (s *Stub) moveLeads(from, to *peer) {
	for _, l := range s.minibus {
		if l.peer.Load() == from {
			l.peer.Store(to)
		}
	}
	to.info.Listeners, from.info.Listeners = append(to.info.Listeners, from.info.Listeners...), nil
}

// lingering is how often a peer that has been succeeded looks whether it can end.
const lingering = 20 * time.Millisecond

// canEnd tells whether nothing needs a peer any more that has been succeeded. The
// side that has replaced it ends it, with a moment for the registry of the other
// one, which waits for that.
func (p *peer) canEnd(since time.Duration) bool {
	p.stub.mu.Lock()
	heir, leads := p.successor, len(p.info.Listeners)
	p.stub.mu.Unlock()
	limit := p.stub.limits.Linger
	if heir.role == handler {
		return since >= 2*limit
	}
	u := heir.pulse.Load()
	return since >= limit || since >= limit/10 && leads == 0 && u != nil && u.heardAny.Load() && p.drained()
}

// drained tells whether nothing waits for a peer's channel. One that has been
// succeeded while it was set up has none.
func (p *peer) drained() bool {
	c := p.out.Load()
	return c == nil || c.empty()
}

// latest is the peer that stands for this one by now. The mutex is held.
func (p *peer) latest() *peer {
	for p.successor != nil {
		p = p.successor
	}
	return p
}

// seen are the peers of a snapshot: the current ones, and the heirs that the
// registry has deployed. Newcomers are muted. The mutex is held.
func (s *Stub) seen() []*pb.Peer {
	var out []*pb.Peer
	for at := range place(places) {
		for _, p := range s.room(at) {
			if p.now.state != status.None && !p.muted {
				out = append(out, p.info)
			}
		}
	}
	return out
}
