package msgnode

import (
	"cmp"
	"context"
	"errors"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// exchange is on its way through the pipeline: one message, or several that came one
// behind the other in one frame and go the same way.
type exchange struct {
	socket *socket
	all    []received
	m      *pb.Message // the first of them: what decides about it holds for all
	way    decision
	opened bool // the socket has its session with the answer
	close  bool // the socket ends with the answer
}

// service is one of the node's own: it answers what is sent to its address.
type service func(*Node, context.Context, *exchange) (reply, error)

// reply is what a service answers.
type reply struct {
	code   fault.Code // 0 is 200
	fields any        // besides the code; an object or nil
}

// step is one stage. Its error is the refusal, and ends the way.
type step struct {
	name string
	do   func(*Node, context.Context, *exchange) error
}

// pipeline is what happens to every message, in this order.
var pipeline = []step{
	{"validate", (*Node).validate},
	{"authorise", (*Node).authorise},
	{"bind", (*Node).bind},
	{"decide", (*Node).decide},
	{"deliver", (*Node).deliver},
}

// handleAll takes what came together through the pipeline, in order. It tells whether
// the socket goes on.
func (n *Node) handleAll(ctx context.Context, s *socket, in []received) bool {
	n.metrics.received.WithLabelValues(s.transport.name()).Add(float64(len(in)))
	for len(in) > 0 {
		some := n.sameWay(in)
		if !n.handle(ctx, &exchange{socket: s, all: in[:some], m: n.firstOf(in)}) {
			return false
		}
		in = in[some:]
	}
	return true
}

// sameWay tells how many of the first ones go through the pipeline together. The node's
// own services answer one at a time.
func (n *Node) sameWay(in []received) int {
	first, some := in[0], 1
	if first.err != nil || n.isOwn(first.Head().To) {
		return some
	}
	for some < len(in) && in[some].err == nil && haveOneWay(first.Head(), in[some].Head()) {
		some++
	}
	return some
}

// firstOf is what decides about the first messages: for a service all of it.
func (n *Node) firstOf(in []received) *pb.Message {
	if m := in[0].Head(); m != nil && !n.isOwn(m.To) {
		return m
	}
	return in[0].Message()
}

// haveOneWay compares all that the steps look at.
func haveOneWay(a, b *pb.Message) bool {
	return a == b || a.From == b.From && a.To == b.To &&
		(a.Flow == nil) == (b.Flow == nil) && a.Flow.GetRuntime() == b.Flow.GetRuntime() &&
		(a.Flow != nil || message.IsResponse(a) == message.IsResponse(b))
}

// handle takes messages through the pipeline. It tells whether the socket goes on.
func (n *Node) handle(ctx context.Context, x *exchange) bool {
	for _, st := range pipeline {
		if err := st.do(n, ctx, x); err != nil {
			for _, r := range x.all {
				n.refuse(ctx, x.socket, r.Message(), st.name, err)
			}
			break
		}
	}
	return !x.close
}

// refuse answers a refused message on the socket that it came from. What is a
// response itself is not answered. A refusal is never a 500, which older buses
// take for a reason to repeat (wire contract, section 3), and never a 408 of a
// wait of ours: only of what a mailbox does not keep.
func (n *Node) refuse(ctx context.Context, s *socket, m *pb.Message, where string, err error) {
	f := fault.From(err)
	if late := (lateError{}); f.Code == fault.Internal || f.Code == fault.Timeout && !errors.As(err, &late) {
		f = fault.New(fault.Unavailable, "%s", f.Description)
	}
	n.metrics.refused.WithLabelValues(where, codeLabel(f.Code)).Inc()
	if m == nil {
		m = &pb.Message{}
	}
	if message.IsResponse(m) {
		return
	}
	n.traceRefused(m, f)
	answer := message.Refuse(n.point.Mark(m, tracing.Refuse, f), f)
	if answer.From == "" {
		answer.From = address.Session
	}
	s.queue.answer(ctx, answer)
}

// validate refuses what its transport found wrong: no JSON object, a field that
// is missing or malformed, too large.
func (n *Node) validate(_ context.Context, x *exchange) error { return x.all[0].err }

// authorise refuses a message before the session is open, and one with a
// `from` that is another's or the node's own, or in a flow of another runtime.
func (n *Node) authorise(_ context.Context, x *exchange) error {
	if x.m.To == address.Session {
		return nil // the session's service looks at `from` itself
	}
	if n.isOwn(x.m.From) {
		return fault.New(fault.Forbidden, "%s belongs to the node", x.m.From)
	}
	s := x.socket.session
	n.mu.RLock()
	defer n.mu.RUnlock()
	if s.Token == "" || n.directory.sessions[s.Runtime].Token != s.Token {
		return fault.New(fault.Forbidden, "open a session first")
	}
	if f := x.m.Flow; f != nil && f.Runtime != s.Runtime {
		return fault.New(fault.Forbidden, "flow.runtime is not the runtime of this session")
	}
	return n.directory.mayUse(s.Runtime, x.m.From)
}

// bind makes a hyperty that sends reachable through its session, if nobody
// holds it already.
func (n *Node) bind(ctx context.Context, x *exchange) error {
	if x.m.To == address.Session {
		return nil // there may be no session yet
	}
	u, err := address.Parse(x.m.From)
	if err != nil || u.Kind != address.Hyperty || n.isHeld(u.Text) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
	defer cancel()
	return apart(func() error { return n.own(ctx, x.socket.session, []string{u.Text}, "") })
}

// decide finds the service or the holders. An address that nobody holds is
// looked for once more when all that other replicas know is known here.
func (n *Node) decide(ctx context.Context, x *exchange) error {
	if n.isOwn(x.m.To) {
		if x.way.service = n.service(x.m.To); x.way.service == nil {
			return fault.New(fault.NotFound, "the node has no service %s", x.m.To)
		}
		return nil
	}
	x.way = n.wayTo(x.m)
	if fault.CodeOf(x.way.err) == fault.NotFound {
		ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
		defer cancel()
		if err := apart(func() error { return n.state.fresh(ctx) }); err != nil {
			return err
		}
		x.way = n.wayTo(x.m)
	}
	return x.way.err
}

// wayTo finds those who hold the address of a message. What nobody holds goes to the
// runtime that it is below, if that is of a flow or a response: a request without a
// flow is answered 404 (wire contract, section 3).
func (n *Node) wayTo(m *pb.Message) decision {
	var few [8]Session
	n.mu.RLock()
	defer n.mu.RUnlock()
	holders := n.directory.holders(few[:0], m.To)
	if len(holders) == 0 && (m.Flow != nil || message.IsResponse(m)) {
		holders = n.directory.around(few[:0], m.To, m.Flow.GetRuntime())
	}
	return decide(m.To, holders, n.replica, n.mail.used)
}

// deliver lets the service answer, or hands the messages on, of which each may be refused
// by itself. The answer goes to the socket that asked, whoever holds its address.
func (n *Node) deliver(ctx context.Context, x *exchange) error {
	if x.way.service == nil {
		for i, err := range n.relay(x.all, x.socket.session.Runtime, x.way) {
			if err != nil {
				n.refuse(ctx, x.socket, x.all[i].Message(), "deliver", err)
			}
		}
		return nil
	}
	if message.IsResponse(x.m) {
		return nil // nobody here has asked
	}
	var answer *pb.Message
	err := apart(func() error {
		r, err := x.way.service(n, ctx, x)
		answer = message.Answer(x.m, cmp.Or(r.code, fault.OK), r.fields)
		return err
	})
	if err != nil {
		return err
	}
	x.socket.queue.answer(ctx, answer)
	if x.opened {
		x.socket.queue.goLive()
	}
	return nil
}

// apart does what waits for the store on a goroutine of its own: that takes a stack of
// some kilobytes, which the reader of an idle socket would keep. A panic is the caller's:
// it ends a call, and not the process.
func apart(do func() error) error {
	var err error
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		err = do()
	}()
	<-done
	if panicked != nil {
		panic(panicked)
	}
	return err
}

// relay hands messages to the holders whose sessions are here or lost, and to the
// replicas that have others. sender is the runtime that sent them, empty for the
// node.
func (n *Node) relay(all []received, sender string, way decision) (failed failures) {
	letters := make([]letter, len(all))
	var spans []tracing.Span // none, if no message is traced
	for i, r := range all {
		c := r.Carried
		if m, span := n.point.Start(c.Head(), tracing.Relay); m != c.Head() {
			c = codec.Bare(m)
			if spans == nil {
				spans = make([]tracing.Span, len(all))
			}
			spans[i] = span
		}
		letters[i] = newLetter(c, sender)
	}
	failed = n.handAll(way.here, letters)
	for _, e := range way.there {
		for i, l := range letters {
			if err := n.toReplica(e, l); err != nil {
				failed = failed.with(len(letters), err, i)
			}
		}
	}
	for i, span := range spans {
		span.End(failed.at(i))
	}
	return failed
}
