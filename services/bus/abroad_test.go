package bus

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/services/bus/flow"
)

const (
	dave  = "hyperty://b.example/dave"
	frank = "hyperty://b.example/frank" // whose runtime is being looked up at first
)

// abroad is a client at a bus without gRPC that posts to another runtime, the two stubs
// on the ways there, and what receives there. The posts go through batches where they can,
// or never.
type abroad struct {
	*crowd
	sender   *member
	stubs    [2]*stream
	names    [2]string
	window   uint32
	theirs   map[uint64]*theirs // by the number of the flow
	inTurn   []*theirs
	came     []string // what was taken off the stubs
	handed   []string // ids of what was handed over there, in order, by address
	restarts uint64
	peer     *peer // the other bus
}

// theirs is a flow where it is received.
type theirs struct {
	id       flow.ID
	receiver *flow.Receiver
	waits    []flow.Delivery // for their listeners
}

func newAbroad(t *testing.T, l Limits, window uint32, direct string, batches bool) *abroad {
	c := &crowd{alone: newAlone(t, l), t: t, batches: batches, metrics: prometheus.NewRegistry()}
	c.bus.log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: &c.level}))
	if err := c.bus.metrics.register(c.metrics, c.bus); err != nil {
		t.Fatal(err)
	}
	c.approve(alice)
	number := uint64(1 << 60) // of as many bytes in each
	c.bus.flows.draw = func() uint64 { number++; return number }
	c.bus.table.grow()
	a := &abroad{crowd: c, window: window, names: [2]string{direct, nodeURL}, theirs: map[uint64]*theirs{}, peer: c.peer()}
	a.sender = &member{name: "sender", source: alice, window: window, first: 1}
	c.members = []*member{a.sender}
	c.attach(a.sender)
	for i, comp := range []pb.Component{pb.Component_COMPONENT_P2P_STUB, pb.Component_COMPONENT_NODE_STUB} {
		a.stubs[i] = newStream(c.bus, "stub", comp)
		a.stubs[i].rows = batches && i == overDirect
		a.comes(i)
	}
	a.route(frank, pb.FlowUse_FLOW_USE_UNKNOWN, false, false)
	a.routes(true, false)
	return a
}

func (a *abroad) comes(way int) {
	if err := a.bus.addListener(a.stubs[way], &pb.ListenerChange{Address: a.names[way], Window: a.window}); err != nil {
		a.t.Error(err)
	}
}

func (a *abroad) leaves(way int) {
	if err := a.bus.removeListener(a.stubs[way], a.names[way], ""); err != nil {
		a.t.Error(err)
	}
}

// routes has the registry say how the other runtime is reached.
func (a *abroad) routes(direct, doubt bool) {
	for _, to := range []string{bob, dave, remote + busSuffix} {
		a.route(to, pb.FlowUse_FLOW_USE_ANNOUNCED, direct, doubt)
	}
}

func (a *abroad) route(to string, use pb.FlowUse, direct, doubt bool) {
	r := &pb.Route{To: to, Next: nodeURL, Flow: use, Reason: pb.RouteReason_ROUTE_REASON_MESSAGE_NODE}
	if use == pb.FlowUse_FLOW_USE_ANNOUNCED {
		r.RuntimeUrl = remote
	}
	if direct {
		r.Next, r.Relay, r.Doubt = a.names[overDirect], nodeURL, doubt
	}
	a.bus.table.mu.Lock()
	a.bus.table.learn(to, r, false)
	a.bus.table.mu.Unlock()
	lookAround(a.bus)
}

// lookAround has the flows of a bus looked at whose ways have changed, the oldest first: who
// is first has the room.
func lookAround(b *Bus) {
	for _, out := range slices.SortedFunc(maps.Keys(b.flows.toLookAt()), func(one, other *outflow) int {
		return cmp.Compare(one.id.Number, other.id.Number)
	}) {
		out.look()
	}
}

// carry takes off a stub what it is sent now, but for each n-th, and has it arrive.
func (a *abroad) carry(way, n int) {
	all := deliveriesOf(a.t, a.stubs[way])
	slices.SortStableFunc(all, func(a, b *pb.Delivery) int { // which flow's timer is the first may differ
		return cmp.Compare(a.Message.Flow.GetId(), b.Message.Flow.GetId())
	})
	for i, d := range all {
		a.came = append(a.came, way_(way)+d.Listener+" "+text(d.Message))
		if len(d.Message.Flow.GetAcks()) > 0 || n == 0 || i%n > 0 {
			a.arrive(d.Message)
		}
	}
}

// deliveriesOf is what a stream is sent now. How much of it is in a frame may differ: a frame has
// more messages when they are in batches.
func deliveriesOf(t *testing.T, s *stream) (all []*pb.Delivery) {
	for _, resp := range framesOf(t, s) {
		all = append(all, resp.Deliveries...)
	}
	return all
}

func way_(way int) string { return []string{"direct ", "relay "}[way] }

// text is a message, without when its bus was started.
func text(m *pb.Message) string {
	m = proto.CloneOf(m)
	if m.Flow != nil {
		m.Flow.Epoch = 0
	}
	return fmt.Sprint(m.Id, m.Type, m.From, m.To, len(m.Body), string(m.Origin), m.Number, m.Flow)
}

func (a *abroad) arrive(m *pb.Message) {
	fl := m.Flow
	if fl == nil { // it went plain
		a.handed = append(a.handed, m.To+" "+m.Id)
		return
	}
	there := a.theirs[fl.Id]
	if there == nil {
		there = &theirs{flow.ID{Epoch: fl.Epoch, Number: fl.Id}, flow.NewReceiver(1+a.restarts, a.bus.limits.Flow), nil}
		a.theirs[fl.Id] = there
		a.inTurn = append(a.inTurn, there)
	}
	var value any
	if m.Type != message.FlowType {
		value = m
	}
	turn, _ := there.receiver.Receive(time.Now(), flow.Place{Sequence: fl.Sequence, Base: fl.Base, After: fl.After}, proto.Size(m)+overhead, value)
	for _, d := range turn {
		m := d.Value.(*pb.Message)
		a.handed = append(a.handed, m.To+" "+m.Id)
	}
	there.waits = append(there.waits, turn...)
}

// deal has the listener of an address deal with n at most that it has, or refuse each
// fifth of them.
func (a *abroad) deal(to string, n int, refuses bool) {
	for _, there := range a.inTurn {
		there.waits = slices.DeleteFunc(there.waits, func(d flow.Delivery) bool {
			m := d.Value.(*pb.Message)
			if n == 0 || m.To != to {
				return false
			}
			n--
			code := int32(0)
			if refuses && m.Number%5 == 0 {
				code = int32(fault.TooMany)
			}
			there.receiver.Dealt(time.Now(), d.Sequence, code, "as it likes")
			return true
		})
	}
}

// ack has the other bus say what it has, of all flows.
func (a *abroad) ack() {
	for _, there := range a.inTurn {
		if _, ok := there.receiver.AckDue(); ok {
			f := there.receiver.Ack(time.Now())
			f.Epoch, f.Id = there.id.Epoch, there.id.Number
			a.says(&pb.Message{Id: flowID, Type: message.FlowType, From: bob, To: a.bus.own, Flow: &pb.Flow{Runtime: remote, Epoch: 1, Acks: []*pb.FlowAck{f}}})
		}
	}
}

// says has the other bus say something.
func (a *abroad) says(m *pb.Message) {
	p := newPost(a.peer, m)
	p.ingress = &pb.Ingress{RemoteRuntimeUrl: remote}
	a.bus.post(p)
}

// refuse has the Message Node refuse the n-th of what the relay is sent now; the others are
// lost.
func (a *abroad) refuse(n int, code fault.Code) {
	for i, d := range deliveriesOf(a.t, a.stubs[overRelay]) {
		a.came = append(a.came, "refused "+text(d.Message))
		if i%n == 0 && d.Message.Type != message.FlowType {
			p := newPost(a.stubs[overRelay], message.Refuse(d.Message, fault.New(code, "not relayed")))
			p.ingress = &pb.Ingress{}
			p.verified = true
			a.bus.post(p)
		}
	}
}

// restart makes the other bus a new one, which has nothing.
func (a *abroad) restart() {
	a.restarts++
	for _, there := range a.inTurn {
		there.receiver, there.waits = flow.NewReceiver(1+a.restarts, a.bus.limits.Flow), nil
	}
}

// abroadSeen is what all have seen, and what the bus says of itself.
type abroadSeen struct {
	Crowd        crowdSeen
	Came, Handed []string
	Queues       []string
	Flows        []string
}

func (a *abroad) look() (s abroadSeen) {
	synctest.Wait()
	lookAround(a.bus)
	s.Crowd = a.crowd.look()
	s.Came, s.Handed = a.came, a.handed
	a.came = nil
	for i := range a.stubs {
		stub := member{stream: a.stubs[i], name: strconv.Itoa(i)}
		s.Queues = append(s.Queues, stub.queues()...)
	}
	for _, o := range a.bus.flows.out {
		o.mu.Lock()
		s.Flows = append(s.Flows, fmt.Sprint(o.address, o.sender.Bytes(), o.sender.Stats(), o.sender.RTT(), o.waits, len(o.blocked)))
		o.mu.Unlock()
	}
	slices.Sort(s.Flows)
	return s
}

func (a *abroad) end() {
	for i := range a.stubs {
		a.stubs[i].close()
		a.alone.end(a.stubs[i])
	}
	a.bus.flows.end()
	a.crowd.end()
}
