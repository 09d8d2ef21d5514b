package bus

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// server is the gRPC side of a bus.
type server struct {
	pb.UnimplementedMessageBusServer
	bus *Bus
}

// Register adds the service MessageBus to a gRPC server.
func (b *Bus) Register(r grpc.ServiceRegistrar) { pb.RegisterMessageBusServer(r, server{bus: b}) }

func (s server) Attach(call pb.MessageBus_AttachServer) error { return s.bus.attach(call) }

func (s server) Post(ctx context.Context, req *pb.PostRequest) (*pb.PostResponse, error) {
	if err := s.bus.mesh.joined(ctx); err != nil {
		return nil, err
	}
	ctx, leave, err := s.bus.streams.enter(ctx, &s.bus.streams.calls, s.bus.limits.Calls)
	if err != nil {
		return nil, err
	}
	defer leave()
	return s.bus.postOne(ctx, req)
}

func (s server) Listen(req *pb.ListenRequest, call pb.MessageBus_ListenServer) error {
	return s.bus.listen(req, call)
}

// call is a unary Post as a poster. With a key its outcome is kept for whoever
// repeats it.
type call struct {
	done chan *pb.Outcome
	key  *keyedCall
}

func (call) component() pb.Component   { return pb.Component_COMPONENT_APPLICATION }
func (call) settled(*post, error)      {}
func (call) charge(int)                {}
func (call) sendBack(*post, ...string) {}

func (c call) outcome(o *pb.Outcome, _ *burst) {
	c.key.end(o)
	select {
	case c.done <- o:
	default: // it has one
	}
}

func (b *Bus) postOne(ctx context.Context, req *pb.PostRequest) (*pb.PostResponse, error) {
	if err := checkPost(req); err != nil {
		return nil, err
	}
	k, first, err := b.keyed.begin(req)
	switch {
	case err != nil:
		return nil, err
	case !first:
		return k.await(ctx, req.GetWait())
	}
	c := call{make(chan *pb.Outcome, 1), k}
	p := unary(c, req)
	b.post(p)
	select {
	case o := <-c.done:
		return responseOf(o)
	case <-ctx.Done():
		if k == nil { // else the caller may come again for the outcome
			b.requests.drop(p.request)
		}
		return nil, endOf(context.Cause(ctx))
	}
}

// checkPost tells of what is wrong beside the message.
func checkPost(req *pb.PostRequest) error {
	if err := message.CheckWait(req.GetWait()); err != nil {
		return err
	}
	if err := message.CheckTimeout(req.GetTimeout()); err != nil {
		return err
	}
	return message.CheckKey(req.GetIdempotencyKey())
}

// unary makes a post of a unary call.
func unary(c call, req *pb.PostRequest) *post {
	p := newPost(c, req.GetMessage())
	p.sequence, p.wait = 1, req.GetWait()
	if req.GetTimeout() != nil {
		d := req.GetTimeout().AsDuration()
		p.timeout = &d
	}
	if p.m == nil {
		return p
	}
	p.m.Origin, p.m.Number = nil, 0 // the bus's to say
	if c.key != nil {
		p.m.Origin, p.m.Number = []byte(req.GetIdempotencyKey()), 1
		if p.m.Id == "" {
			p.m.Id = c.key.messageID()
		}
		p.again = true // it may be: only the caller knows
	}
	return p
}

func responseOf(o *pb.Outcome) (*pb.PostResponse, error) {
	if o.Code >= 400 {
		return nil, fault.New(fault.Code(o.Code), "%s", o.Description).In(o.Field)
	}
	return &pb.PostResponse{Response: o.Response}, nil
}

func (b *Bus) listen(req *pb.ListenRequest, call pb.MessageBus_ListenServer) error {
	if len(req.GetAddresses()) == 0 {
		return address.Missing("address")
	}
	if err := b.mesh.joined(call.Context()); err != nil {
		return err
	}
	s := newStream(b, "listen", pb.Component_COMPONENT_APPLICATION)
	s.unlimited = true
	ctx, leave, err := b.enter(call.Context(), s)
	if err != nil {
		return err
	}
	defer leave()
	for _, a := range req.GetAddresses() {
		if err := b.addListener(s, &pb.ListenerChange{Address: a}); err != nil {
			return fault.From(err)
		}
	}
	told := make(chan struct{})
	b.mesh.confirm(func() { close(told) })
	select {
	case <-told:
	case <-ctx.Done():
		return endOf(context.Cause(ctx))
	}
	if err := call.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	return s.serve(ctx, func(ctx context.Context) error {
		return s.write(ctx, func(f *codec.Response) error { return call.SendMsg(codec.Listened{Response: f}) })
	})
}

// endOf makes the status of a stream that has ended: none when its client ended
// it.
func endOf(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return fault.From(err)
}
