package bus

import (
	"context"
	"errors"
	"io"
	"math"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// newPost makes a post of the stream. A few are made together, and share what they take
// until the last of them is settled.
func (s *stream) newPost(m *pb.Message) *post {
	if len(s.spare) == 0 {
		s.spare = make([]post, postsTogether)
	}
	p := &s.spare[0]
	s.spare = s.spare[1:]
	p.m, p.by, p.burst = m, s, &s.burst
	return p
}

const postsTogether = 8

// read takes requests, the first of which it is given, until the stream ends. It waits for nothing but the
// stream itself, and for room when the stream has overdrawn.
func (s *stream) read(ctx context.Context, req *codec.Request, recv func(any) error) error {
	req.Room = codec.OriginSize(s.origin.identity(), math.MaxUint64)
	for {
		for _, c := range req.Credits {
			s.credit(c)
		}
		if s.peer != "" {
			s.takeReplica(&req.AttachRequest)
		} else {
			s.takeRequest(req)
		}
		req.Clear() // it may be long until the next one
		if err := s.hold(ctx); err != nil {
			return err
		}
		if err := recv(req); err != nil {
			s.leaving(err)
			return err
		}
	}
}

func (s *stream) takeRequest(req *codec.Request) {
	for _, c := range req.Listeners {
		s.change(c)
	}
	if len(req.Posts)+len(req.Runs) == 0 {
		return
	}
	s.burst.begin()
	next := 0
	for i := range req.Runs {
		for ; next < req.Runs[i].Before; next++ {
			s.post(req.Posts[next], req.Encoded[next])
		}
		s.takeRun(req, &req.Runs[i])
	}
	for ; next < len(req.Posts); next++ {
		s.post(req.Posts[next], req.Encoded[next])
	}
	s.burst.end()
}

// leaving notes that the client has closed the stream of its own will: then its
// listeners do not come back. One that was cut off may.
func (s *stream) leaving(err error) {
	if errors.Is(err, io.EOF) {
		s.mu.Lock()
		s.left = true
		s.mu.Unlock()
	}
}

// returning tells whether the stream has ended, and its listeners may come back.
func (s *stream) returning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed && !s.left &&
		(s.away && !isStub(s.comp) || s.origin != nil && s.comp == pb.Component_COMPONENT_APPLICATION)
}

func (s *stream) credit(c *pb.Credit) {
	s.mu.Lock()
	settled := &s.dealt
	var verdicts []verdict
	switch in := s.inboxes[c.GetListener()]; {
	case in == nil, in.number != c.GetQueue():
	case in.number != 0 && c.GetRefused().GetCode() >= int32(fault.BadRequest):
		verdicts = in.refuse(c.GetBytes(), refuse(reasonRemote, fault.Code(c.GetRefused().GetCode()), "%s", c.GetRefused().GetDescription()))
	default:
		in.credit(c.GetBytes(), settled)
	}
	s.mu.Unlock()
	s.bus.finishAll(settled.posts)
	s.bus.finishParts(settled.parts)
	settled.clear()
	s.bus.carryOut(verdicts)
}

// dealt is what a listener has dealt with.
type dealt struct {
	posts []*post
	parts []part
}

// keepSettled is how many places for settled posts a stream keeps.
const keepSettled = 1024

func (d *dealt) clear() {
	clear(d.posts)
	clear(d.parts)
	d.posts, d.parts = d.posts[:0], d.parts[:0]
	if cap(d.posts)+cap(d.parts) > keepSettled {
		*d = dealt{}
	}
}

func (s *stream) change(c *pb.ListenerChange) {
	var err error
	if c.GetRemove() {
		err = s.bus.removeListener(s, c.GetAddress(), c.GetLeadsTo())
	} else {
		err = s.bus.addListener(s, c)
	}
	if err != nil {
		s.metrics.refused(reasonOf(err))
	}
	out := outcomeOf(c.GetSequence(), err)
	s.charge(outcomeCost(out)) // it may have to wait for other replicas
	s.bus.mesh.confirm(func() {
		s.outcome(out, nil)
		s.charge(-outcomeCost(out))
	})
}

func (s *stream) post(in *pb.Post, encoded []byte) {
	p := s.newPost(in.GetMessage())
	p.encoded = encoded
	p.sequence, p.wait, p.ingress = in.GetSequence(), in.GetWait(), in.GetIngress()
	p.number, p.again = in.GetNumber(), in.GetAgain()
	if in.GetTimeout() != nil {
		d := in.GetTimeout().AsDuration()
		p.timeout = &d
	}
	if p.m != nil && p.ingress == nil && (len(p.m.Origin) > 0 || p.m.Number > 0) {
		p.m.Origin, p.m.Number, p.encoded = nil, 0, nil // the bus's to say
	}
	if s.origin == nil || p.ingress != nil || p.number == 0 {
		p.number = 0
		s.bus.post(p)
		return
	}
	s.origin.posting.Lock()
	defer s.origin.posting.Unlock()
	if s.origin.take(s, p) {
		s.bus.post(p)
	}
}
