package bus

import (
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// flowID is the id of messages that are of a flow alone: nobody answers them.
const flowID = "0"

// outflow is a flow to another runtime: the machine of its sender, and the posts
// that wait for room in it. Whoever changes something pumps: what is due then goes
// into the inboxes of the ways.
type outflow struct {
	flows   *flows
	id      flow.ID
	address string                        // what a provisional one is for
	hint    atomic.Pointer[ways]          // of a provisional one, while its runtime is not known
	remote  atomic.Pointer[remoteRuntime] // nil while that is so
	verdict atomic.Int32                  // on a provisional one
	known   atomic.Bool                   // its runtime is known, and knows flows

	mu      sync.Mutex
	sender  *flow.Sender
	spare   []post         // transmissions that are made
	tails   []byte         // memory for those of transmissions
	name    codec.FlowName // what all of these begin with; nil before it is needed
	lane    lane           // of the last post
	waiting fifo[held]
	waits   int            // messages in waiting
	blocked map[string]int // items of waiting, by address
	patience,
	timer *time.Timer
	due     time.Time // of timer
	used    time.Time
	taken   intake // of the direct way, at the last look
	stalled bool   // that is the one of the look before, and the way is in doubt
	plain   bool   // its messages were none of a flow
	closed  bool
}

// Verdicts on a provisional flow.
const (
	undecided int32 = iota
	announced
	plain
)

// ways are how its runtime, or its address, is reached now; nil if that is not
// known.
func (o *outflow) ways() *ways {
	if rm := o.remote.Load(); rm != nil {
		if w := rm.ways.Load(); w != nil {
			return w
		}
	}
	return o.hint.Load()
}

// offer takes a post into the flow (taken), or lets it wait for room (neither
// taken nor an error): then its verdict comes later. The order of an address is
// kept.
func (o *outflow) offer(p *post) (taken bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	o.used = now
	o.lane.be(p.m.From, p.m.To)
	if o.blocked[p.m.To] == 0 {
		if o.sender.Post(now, o.item(p)) {
			return true, nil
		}
	}
	if p.by == poster(itself{}) { // which cannot be held back
		return false, o.full(p.m.To)
	}
	o.await(item{post: p}, now)
	return false, nil
}

// await has something wait for room.
func (o *outflow) await(i item, now time.Time) {
	if o.waiting.len() == 0 {
		o.arm(&o.patience, o.limits().FullTime, o.impatient)
	}
	o.waiting.push(held{i, now.Add(o.limits().FullTime)})
	o.waits += i.count()
	o.blocked[o.lane.to]++
	i.by().charge(i.cost())
}

func (o *outflow) limits() *Limits { return &o.flows.bus.limits }

func (o *outflow) item(p *post) flow.Item {
	o.lane.be(p.m.From, p.m.To)
	return flow.Item{Address: o.lane.to, Lane: o.lane.name, Size: p.cost(), Value: p}
}

// enter takes something into the flow, all of it or what there is room for: that is in.
// What went in of a batch is not in i any more.
func (o *outflow) enter(i *item, now time.Time) (in item, all bool) {
	if i.post != nil {
		if all = o.sender.Post(now, o.item(i.post)); all {
			in = *i
		}
		return in, all
	}
	n := o.sender.PostSeveral(now, i.part.of.item(), i.part.from, i.part.to)
	return item{part: i.part.cut(n)}, i.part.len() == 0
}

// lane is the name of the lane from one address to another; most posts have that of the
// one before.
type lane struct{ from, to, name string }

func (l *lane) be(from, to string) {
	if l.from != from || l.to != to {
		l.name = from + "\x00" + to
		l.from, l.to = l.name[:len(from)], l.name[len(from)+1:]
	}
}

func (o *outflow) full(to string) error {
	return refuse(reasonFlowFull, 429, "%s does not deal with what it has been sent", to)
}

// arm sets a timer that is made when it is needed first.
func (o *outflow) arm(t **time.Timer, after time.Duration, f func()) {
	switch {
	case o.closed:
	case *t == nil:
		*t = time.AfterFunc(after, f)
	default:
		(*t).Reset(after)
	}
}

// admit lets those in that have room now; of an address, none passes another.
func (o *outflow) admit(now time.Time) (accepted []item) {
	for len(o.blocked) == 1 && o.waiting.len() > 0 { // mostly all are for one
		var all bool
		if accepted, all = o.letIn(o.waiting.first(), now, accepted); !all {
			return accepted
		}
		o.waiting.pop()
	}
	if o.waiting.len() == 0 {
		return accepted
	}
	stays := map[string]bool{}
	var left []held
	for o.waiting.len() > 0 {
		w := o.waiting.pop()
		if to := w.to(); !stays[to] {
			var all bool
			if accepted, all = o.letIn(&w, now, accepted); all {
				continue
			}
			stays[to] = true
		}
		left = append(left, w)
	}
	for _, w := range left {
		o.waiting.push(w)
	}
	return accepted
}

// letIn lets in what there is room for, and adds it to what was accepted.
func (o *outflow) letIn(w *held, now time.Time, accepted []item) ([]item, bool) {
	to := w.to()
	in, all := o.enter(&w.item, now)
	if in.count() > 0 {
		o.leave(in, to, all)
		accepted = append(accepted, in)
	}
	return accepted, all
}

// leave counts what does not wait any more; all says that it is the last of an item.
func (o *outflow) leave(i item, to string, all bool) {
	i.by().charge(-i.cost())
	o.waits -= i.count()
	if !all {
		return
	}
	if o.blocked[to]--; o.blocked[to] == 0 {
		delete(o.blocked, to)
	}
}

// leaveFirst takes the first out that waits, and gives its posts.
func (o *outflow) leaveFirst() []*post {
	first := o.waiting.pop().item
	o.leave(first, first.to(), true)
	return first.posts(false)
}

// impatient refuses what has waited too long.
func (o *outflow) impatient() {
	o.mu.Lock()
	now := time.Now()
	var verdicts []verdict
	for o.waiting.len() > 0 && !o.waiting.first().deadline.After(now) {
		for _, p := range o.leaveFirst() {
			if done, err := p.decide(o.full(p.m.To)); done {
				verdicts = append(verdicts, verdict{post: p, err: err})
			}
		}
	}
	if o.waiting.len() > 0 {
		o.arm(&o.patience, time.Until(o.waiting.first().deadline), o.impatient)
	}
	o.mu.Unlock()
	o.flows.bus.carryOut(verdicts)
}

// pump puts what is due into the inboxes of the ways, as much as they take.
func (o *outflow) pump() {
	t := o.flows.bus.table
	t.mu.RLock()
	defer t.mu.RUnlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	now := time.Now()
	var direct, relay *inbox
	if w := o.ways(); w != nil {
		direct, relay = t.taker(w.direct), t.taker(w.relay)
		o.sender.SetPaths(now, flow.Paths{Direct: direct != nil, Relay: relay != nil, Doubt: w.doubt || o.stalled})
	}
	o.sender.Ready(flow.Both)
	for tx, ok := o.sender.Next(now); ok; tx, ok = o.sender.Next(now) {
		o.transmit(tx, direct, relay)
	}
	o.wait(now)
}

// transmit puts one message, or some of a batch, into the inboxes of its ways. One that is
// full tells when it has room again.
func (o *outflow) transmit(tx flow.Transmission, direct, relay *inbox) {
	var put func(*inbox) int
	if b, ok := tx.Value.(*batch); ok {
		acks := o.acks(part{b, tx.From, tx.From + 1}.size())
		put = func(in *inbox) int { return o.pass(tx, acks, in) }
	} else {
		p := o.transmission(tx)
		put = func(in *inbox) int { return in.offerOne(p, o) }
	}
	var taken [2]int
	for i, in := range []*inbox{direct, relay} {
		path := []flow.Path{flow.Direct, flow.Relay}[i]
		if tx.Path&path == 0 {
			continue
		}
		q, known := tx.Value.(*post)
		known = known && q.trail.paths.Or(uint32(path))&uint32(path) == 0 // its response may end it at once
		if in != nil {
			taken[i] = put(in)
		}
		if n := max(tx.Count, 1); taken[i] < n {
			o.sender.Unsent(tx.Sequence+uint64(taken[i]), n-taken[i], path) // not negative
		}
		if known && taken[i] == 0 {
			q.trail.paths.And(^uint32(path))
		}
	}
	o.flows.bus.metrics.transmitted(taken[0], taken[1], tx.Again)
}

// made gives a post for a transmission. A few are made together.
func (o *outflow) made() *post {
	if len(o.spare) == 0 {
		o.spare = make([]post, postsTogether)
	}
	p := &o.spare[0]
	o.spare = o.spare[1:]
	p.by = itself{}
	return p
}

// transmission makes what goes into the inboxes: the bytes of a post as they are, and its
// place in the flow behind them.
func (o *outflow) transmission(tx flow.Transmission) *post {
	p := o.made()
	q, ok := tx.Value.(*post)
	if !ok {
		p.m = o.message(tx)
		p.size = codec.Size(p.m)
		return p
	}
	p.awaited, p.burst = q.request != nil, q.burst
	if p.m, p.encoded = q.m, q.encoded; p.encoded == nil {
		p.encoded, _ = codec.Append(nil, q.m) // it has been measured, and nobody changes it
	}
	p.tail = o.tail(placeOf(tx, 0, o.acks(len(p.encoded))))
	p.size = len(p.encoded) + len(p.tail)
	return p
}

// tailsTogether is the memory for tails that is made at once, in bytes.
const tailsTogether = 2 << 10

// tail encodes the place of a message.
func (o *outflow) tail(at codec.FlowPlace) []byte {
	name := o.flowName()
	if most := codec.MaxFlow(name); cap(o.tails)-len(o.tails) < most {
		o.tails = make([]byte, 0, max(tailsTogether, most))
	}
	begin := len(o.tails)
	o.tails = codec.AppendFlow(o.tails, name, at)
	return o.tails[begin:len(o.tails):len(o.tails)]
}

func (o *outflow) flowName() codec.FlowName {
	if o.name == nil {
		o.name = codec.NewFlowName(&pb.Flow{
			Runtime: o.flows.bus.runtimeURL, Epoch: o.id.Epoch, Id: o.id.Number, Replica: o.flows.bus.mesh.name(),
		})
	}
	return o.name
}

// acks are those that go along with a message of so many bytes.
func (o *outflow) acks(size int) []*pb.FlowAck {
	rm := o.remote.Load()
	if rm == nil || size >= o.limits().Flow.Short { // a long one is longer on its way
		return nil
	}
	return rm.along()
}

// message is what says a place alone.
func (o *outflow) message(tx flow.Transmission) *pb.Message {
	b := o.flows.bus
	m := &pb.Message{Id: flowID, Type: message.FlowType, From: b.own, To: o.address}
	if rm := o.remote.Load(); rm != nil {
		m.To = address.Bus(rm.url)
	}
	m.Flow = &pb.Flow{
		Runtime: b.runtimeURL, Epoch: o.id.Epoch, Id: o.id.Number,
		Sequence: tx.Sequence, Base: tx.Base, After: tx.After,
		Replica: b.mesh.name(), Receiver: tx.Receiver, Acks: o.acks(0),
	}
	return m
}

// wait sets the timer for what the machine must be told of next.
func (o *outflow) wait(now time.Time) {
	at, ok := o.sender.Deadline()
	if !ok {
		o.due = time.Time{}
		return
	}
	if !o.due.IsZero() && !at.Before(o.due) && o.due.After(now) {
		return // it comes early enough, and looks again
	}
	o.due = at
	o.arm(&o.timer, at.Sub(now), o.tick)
}

func (o *outflow) tick() {
	o.mu.Lock()
	now := time.Now()
	o.due = time.Time{}
	settled := fates(o.sender.Tick(now))
	accepted := o.admit(now)
	o.mu.Unlock()
	o.carryOut(settled, accepted)
	o.pump()
}

// look takes what has become known about a provisional flow, and pumps.
func (o *outflow) look() {
	o.mu.Lock()
	now := time.Now()
	switch o.verdict.Swap(undecided) {
	case announced:
		o.sender.Announce(now)
	case plain:
		if !o.sender.Announced() {
			o.mu.Unlock()
			o.goPlain()
			return
		}
	}
	o.mu.Unlock()
	o.pump()
	o.flows.retire(o)
}

// goPlain ends a provisional flow to a runtime that knows none. What has not been
// sent goes by its route, before anything newer.
func (o *outflow) goPlain() {
	t, f := o.flows.bus.table, o.flows
	t.mu.Lock()
	settled, left := o.plainly()
	f.mu.Lock()
	f.drop(o)
	f.mu.Unlock()
	var verdicts []verdict
	for _, p := range left {
		if done, err := t.onward(p); done {
			verdicts = append(verdicts, verdict{post: p, err: err})
		}
	}
	t.mu.Unlock()
	o.carryOut(settled, nil)
	o.flows.bus.carryOut(verdicts)
}

// plainly gives what went plain, and what has to go so, in order.
func (o *outflow) plainly() (settled []fate, left []*post) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.plain = true
	var went []flow.Settled
	for _, s := range o.sender.Plain(time.Now()) {
		switch p, of := settledItem(s); {
		case !s.Unsent:
			went = append(went, s)
		case p != nil:
			left = append(left, p)
		default:
			left = append(left, openSettled(of, s.Ways)...)
		}
	}
	for o.waiting.len() > 0 {
		left = append(left, o.leaveFirst()...)
	}
	return fates(went), left
}

// acked takes an ack of another bus.
func (o *outflow) acked(a *pb.FlowAck) {
	o.mu.Lock()
	now := time.Now()
	settled := fates(o.sender.Acked(now, a))
	accepted := o.admit(now)
	o.mu.Unlock()
	o.carryOut(settled, accepted)
	o.pump()
	o.flows.retire(o)
}

// refused takes a stub's or a Message Node's word that a message did not arrive.
// False when nothing of this flow is kept any more, as its messages were plain.
func (o *outflow) refused(sequence uint64, why *fault.Error) bool {
	o.mu.Lock()
	if o.plain {
		o.mu.Unlock()
		return false
	}
	now := time.Now()
	settled := fates(o.sender.Refused(now, sequence, int32(why.Code), why.Description)) // three digits
	accepted := o.admit(now)
	o.mu.Unlock()
	o.carryOut(settled, accepted)
	o.pump()
	return true
}

// carryOut tells the posters.
func (o *outflow) carryOut(settled []fate, accepted []item) {
	b := o.flows.bus
	for _, i := range accepted {
		if i.post == nil {
			b.metrics.tally.messages[outNone].accepted.Add(float64(i.count()))
		} else if done, err := i.post.decide(nil); done {
			b.settle(i.post, err)
		}
	}
	var done []*post
	for _, f := range settled {
		switch p := f.post; {
		case p == nil:
			b.finishPart(f.part, courseOf(f.ways))
			f.part.of.free(f.count())
		case !p.dealt():
		case f.why != nil:
			b.refuseRemotely(p, f.why)
		default:
			done = append(done, p)
		}
	}
	b.finishAll(done)
}

func (o *outflow) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sender.Empty() && o.waiting.len() == 0
}

// idleSince is how long it has been empty; 0 when it is not.
func (o *outflow) idleSince(now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.sender.Empty() || o.waiting.len() > 0 {
		return 0
	}
	return now.Sub(o.used)
}

func (o *outflow) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, t := range []*time.Timer{o.timer, o.patience} {
		if t != nil {
			t.Stop()
		}
	}
}

// taker gives the inbox of a way, that of a stub at this replica if there is one; nil
// when nobody listens there.
func (t *table) taker(address string) *inbox {
	pl := t.places[address]
	if pl == nil || len(pl.takers) == 0 {
		return nil
	}
	for _, in := range pl.takers {
		if in.stream.peer == "" {
			return in
		}
	}
	return pl.takers[0]
}
