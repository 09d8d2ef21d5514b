package msgnode

import (
	"cmp"
	"context"
	"errors"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// exchange is one message on its way through the pipeline.
type exchange struct {
	socket  *socket
	m       *pb.Message
	invalid error // what was wrong with the frame
	way     decision
	opened  bool // the socket has its session with the answer
	close   bool // the socket ends with the answer
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

// handle takes one message through the pipeline. It tells whether the socket
// goes on.
func (n *Node) handle(ctx context.Context, s *socket, r received) bool {
	x := &exchange{socket: s, m: r.message, invalid: r.err}
	n.metrics.received.WithLabelValues(s.transport.name()).Inc()
	for _, st := range pipeline {
		if err := st.do(n, ctx, x); err != nil {
			n.refuse(ctx, x, st.name, err)
			break
		}
	}
	return !x.close
}

// refuse answers a refused message on the socket that it came from. What is a
// response itself is not answered. A refusal is never a 500, which older buses
// take for a reason to repeat (wire contract, section 3), and never a 408 of a
// wait of ours: only of what a mailbox does not keep.
func (n *Node) refuse(ctx context.Context, x *exchange, where string, err error) {
	f := fault.From(err)
	if late := (lateError{}); f.Code == fault.Internal || f.Code == fault.Timeout && !errors.As(err, &late) {
		f = fault.New(fault.Unavailable, "%s", f.Description)
	}
	n.metrics.refused.WithLabelValues(where, codeLabel(f.Code)).Inc()
	if x.m == nil {
		x.m = &pb.Message{}
	}
	if message.IsResponse(x.m) {
		return
	}
	n.traceRefused(x.m, f)
	answer := message.Refuse(n.point.Mark(x.m, tracing.Refuse, f), f)
	if answer.From == "" {
		answer.From = address.Session
	}
	x.socket.queue.answer(ctx, answer)
}

// validate refuses what its transport found wrong: no JSON object, a field that
// is missing or malformed, too large.
func (n *Node) validate(_ context.Context, x *exchange) error { return x.invalid }

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
	return n.own(ctx, x.socket.session, []string{u.Text}, "")
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
	x.way = n.wayTo(x.m.To)
	if fault.CodeOf(x.way.err) == fault.NotFound {
		ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
		defer cancel()
		if err := n.state.fresh(ctx); err != nil {
			return err
		}
		x.way = n.wayTo(x.m.To)
	}
	return x.way.err
}

func (n *Node) wayTo(to string) decision {
	var few [8]Session
	n.mu.RLock()
	defer n.mu.RUnlock()
	return decide(to, n.directory.holders(few[:0], to), n.replica, n.mail.used)
}

// deliver lets the service answer, or hands the message on. The answer goes to
// the socket that asked, whoever holds its address.
func (n *Node) deliver(ctx context.Context, x *exchange) error {
	if x.way.service == nil {
		return n.relay(x.m, x.socket.session.Runtime, x.way)
	}
	if message.IsResponse(x.m) {
		return nil // nobody here has asked
	}
	r, err := x.way.service(n, ctx, x)
	if err != nil {
		return err
	}
	x.socket.queue.answer(ctx, message.Answer(x.m, cmp.Or(r.code, fault.OK), r.fields))
	if x.opened {
		x.socket.queue.goLive()
	}
	return nil
}

// relay hands a message to the holders whose sessions are here or lost, and to the
// replicas that have others. sender is the runtime that sent it, empty for the
// node. The error tells that someone could not take it.
func (n *Node) relay(m *pb.Message, sender string, way decision) error {
	m, span := n.point.Start(m, tracing.Relay)
	l := newLetter(m, sender)
	err := n.handAll(way.here, l)
	for _, e := range way.there {
		if sendErr := n.toReplica(e, l); sendErr != nil {
			err = sendErr
		}
	}
	span.End(err)
	return err
}
