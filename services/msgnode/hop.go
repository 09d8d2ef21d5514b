package msgnode

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// The hop between replicas. Each replica listens to one subject, so one sender's
// messages to one receiver stay in order.
//
//	peerbus.msgnode.<domain>.at.<replica>              a message for sockets there
//	peerbus.msgnode.<domain>.refused.<replica>.<what>  nobody listens at the other
//	                                                   replica; <what> is to be refused
const (
	headerSender = "Peerbus-Sender" // the runtime that sent it
	headerHolder = "Peerbus-Holder" // a runtime that is to have it; as often as there are such
	headerFor    = "Peerbus-For"    // set on a refusal: the runtime it is for
	maxSubject   = 3000             // bytes; servers take control lines of 4096
	maxHolders   = 64               // of one NATS message: it has room for them beside the largest message
)

// hopPending bounds what NATS keeps for this replica's dispatcher, which never
// waits: a burst, not a backlog.
const (
	hopPendingMessages = 100_000
	hopPendingBytes    = 64 << 20
)

func (n *Node) subject(kind, replica string) string {
	return "peerbus.msgnode." + n.token + "." + kind + "." + replica
}

// listen takes what other replicas send until ctx is done.
func (n *Node) listen(ctx context.Context) error {
	conn := n.engine.Conn()
	for subject, handler := range map[string]nats.MsgHandler{
		n.subject("at", n.replica):             n.fromReplica,
		n.subject("refused", n.replica) + ".*": n.undelivered,
	} {
		sub, err := conn.Subscribe(subject, handler)
		if err != nil {
			return fault.New(fault.Unavailable, "listening for other replicas: %w", err)
		}
		defer func() { _ = sub.Unsubscribe() }() // the connection may be closed already
		if err := sub.SetPendingLimits(hopPendingMessages, hopPendingBytes); err != nil {
			return fault.New(fault.Unavailable, "listening for other replicas: %w", err)
		}
	}
	if err := conn.FlushTimeout(n.limits.StoreTimeout); err != nil && ctx.Err() == nil {
		return fault.New(fault.Unavailable, "listening for other replicas: %w", err)
	}
	n.arrived("hop")
	<-ctx.Done()
	return nil
}

// toReplica sends a letter to the sessions at another replica that hold its
// address. Should that replica be gone, undelivered hears of it.
func (n *Node) toReplica(e elsewhere, l letter) error {
	for holders := range slices.Chunk(e.runtimes, maxHolders) {
		out := nats.NewMsg(n.subject("at", e.replica))
		out.Header.Set(headerSender, l.sender)
		out.Header[headerHolder] = holders
		if l.sender != "" && !message.IsResponse(l.Head()) {
			out.Reply = n.refusalSubject(e.replica, l.Message(), l.sender)
		}
		if err := n.publish(out, l.Carried); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) publish(out *nats.Msg, c codec.Carried) error {
	data := c.Encoded
	if data == nil {
		var err error
		if data, err = codec.Append(nil, c.Message()); err != nil {
			return fault.New(fault.BadRequest, "message: %w", err)
		}
	}
	out.Data = data
	err := n.engine.Conn().PublishMsg(out)
	if errors.Is(err, nats.ErrMaxPayload) {
		return fault.New(fault.TooLarge, "message has %d bytes, more than the replicas' NATS takes", len(data))
	}
	if err != nil {
		return fault.New(fault.Unavailable, "the other replica cannot be reached: %w", err)
	}
	return nil
}

// refusalSubject has in it what a refusal needs, so that nothing is kept for
// the messages under way. It is empty when the addresses are too long for that.
func (n *Node) refusalSubject(replica string, m *pb.Message, sender string) string {
	stub, err := proto.Marshal(&pb.Message{
		Id: m.Id, Type: m.Type, From: m.From, To: m.To, Source: sender, Via: replica, Flow: flowPlace(m.Flow),
	})
	if err != nil {
		return ""
	}
	what := base64.RawURLEncoding.EncodeToString(stub)
	if len(what) > maxSubject {
		return ""
	}
	return n.subject("refused", n.replica) + "." + what
}

// flowPlace is what a refusal says of a flow.
func flowPlace(f *pb.Flow) *pb.Flow {
	if f == nil {
		return nil
	}
	return &pb.Flow{Runtime: f.Runtime, Epoch: f.Epoch, Id: f.Id, Sequence: f.Sequence}
}

// fromReplica takes what another replica has sent: a question whether this one
// is there, a refusal, or a message.
func (n *Node) fromReplica(in *nats.Msg) {
	if len(in.Data) == 0 {
		_ = in.Respond(nil) // who asked will ask again
		return
	}
	m := &pb.Message{}
	if err := codec.UnmarshalShared(in.Data, m); err != nil {
		n.log.Warn("another replica sends what is no message", "error", err)
		return
	}
	if runtime := in.Header.Get(headerFor); runtime != "" {
		n.answerTo(runtime, m)
		return
	}
	sender := in.Header.Get(headerSender)
	l := newLetter(codec.Whole(m, in.Data), sender)
	if err := n.handAll(in.Header[headerHolder], []letter{l}).at(0); err != nil {
		n.refuseTo(sender, m, err)
	}
}

// undelivered hears from NATS that nobody listened at another replica.
func (n *Node) undelivered(in *nats.Msg) {
	if in.Header.Get("Status") != "503" {
		return
	}
	what := strings.TrimPrefix(in.Subject, n.subject("refused", n.replica)+".")
	raw, err := base64.RawURLEncoding.DecodeString(what)
	stub := &pb.Message{}
	if err != nil || proto.Unmarshal(raw, stub) != nil {
		return
	}
	n.refuseTo(stub.Source, stub, errAway(stub.To))
	n.mu.RLock()
	_, known := n.silent[stub.Via]
	n.mu.RUnlock()
	if !known {
		n.wakeSweeper()
	}
}

// refuseTo tells a sender, wherever its session is, that its message was not
// taken.
func (n *Node) refuseTo(runtime string, m *pb.Message, err error) {
	f := fault.From(err)
	n.metrics.refused.WithLabelValues("deliver", codeLabel(f.Code)).Inc()
	if runtime == "" || message.IsResponse(m) {
		return
	}
	answer := message.Refuse(n.point.Mark(m, tracing.Refuse, f), f)
	if n.answerTo(runtime, answer) {
		return
	}
	n.mu.RLock()
	replica := n.directory.sessions[runtime].replica()
	n.mu.RUnlock()
	if replica == "" || replica == n.replica {
		return // it is lost, and will ask again
	}
	out := nats.NewMsg(n.subject("at", replica))
	out.Header.Set(headerFor, runtime)
	if err := n.publish(out, codec.Bare(answer)); err != nil {
		n.log.Debug("a refusal does not reach its replica", "replica", replica, "error", err)
	}
}

// answerTo puts an answer into the control queue of a runtime's socket here.
func (n *Node) answerTo(runtime string, answer *pb.Message) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.sockets[n.directory.sessions[runtime].Socket]
	if s == nil {
		return false
	}
	if !s.queue.offer(answer) {
		n.metrics.dropped.WithLabelValues(dropControl).Inc()
	}
	return true
}

// isThere asks another replica. Only NATS's word that nobody listens is a no.
func (n *Node) isThere(ctx context.Context, replica string) bool {
	return !errors.Is(n.ask(ctx, replica), nats.ErrNoResponders)
}

// ask waits for the answer of another replica.
func (n *Node) ask(ctx context.Context, replica string) error {
	ctx, cancel := context.WithTimeout(ctx, n.limits.ReplicaTimeout)
	defer cancel()
	_, err := n.engine.Conn().RequestWithContext(ctx, n.subject("at", replica), nil)
	return err
}
