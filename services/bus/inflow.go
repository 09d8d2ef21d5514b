package bus

import (
	"sync"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// inflow is a flow from another runtime: the machine of its receiver. What is in
// order goes on as posts, one goroutine at a time, or in batches (inbatch.go).
type inflow struct {
	flows  *flows
	remote *remoteRuntime
	id     flow.ID
	// self names the receiver, and replica the bus of the remote runtime that sends.
	self    uint64
	replica string

	lastSource lastSource // of its messages

	order sync.Mutex      // held while messages are handed on
	turn  []flow.Delivery // these; guarded by order
	spare []arrivedPost   // posts that are made; guarded by order

	mu       sync.Mutex
	receiver *flow.Receiver
	sizes    []int // of a run, while it is taken
	counted  int   // bytes of it in flows.held
	timer    *time.Timer
	due      time.Time // of timer
	used     time.Time
	relayed  bool // something came over a Message Node since the last ack
	closed   bool
}

// arrival is a message of a flow as a post's poster: whatever becomes of it, the
// other bus is told.
type arrival struct {
	in       *inflow
	sequence uint64
	via      pb.Component
}

// arrivedPost is a message of a flow that goes on, with its poster.
type arrivedPost struct {
	post post
	by   arrival
}

func (a *arrival) component() pb.Component   { return a.via }
func (*arrival) outcome(*pb.Outcome, *burst) {}
func (*arrival) charge(int)                  {}
func (*arrival) sendBack(*post, ...string)   {}
func (a *arrival) settled(p *post, err error) {
	code, description := int32(fault.OK), ""
	if err != nil {
		f := fault.From(err)
		code, description = int32(f.Code), f.Description // three digits
	}
	a.in.dealt(a.sequence, code, description)
	a.in.flows.seen.over(err, p)
}

// settledAll is settled of posts of the flow that were dealt with.
func (in *inflow) settledAll(posts []*post) {
	in.dealtAll(posts)
	in.flows.seen.over(nil, posts...)
}

// arrive takes what a stub had from another bus: acks, news about the way, and
// the next message of a flow.
func (f *flows) arrive(p *post) {
	m := p.m
	if remote := p.ingress.GetRemoteRuntimeUrl(); remote != "" && remote != m.Flow.Runtime && !m.Flow.Refused {
		f.bus.metrics.refused(reasonSource) // a peer speaks for itself alone
		return
	}
	switch {
	case m.Flow.Refused:
		f.refused(p)
		return
	case len(m.Flow.Acks) > 0:
		f.ackedBy(p)
	}
	if m.Flow.Id > 0 && !f.bus.mesh.toOwner(p) {
		f.data(p)
	}
}

// refused gives the word of a stub or a Message Node to the flow it is about. Of a
// message that has turned out to be a plain one it is the answer to its sender.
func (f *flows) refused(p *post) {
	m := p.m
	if m.Flow.Runtime != f.bus.runtimeURL {
		return
	}
	if m.Flow.Epoch != f.epoch {
		f.bus.mesh.toEpoch(p, m.Flow.Epoch, m, passedRefusal)
		return
	}
	_, err := message.Result(m)
	if err == nil {
		return
	}
	f.mu.RLock()
	out := f.out[m.Flow.Id]
	f.mu.RUnlock()
	if out != nil && out.refused(m.Flow.Sequence, fault.From(err)) {
		return
	}
	answer := newPost(p.by, message.WithoutFlow(m))
	answer.ingress = p.ingress
	answer.measure()
	f.bus.begin(answer)
	f.bus.verify(answer)
}

func (f *flows) ackedBy(p *post) {
	fl := p.m.Flow
	for _, a := range fl.Acks {
		if a.GetEpoch() != f.epoch { // of another replica, or of the bus before this one
			f.bus.mesh.toEpoch(p, a.GetEpoch(), ackAlone(p.m, a), passedAck)
			continue
		}
		f.mu.Lock()
		out := f.out[a.GetId()]
		if out != nil && !f.belongs(out, fl.Runtime) {
			out = nil
		}
		f.mu.Unlock()
		if out != nil {
			out.acked(a)
		}
	}
}

// ackAlone is a message with one of its acks alone.
func ackAlone(m *pb.Message, a *pb.FlowAck) *pb.Message {
	m = message.Share(m)
	m.Flow = &pb.Flow{Runtime: m.Flow.Runtime, Epoch: m.Flow.Epoch, Acks: []*pb.FlowAck{a}}
	return m
}

// belongs tells whether a runtime may ack a flow. A provisional one becomes that
// of the runtime which acks it.
func (f *flows) belongs(out *outflow, runtime string) bool {
	if rm := out.remote.Load(); rm != nil {
		return rm.url == runtime
	}
	rm := f.remoteOf(runtime)
	if rm == nil {
		return false
	}
	rm.announced.Store(true)
	if rm.ways.Load() != nil {
		out.remote.Store(rm)
	}
	return true
}

// data takes a message of a flow.
func (f *flows) data(p *post) {
	now := time.Now()
	in := f.in(p.m.Flow, now)
	if in == nil {
		return // it is over, or there are too many: its bus keeps it
	}
	in.order.Lock()
	defer in.order.Unlock()
	in.receive(p, now)
	for _, d := range in.turn {
		in.handOn(d)
	}
	clear(in.turn)
	in.planNow(now) // a timer that wakes a thread does not hold up what is handed on
}

// receive puts what is in order by now into turn.
func (in *inflow) receive(p *post, now time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.turn = in.turn[:0]
	if in.closed {
		return
	}
	in.used = now
	in.cameBy(p.by.component())
	fl := p.m.Flow
	place, value := flow.Place{Sequence: fl.Sequence, Base: fl.Base, After: fl.After}, any(p)
	switch {
	case p.m.Type == message.FlowType: // its place is all that it says
		value = nil
	case !in.hasRoom(0, p.cost()): // it is answered, and comes again
		place, value = flow.Place{Base: fl.Base}, nil
	}
	turn, _ := in.receiver.Receive(now, place, p.cost(), value)
	in.turn = append(in.turn, turn...)
	in.count()
}

// hasRoom tells whether a flow may hold a message of so many bytes, once it has others
// besides what it has: no more than it leaves free for other flows.
func (in *inflow) hasRoom(others, bytes int) bool {
	free := in.flows.bus.limits.FlowBytes - int(in.flows.held.Load()) - others
	return bytes <= free && (in.counted+others == 0 || in.counted+others+bytes <= free)
}

// count keeps the sum over all flows. Of one that is over, what was handed on counts
// until it is dealt with.
func (in *inflow) count() {
	now := in.receiver.Backlog()
	if !in.closed {
		now += in.receiver.Ahead()
	}
	in.flows.held.Add(int64(now - in.counted))
	in.counted = now
}

// handOn sends a message the rest of its way. It is its post's no more.
func (in *inflow) handOn(d flow.Delivery) {
	b, p := in.flows.bus, d.Value.(*post)
	q := in.post(arrival{in, d.Sequence, p.by.component()})
	q.m, q.encoded = p.m, codec.WithoutFlow(p.encoded)
	q.m.Flow = nil
	q.ingress, q.flowing, q.burst = p.ingress, true, p.burst
	q.measure()
	b.begin(q)
	q.trail.tally = b.metrics.tally
	b.verify(q)
}

// post makes the post of a message that goes on. A few are made together, as those of a
// stream are.
func (in *inflow) post(by arrival) *post {
	if len(in.spare) == 0 {
		in.spare = make([]arrivedPost, postsTogether)
	}
	made := &in.spare[0]
	in.spare = in.spare[1:]
	made.by = by
	made.post.by = &made.by
	return &made.post
}

// dealt notes what became of a message.
func (in *inflow) dealt(sequence uint64, code int32, description string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := time.Now()
	if in.closed { // nobody is told of a refusal any more
		code = int32(fault.OK)
	}
	in.used = now
	in.receiver.Dealt(now, sequence, code, description)
	in.count()
	in.plan(now)
}

// dealtAll is dealt of posts of the flow.
func (in *inflow) dealtAll(posts []*post) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := time.Now()
	in.used = now
	for _, p := range posts {
		in.receiver.Dealt(now, p.by.(*arrival).sequence, int32(fault.OK), "")
	}
	in.count()
	in.plan(now)
}

// planNow is plan for who does not hold the mutex.
func (in *inflow) planNow(now time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.plan(now)
}

// plan sets the timer for the next ack.
func (in *inflow) plan(now time.Time) {
	at, ok := in.receiver.AckDue()
	if !ok || in.closed {
		return
	}
	if in.remote.unsaid.Load() != in {
		in.remote.unsaid.Store(in)
	}
	if in.due.IsZero() || at.Before(in.due) {
		in.due = at
		switch after := at.Sub(now); {
		case after <= 0:
			go in.ack() // a timer wakes the thread that waits for the network, too
		case in.timer == nil:
			in.timer = time.AfterFunc(after, in.ack)
		default:
			in.timer.Reset(after)
		}
	}
}

// ack tells the other bus what is here, unless that went along with a message.
func (in *inflow) ack() {
	in.mu.Lock()
	in.due = time.Time{}
	now := time.Now()
	if at, ok := in.receiver.AckDue(); in.closed || !ok || at.After(now) {
		in.plan(now)
		in.mu.Unlock()
		return
	}
	a := in.receiver.Ack(now)
	in.used = now
	in.plan(now)
	relayed := in.relayed
	in.relayed = false
	in.mu.Unlock()
	a.Epoch, a.Id = in.id.Epoch, in.id.Number
	in.flows.say(in.remote, relayed, a)
}

// cameBy notes the stub that something came by. What comes over a Message Node is
// acknowledged over it as well, though there is a direct way: its sender may have heard
// before this runtime that nothing goes over that one, as when the p2pstub here hangs.
func (in *inflow) cameBy(stub pb.Component) {
	in.relayed = in.relayed || stub == pb.Component_COMPONENT_NODE_STUB
}

// along gives the ack that is due soon, for a message that goes to that bus anyway; nil
// when there is none. The flow of that message may be locked.
func (rm *remoteRuntime) along() []*pb.FlowAck {
	if rm.unsaid.Load() == nil {
		return nil
	}
	in := rm.unsaid.Swap(nil)
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if w := rm.ways.Load(); in.closed || in.relayed && w != nil && w.direct != "" {
		return nil
	}
	now := time.Now()
	a := in.receiver.Along(now)
	if a == nil {
		return nil
	}
	in.used = now
	in.plan(now)
	a.Epoch, a.Id = in.id.Epoch, in.id.Number
	return []*pb.FlowAck{a}
}

// say sends acks to a runtime, both ways while there is doubt, or when they are about
// what came over a Message Node.
func (f *flows) say(rm *remoteRuntime, relayed bool, acks ...*pb.FlowAck) {
	b := f.bus
	m := &pb.Message{
		Id: flowID, Type: message.FlowType, From: b.own, To: address.Bus(rm.url),
		Flow: &pb.Flow{Runtime: b.runtimeURL, Epoch: f.epoch, Acks: acks},
	}
	p := newPost(itself{}, m)
	p.size = codec.Size(m)
	p.left.Store(2)
	p.owed.Store(2)
	if w := rm.ways.Load(); w != nil {
		if b.table.sayOver(p, w, relayed) {
			return
		}
	}
	if done, err := b.table.route(p); done && err != nil {
		b.metrics.refused(reasonOf(err)) // the next one says it all
	}
}

// sayOver puts an ack into the inbox of the way that is used; false when nobody is
// there.
func (t *table) sayOver(p *post, w *ways, relayed bool) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	said := false
	for _, name := range []string{w.direct, w.relay} {
		if said && !w.doubt && !relayed {
			break
		}
		if in := t.taker(name); in != nil {
			if taken, _ := in.offer(p); taken {
				said = true
			}
		}
	}
	return said
}

func (in *inflow) idleSince(now time.Time) time.Duration {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.receiver.Idle() {
		return 0
	}
	return now.Sub(in.used)
}

// close ends it; what waits for others before it will not come any more.
func (in *inflow) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.count()
	if in.timer != nil {
		in.timer.Stop()
	}
}
