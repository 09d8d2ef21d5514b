package gateway

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// fakeBus is what a gateway sees of a bus: listeners with windows and credit, and posts
// that come to them. What a listener has not given credit for when its stream ends
// comes to the next who listens.
type fakeBus struct {
	pb.UnimplementedMessageBusServer
	mu      sync.Mutex
	changed *sync.Cond
	streams []*fakeStream
	waiting map[string][]*pb.Message // by address, without a listener
	dealt   int                      // messages that credit was given for
	posted  []*pb.PostRequest        // unary ones
	posts   []*pb.Post               // of attachments
	late    bool
	answer  func(*pb.Message) (*pb.Message, error)
}

type fakeStream struct {
	pb.MessageBus_AttachServer
	listeners map[string]bool
	underWay  map[string][]*pb.Message
}

func newFakeBus() *fakeBus {
	b := &fakeBus{waiting: map[string][]*pb.Message{}, answer: func(*pb.Message) (*pb.Message, error) { return nil, nil }}
	b.changed = sync.NewCond(&b.mu)
	return b
}

func (b *fakeBus) Attach(call pb.MessageBus_AttachServer) error {
	s := &fakeStream{MessageBus_AttachServer: call, listeners: map[string]bool{}, underWay: map[string][]*pb.Message{}}
	b.mu.Lock()
	b.streams = append(b.streams, s)
	b.mu.Unlock()
	defer b.leave(s)
	for {
		req, err := call.Recv()
		if err != nil {
			return nil
		}
		if err := b.take(s, req); err != nil {
			return err
		}
	}
}

func (b *fakeBus) leave(s *fakeStream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams = slices.DeleteFunc(b.streams, func(o *fakeStream) bool { return o == s })
	for address, messages := range s.underWay {
		b.waiting[address] = slices.Concat(messages, b.waiting[address])
		b.routeLocked(address)
	}
	b.changed.Broadcast()
}

func (b *fakeBus) take(s *fakeStream, req *pb.AttachRequest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.changed.Broadcast()
	resp := &pb.AttachResponse{}
	if req.Hello != nil {
		resp.Welcome = &pb.Welcome{RuntimeUrl: runtimeURL}
	}
	for _, c := range req.Listeners {
		s.listeners[c.Address] = !c.Remove
		code := int32(200)
		if c.Address == "refused" {
			code = 403
		}
		resp.Outcomes = append(resp.Outcomes, &pb.Outcome{Sequence: c.Sequence, Code: code, Description: "as the test has it"})
	}
	for _, p := range req.Posts {
		b.posts = append(b.posts, p)
		resp.Outcomes = append(resp.Outcomes, b.outcomeLocked(p))
	}
	for _, c := range req.Credits {
		b.creditLocked(s, c)
	}
	if err := s.Send(resp); err != nil {
		return err
	}
	for _, c := range req.Listeners {
		b.routeLocked(c.Address)
	}
	return nil
}

func (b *fakeBus) outcomeLocked(p *pb.Post) *pb.Outcome {
	o := &pb.Outcome{Sequence: p.Sequence, Code: 200}
	response, err := b.answer(p.Message)
	if o.Response = response; err != nil {
		f := fault.From(err)
		o.Code, o.Description, o.Field = int32(f.Code), f.Description, f.Field
	}
	return o
}

func (b *fakeBus) creditLocked(s *fakeStream, c *pb.Credit) {
	left := int(c.Bytes)
	for q := s.underWay[c.Listener]; left > 0 && len(q) > 0; q = s.underWay[c.Listener] {
		left -= proto.Size(q[0])
		s.underWay[c.Listener] = q[1:]
		b.dealt++
	}
}

func (b *fakeBus) routeLocked(address string) {
	for _, s := range b.streams {
		if !s.listeners[address] {
			continue
		}
		for _, m := range b.waiting[address] {
			s.underWay[address] = append(s.underWay[address], m)
			_ = s.Send(&pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: address, Message: m}}})
		}
		delete(b.waiting, address)
		return
	}
}

// send makes messages {"n":first} to {"n":last} come for an address.
func (b *fakeBus) send(to string, first, last int) {
	for n := first; n <= last; n++ {
		b.deliver(&pb.Message{Id: fmt.Sprint(n), Type: "ping", From: alice, To: to, Body: fmt.Appendf(nil, `{"n":%d}`, n)})
	}
}

func (b *fakeBus) deliver(m *pb.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting[m.To] = append(b.waiting[m.To], m)
	b.routeLocked(m.To)
}

// until waits for something to be so.
func (b *fakeBus) until(so func() bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !so() {
		if b.late {
			panic("what the test waits for does not happen")
		}
		b.changed.Wait()
	}
}

// giveUp ends all waiting.
func (b *fakeBus) giveUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late = true
	b.changed.Broadcast()
}

func (b *fakeBus) untilDealt(n int)   { b.until(func() bool { return b.dealt >= n }) }
func (b *fakeBus) untilStreams(n int) { b.until(func() bool { return len(b.streams) == n }) }

// Post checks a message as a bus does.
func (b *fakeBus) Post(_ context.Context, req *pb.PostRequest) (*pb.PostResponse, error) {
	if req.Message.GetFrom() == "" {
		req.Message.From = runtimeURL
	}
	if err := message.Validate(req.Message); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.posted = append(b.posted, req)
	b.changed.Broadcast()
	response, err := b.answer(req.Message)
	return &pb.PostResponse{Response: response}, err
}

// lastPosted is the last unary post.
func (b *fakeBus) lastPosted() *pb.PostRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.posted) == 0 {
		return nil
	}
	return b.posted[len(b.posted)-1]
}

// fakeRegistry notes what it is asked.
type fakeRegistry struct {
	pb.UnimplementedRegistryServer
	mu      sync.Mutex
	asked   proto.Message
	lacks   string // a component that is not connected
	changes chan *pb.WatchConnectionsResponse
}

func newFakeRegistry() *fakeRegistry {
	return &fakeRegistry{changes: make(chan *pb.WatchConnectionsResponse)}
}

func (r *fakeRegistry) note(req proto.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = proto.Clone(req)
}

func (r *fakeRegistry) last() proto.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *fakeRegistry) Resolve(_ context.Context, req *pb.ResolveRequest) (*pb.ResolveResponse, error) {
	r.note(req)
	if req.Address == "" {
		return nil, fault.New(fault.BadRequest, "address is missing").In("address")
	}
	return &pb.ResolveResponse{Route: &pb.Route{To: req.Address, Next: "x", Reason: pb.RouteReason_ROUTE_REASON_SIGNALLING}}, nil
}

func (r *fakeRegistry) Register(_ context.Context, req *pb.RegisterRequest) (*pb.RegisterResponse, error) {
	r.note(req)
	return &pb.RegisterResponse{Registration: req.Registration}, nil
}

func (r *fakeRegistry) Unregister(_ context.Context, req *pb.UnregisterRequest) (*pb.UnregisterResponse, error) {
	r.note(req)
	return &pb.UnregisterResponse{}, nil
}

func (r *fakeRegistry) ListRegistrations(_ context.Context, req *pb.ListRegistrationsRequest) (*pb.ListRegistrationsResponse, error) {
	r.note(req)
	return &pb.ListRegistrationsResponse{}, nil
}

func (r *fakeRegistry) Connect(_ context.Context, req *pb.ConnectRequest) (*pb.ConnectResponse, error) {
	r.note(req)
	return &pb.ConnectResponse{Connection: &pb.Connection{Id: "c-1"}}, nil
}

func (r *fakeRegistry) Disconnect(_ context.Context, req *pb.DisconnectRequest) (*pb.DisconnectResponse, error) {
	r.note(req)
	return &pb.DisconnectResponse{}, nil
}

func (r *fakeRegistry) GetConnection(_ context.Context, req *pb.GetConnectionRequest) (*pb.GetConnectionResponse, error) {
	r.note(req)
	if req.Connection == "none" {
		return nil, fault.New(fault.NotFound, "there is no connection %q", req.Connection).In("connection")
	}
	return &pb.GetConnectionResponse{Connection: &pb.Connection{Id: req.Connection}}, nil
}

func (r *fakeRegistry) ListConnections(_ context.Context, req *pb.ListConnectionsRequest) (*pb.ListConnectionsResponse, error) {
	r.note(req)
	return &pb.ListConnectionsResponse{}, nil
}

func (r *fakeRegistry) WatchConnections(_ *pb.WatchConnectionsRequest, call grpc.ServerStreamingServer[pb.WatchConnectionsResponse]) error {
	if err := call.Send(&pb.WatchConnectionsResponse{}); err != nil {
		return err
	}
	for {
		select {
		case c, ok := <-r.changes:
			if !ok {
				return fault.New(fault.Unavailable, "the registry is stopping")
			}
			if err := call.Send(c); err != nil {
				return err
			}
		case <-call.Context().Done():
			return nil
		}
	}
}

func (r *fakeRegistry) GetRuntime(_ context.Context, req *pb.GetRuntimeRequest) (*pb.GetRuntimeResponse, error) {
	r.note(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	return &pb.GetRuntimeResponse{
		RuntimeUrl: runtimeURL, Domain: "a.example",
		Components: []*pb.ComponentStatus{{Name: "bus", Connected: r.lacks != "bus", Reason: "gone"}},
		Nodes:      []*pb.NodeSession{{Domain: "a.example", State: "live"}},
	}, nil
}
