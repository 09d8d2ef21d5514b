package p2pstub

import (
	"context"
	"sync/atomic"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// The mini bus: which p2p connection URL leads over which peer (wire contract,
// section 9, step 3). The registry has made each a listener on the bus that
// leads to the stub; here it gets a queue of its own, so that a slow peer holds
// up no other.

type lead struct {
	peer     atomic.Pointer[peer] // changes without a pause
	listener *client.Listener
}

func (l *lead) deliver(ctx context.Context, c codec.Carried) { l.peer.Load().deliver(ctx, c) }

// subscribeBody is what the registry sends. resource, an addition of ours, names
// the remote runtime to a handler, which has many.
type subscribeBody struct {
	Subscribe   []string `json:"subscribe"`
	Unsubscribe []string `json:"unsubscribe"`
	Resource    string   `json:"resource"`
}

// subscribe adds p2p connection URLs to the mini bus, or takes them out.
func (s *Stub) subscribe(ctx context.Context, stubURL string, m *pb.Message) error {
	var body subscribeBody
	if err := message.UnmarshalBody(m, &body); err != nil {
		return err
	}
	if m.Type == message.Unsubscribe {
		for _, url := range body.Unsubscribe {
			s.unlead(ctx, url, nil)
		}
		return nil
	}
	if len(body.Subscribe) == 0 {
		return fault.New(fault.BadRequest, "subscribe names no address")
	}
	p := s.peerFor(stubURL, body.Resource)
	if p == nil {
		return fault.New(fault.NotFound, "%s has no live connection for %s", stubURL, body.Subscribe[0])
	}
	for _, url := range body.Subscribe {
		if err := s.lead(ctx, url, p); err != nil {
			return err
		}
		s.log.Debug("mini bus listener", "address", url, "stub", stubURL)
	}
	return nil
}

// peerFor finds the live peer of a stub: by the remote runtime if that is named,
// else the one that has waited longest for an address.
func (s *Stub) peerFor(stubURL, remote string) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if remote != "" {
		if p := s.peers[runtimeKey(remote)]; p != nil && p.url == stubURL && p.live() {
			return p
		}
		return nil
	}
	var first *peer
	for _, p := range s.peers {
		if p.url == stubURL && p.live() && len(p.info.Listeners) == 0 && (first == nil || p.liveSince.Before(first.liveSince)) {
			first = p
		}
	}
	return first
}

// lead makes an address lead over a peer, also if it led over another before.
func (s *Stub) lead(ctx context.Context, url string, p *peer) error {
	if s.redirect(url, p) {
		return nil
	}
	one := &lead{}
	one.peer.Store(p)
	l, err := s.bus.ListenCarried(ctx, url, one.deliver, client.Led())
	if err != nil {
		return err
	}
	one.listener = l
	if !s.leads(url, one) {
		_ = l.Close(ctx) // the bus is not told of it
		return errClosed
	}
	one.peer.Load().listening(url, true)
	return nil
}

// redirect has an address that leads over a peer lead over another. It tells
// whether there was one.
func (s *Stub) redirect(url string, p *peer) bool {
	s.mu.Lock()
	l := s.minibus[url]
	p = p.latest()
	if l == nil || p.isOver() {
		s.mu.Unlock()
		return false
	}
	old := l.peer.Swap(p)
	s.mu.Unlock()
	if old != p {
		old.listening(url, false)
		p.listening(url, true)
	}
	return true
}

// leads notes where an address leads, unless that peer is over: then nothing would
// take it out again. Another one may have taken its place meanwhile.
func (s *Stub) leads(url string, l *lead) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := l.peer.Load().latest()
	if p.isOver() {
		return false
	}
	l.peer.Store(p)
	s.minibus[url] = l
	return true
}

// isOver tells whether a peer takes nothing any more.
func (p *peer) isOver() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// unlead takes an address out; with a peer, only if it leads over that one.
func (s *Stub) unlead(ctx context.Context, url string, of *peer) {
	s.mu.Lock()
	old := s.minibus[url]
	if old == nil || of != nil && old.peer.Load() != of {
		s.mu.Unlock()
		return
	}
	delete(s.minibus, url)
	s.mu.Unlock()
	_ = old.listener.Close(ctx) // the bus is not told of it
	old.peer.Load().listening(url, false)
}

// unleadAll takes out what leads over a peer.
func (s *Stub) unleadAll(ctx context.Context, p *peer) {
	s.mu.Lock()
	var urls []string
	for url, l := range s.minibus {
		if l.peer.Load() == p {
			urls = append(urls, url)
		}
	}
	s.mu.Unlock()
	for _, url := range urls {
		s.unlead(ctx, url, p)
	}
}

// stray takes what was led here under a name that leads nowhere any more.
func (s *Stub) stray(ctx context.Context, listener string, m *pb.Message) {
	s.metrics.drop(dropClosed)
	s.refuse(ctx, m, fault.New(fault.Unavailable, "the P2P connection %s is closed", listener))
}
