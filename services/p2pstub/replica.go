package p2pstub

import (
	"context"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// Kind is what the replicas of p2pstub announce themselves as.
const Kind = "p2pstub"

// What a stub does where it is one of several replicas of a runtime.

// heed takes the number of a registry's term. One that is older than another that
// has been heard of is refused: its registry leads no more, and may not know yet.
func (s *Stub) heed(term uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if term < s.term && term != 0 {
		return fault.New(fault.Conflict, "another registry leads: its term is %d, this one's %d", s.term, term).In("term")
	}
	s.term = max(s.term, term)
	return nil
}

// Take gives a handler stub a message that came to the public address of the
// runtime's handler. What the message is answered with goes over the bus.
func (s *Server) Take(ctx context.Context, r *pb.P2PStubTakeRequest) (*pb.P2PStubTakeResponse, error) {
	if err := s.stub.heed(r.Term); err != nil {
		return nil, err
	}
	if err := message.Validate(r.Message); err != nil {
		return nil, err
	}
	d, err := s.stub.handlerAt(r.StubUrl)
	if err != nil {
		return nil, err
	}
	s.stub.message(ctx, d, r.Message)
	return &pb.P2PStubTakeResponse{}, nil
}

// handlerAt gives a handler stub that is deployed.
func (s *Stub) handlerAt(url string) (*deployed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.stubs[url]
	switch {
	case s.stopping:
		return nil, errStops
	case d == nil || d.role != handler:
		return nil, fault.New(fault.NotFound, "there is no handler stub %q here", url).In("stub_url")
	}
	return d, nil
}

// Leave closes all connections, so that another replica can set them up, while the
// registry still hears of it: it is told first. It is called once, before what serves
// the stub stops, and takes no longer than Limits.Stop.
func (s *Stub) Leave() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	close(s.leaving)
	s.closeAll()
	over := make(chan struct{})
	go func() { // ends with the peers, which Run waits for as well
		s.work.Wait()
		close(over)
	}()
	late := time.NewTimer(s.limits.Stop)
	defer late.Stop()
	select {
	case <-over:
	case <-late.C:
	}
}

// closeAll has all peers end, and refuses what waits.
func (s *Stub) closeAll() {
	s.mu.Lock()
	waited := s.dropQueue(nil, errStops)
	peers := make([]*peer, 0, len(s.all))
	for p := range s.all {
		peers = append(peers, p)
	}
	s.mu.Unlock()
	for _, p := range peers {
		p.tell(event{kind: closed, reason: "the P2P stub stops"})
	}
	s.reply(waited)
}
