package bus

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/codec"
)

// link is the stream by which this bus is attached to another replica: it tells it
// what listeners it has, takes what comes for them (deliveries.go), and passes on what
// the other one has to take. Its reader is the goroutine of run.
type link struct {
	mesh   *mesh
	bus    *Bus
	member members.Member
	failed atomic.Bool // it could not be made, or broke
	away   atomic.Bool // the other one is no member now
	late   atomic.Bool // it has answered nothing for Limits.AnswerTime
	up     atomic.Bool // the other one has been told all, or will be, on a stream that is there
	// Of the goroutine of run: since when there is no link, and whether that is in the log.
	without time.Time
	said    bool
	wake    chan struct{} // has a token when there may be something to send

	taking sync.Mutex // held while deliveries are offered, so that they keep their order

	mu       sync.Mutex
	changes  fifo[*pb.ReplicaChange] // to be sent
	unacked  fifo[*pb.ReplicaChange] // in the order in which they were told
	sequence uint64                  // the last one told
	heard    time.Time               // when the other one last answered, or was asked for something
	refused  refusals
	complete bool // the other one has confirmed the end of the snapshot
	confirms fifo[toConfirm]
	listed   map[string]*listed // own listeners, as the other one knows them
	queues   map[uint64]*queue  // of the other one, from which deliveries are not dealt with
	dirty    []*queue           // that have credit to give
	credits  []*pb.Credit
	awaited  []*pb.AwaitedResponse
	posts    fifo[*pb.Post]
	bytes    int                // of posts
	end      context.CancelFunc // of the stream; nil without one
}

// listed is a listener that the other replica has been told of.
type listed struct {
	here  bool
	since uint64 // the change that told of it
	// ending is how often it has gone that the other one does not know yet: what comes
	// until it does is for one that is gone.
	ending int
}

// toConfirm is what waits until a change has been taken; 0: the snapshot.
type toConfirm struct {
	sequence uint64
	c        *confirmation
}

func newLink(m *mesh, to members.Member) *link {
	l := &link{mesh: m, bus: m.bus, member: to, wake: make(chan struct{}, 1)}
	l.clear()
	return l
}

// run keeps the link up while the other replica is a member.
func (l *link) run(ctx context.Context) {
	defer l.reset()
	conn, err := l.mesh.dial(l.member)
	if err != nil {
		l.bus.log.Error("another replica cannot be dialled", "replica", l.member.ID, "endpoint", l.member.Addr, "error", err)
		l.failed.Store(true)
		l.mesh.renewed()
		for l.mesh.wanted(l) && ctx.Err() == nil {
			_ = run.Sleep(ctx, retry.DefaultMax)
		}
		return
	}
	defer func() { _ = conn.Close() }()
	var backoff retry.Backoff
	for l.mesh.wanted(l) {
		err := l.stream(ctx, conn)
		was := l.up.Load()
		l.reset()
		if ctx.Err() != nil {
			continue
		}
		l.failed.Store(true)
		l.mesh.renewed()
		if was {
			backoff.Reset()
		}
		l.say(ctx, was, err)
		if backoff.Wait(ctx) != nil {
			continue
		}
	}
}

// say logs why there is no link: that it broke, or, once, that it cannot be made. A
// replica that is coming or going is left the time for that.
func (l *link) say(ctx context.Context, broke bool, err error) {
	switch now := time.Now(); {
	case broke:
		l.without, l.said = now, false
		l.bus.log.Log(ctx, fault.EndLevel(err), "the link to another replica broke", "replica", l.member.ID, "endpoint", l.member.Addr, "error", err)
	case l.without.IsZero():
		l.without = now
	case !l.said && now.Sub(l.without) > l.bus.limits.JoinTime:
		l.said = true
		l.bus.log.Warn("another replica cannot be linked to", "replica", l.member.ID, "endpoint", l.member.Addr, "error", err)
	}
}

// stream attaches to the other replica, tells all, and serves until the stream ends.
func (l *link) stream(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	call, err := pb.NewMessageBusClient(conn).Attach(ctx, grpc.WaitForReady(false))
	if err != nil {
		return err
	}
	hello := &pb.Hello{Name: "bus", Component: pb.Component_COMPONENT_BUS, Replica: l.mesh.id, ToReplica: l.member.ID, Epoch: l.bus.flows.epoch}
	if err := call.Send(&pb.AttachRequest{Hello: hello}); err != nil {
		return endOfCall(call, err)
	}
	first, err := call.Recv()
	if err != nil {
		return err
	}
	if url := first.GetWelcome().GetRuntimeUrl(); url != l.bus.runtimeURL {
		return fault.New(fault.Conflict, "it is of the runtime %q", url)
	}
	l.mu.Lock()
	l.end = cancel
	l.mu.Unlock()
	l.bus.table.snapshot(l)
	for _, q := range l.bus.requests.told() {
		l.await(q)
	}
	l.failed.Store(false)
	l.mesh.renewed()
	l.without, l.said = time.Time{}, false
	l.bus.log.Info("linked to another replica", "replica", l.member.ID, "endpoint", l.member.Addr)
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cancel()
	writer.Go(func() {
		defer cancel()
		rpc.SendAll(ctx, l.next, l.wake, call.Send)
	})
	return l.read(call)
}

func endOfCall(call pb.MessageBus_AttachClient, err error) error {
	if _, why := call.Recv(); why != nil {
		return why
	}
	return err
}

func (l *link) read(call pb.MessageBus_AttachClient) error {
	for {
		resp, err := call.Recv()
		if err != nil {
			return err
		}
		for _, o := range resp.GetOutcomes() {
			if err := l.taken(o); err != nil {
				return err
			}
		}
		for _, d := range resp.GetDeliveries() {
			l.take(d)
		}
	}
}

// next takes a frame of what is queued; nil when there is nothing. Credit comes before
// changes, as it may be for a listener that one of them takes away, and what is waited
// for before the posts that may answer it. What is left of one kind goes before the next.
func (l *link) next() *pb.AttachRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.dirty {
		l.credits = q.flush(l.credits)
		q.dirty = false
		q.tidy()
	}
	l.dirty = nil
	req, f := &pb.AttachRequest{}, frame{}
	req.Credits, l.credits = fit(&f, l.credits)
	req.Awaited, l.awaited = fit(&f, l.awaited)
	for l.changes.len() > 0 && f.takes(*l.changes.first()) {
		req.Changes = append(req.Changes, l.changes.pop())
	}
	for l.posts.len() > 0 && f.takes(*l.posts.first()) {
		p := l.posts.pop()
		req.Posts = append(req.Posts, p)
		l.bytes -= codec.Size(p.GetMessage())
	}
	if f.bytes == 0 {
		return nil
	}
	if f.full {
		signal(l.wake)
	}
	return req
}

// frame is how much of one is used. One part alone may be larger than frameBytes.
type frame struct {
	bytes int
	full  bool
}

// takes tells whether the next part of the frame fits; after one that does not, none
// does.
func (f *frame) takes(part proto.Message) bool {
	size := max(1, proto.Size(part))
	if f.full = f.full || f.bytes > 0 && f.bytes+size > frameBytes; f.full {
		return false
	}
	f.bytes += size
	return true
}

// fit gives what fits, and the rest.
func fit[M proto.Message](f *frame, parts []M) (in, rest []M) {
	n := 0
	for n < len(parts) && f.takes(parts[n]) {
		n++
	}
	if n == len(parts) {
		return parts, nil
	}
	return parts[:n:n], parts[n:]
}

// begin has all told that there is at the beginning of a stream, and then what is told
// with tell. The table is locked.
func (l *link) begin(all []*pb.ReplicaChange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up.Store(true)
	l.late.Store(false)
	for _, c := range all {
		l.queue(c)
	}
}

// tell queues a change, if a stream is there. The table is locked.
func (l *link) tell(c *pb.ReplicaChange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up.Load() {
		l.queue(c)
	}
}

func (l *link) queue(c *pb.ReplicaChange) {
	c = proto.CloneOf(c) // each link has its own numbers
	l.sequence++
	c.Sequence = l.sequence
	l.changes.push(c)
	if l.unacked.len() == 0 {
		l.heard = time.Now()
	}
	l.unacked.push(c)
	if c.GetRemove() {
		delete(l.refused.of, added{c.GetAddress(), c.GetLeadsTo()})
	}
	signal(l.wake)
	if l.unacked.len() > l.most() && l.end != nil {
		l.end() // the other one does not keep up: it is told all anew
	}
	if c.GetAddress() == "" || c.GetLeadsTo() != "" {
		return
	}
	of := l.listed[c.Address]
	if of == nil {
		of = &listed{}
		l.listed[c.Address] = of
	}
	if !of.here {
		of.since = c.Sequence
	}
	of.here = !c.GetRemove()
	if c.GetRemove() {
		of.ending++
	}
}

// most is how many changes the other replica may not have taken, and how many may wait
// for that: no more than are told at the beginning of a stream.
func (l *link) most() int { return l.bus.limits.Listeners + l.bus.limits.Origins + 1 }

// taken notes that the other replica has taken the next change.
func (l *link) taken(o *pb.Outcome) error {
	l.mu.Lock()
	if l.unacked.len() == 0 || (*l.unacked.first()).Sequence != o.GetSequence() {
		l.mu.Unlock()
		return fault.New(fault.Internal, "an outcome came for change %d, which is not the next", o.GetSequence())
	}
	c := l.unacked.pop()
	l.heard = time.Now()
	l.late.Store(false)
	if of := l.listed[c.GetAddress()]; of != nil && c.GetRemove() && c.GetLeadsTo() == "" {
		if of.ending--; of.ending == 0 && !of.here {
			delete(l.listed, c.Address)
		}
	}
	l.complete = l.complete || c.GetComplete()
	var confirmed []*confirmation
	for l.complete && l.confirms.len() > 0 && l.confirms.first().sequence <= c.Sequence {
		confirmed = append(confirmed, l.confirms.pop().c)
	}
	l.mu.Unlock()
	l.note(c, o)
	for _, one := range confirmed {
		one.done()
	}
	return nil
}

// confirm has something confirmed once the other replica has taken all that it has been
// told up to now. One that is away, or answers nothing, is not waited for: it takes that
// when it goes on.
func (l *link) confirm(c *confirmation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.complete && l.unacked.len() == 0 || l.failed.Load() || l.forsaken() || l.confirms.len() >= l.most() {
		return
	}
	c.left.Add(1)
	l.confirms.push(toConfirm{l.sequence, c})
}

// forsaken tells whether the other replica is not waited for.
func (l *link) forsaken() bool { return l.away.Load() || l.late.Load() }

// forsake lets go what waits for a replica that is away, or answers nothing.
func (l *link) forsake(now time.Time) {
	l.mu.Lock()
	if (l.unacked.len() > 0 || !l.up.Load()) && now.Sub(l.heard) > l.bus.limits.AnswerTime {
		l.late.Store(true)
	}
	var confirms []toConfirm
	if l.forsaken() {
		confirms = l.confirms.drain()
	}
	l.mu.Unlock()
	for _, one := range confirms {
		one.c.done()
	}
}

// reset forgets what was of a stream that has ended.
func (l *link) reset() {
	l.mu.Lock()
	l.up.Store(false)
	confirms := l.confirms.drain()
	l.clear()
	l.mu.Unlock()
	for _, one := range confirms {
		one.c.done()
	}
}

func (l *link) clear() {
	for _, q := range l.queues {
		q.over = true
	}
	l.changes, l.unacked, l.confirms, l.posts = fifo[*pb.ReplicaChange]{}, fifo[*pb.ReplicaChange]{}, fifo[toConfirm]{}, fifo[*pb.Post]{}
	l.listed, l.queues = map[string]*listed{}, map[uint64]*queue{}
	l.refused = refusals{of: map[added]bool{}}
	l.dirty, l.credits, l.awaited = nil, nil, nil
	l.sequence, l.bytes, l.complete, l.end = 0, 0, false, nil
	l.heard = time.Now()
	l.late.Store(false)
}

// String is for the log.
func (l *link) String() string { return fmt.Sprintf("%s at %s", l.member.ID, l.member.Addr) }
