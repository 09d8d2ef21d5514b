package bus

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/internal/rpc"
)

// asker keeps the open questions to the registry. They outlive its stream: a
// new one is asked all of them again. Its methods never wait.
type asker struct {
	limit int
	epoch atomic.Uint64 // counts the streams to the registry

	mu       sync.Mutex
	sequence uint64
	open     map[uint64]*question
	unsent   []uint64
	up       bool
	wake     chan struct{}
}

// question is one of both kinds.
type question struct {
	sequence uint64
	query    *pb.RouteQuery
	source   *pb.SourceQuery
	key      sourceKey
	line     sourceKey // which line waits for it; that of the key, but for flows
}

// askBatch is how many questions go into one frame.
const askBatch = 256

func newAsker(limit int) *asker {
	return &asker{limit: limit, open: map[uint64]*question{}, wake: make(chan struct{}, 1)}
}

// route asks where a message must go; 0 when too many questions are open.
func (a *asker) route(m *pb.Message) uint64 {
	return a.put(&question{query: &pb.RouteQuery{
		To: m.To, From: m.From, P2P: m.P2P, P2PHandler: m.P2PHandler, P2PRequester: m.P2PRequester, Again: true,
	}})
}

// whether asks if a source may send; 0 when too many questions are open.
func (a *asker) whether(k, line sourceKey) uint64 {
	k, line = k.clone(), line.clone()
	return a.put(&question{key: k, line: line, source: &pb.SourceQuery{
		From: k.from, RemoteRuntimeUrl: k.remote, Node: k.node,
	}})
}

func (a *asker) put(q *question) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.open) >= a.limit {
		return 0
	}
	a.sequence++
	q.sequence = a.sequence
	if q.query != nil {
		q.query.Sequence = q.sequence
	} else {
		q.source.Sequence = q.sequence
	}
	a.open[q.sequence] = q
	if a.up {
		a.unsent = append(a.unsent, q.sequence)
		a.signal()
	}
	return q.sequence
}

func (a *asker) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// forget closes a question that nobody waits for any more.
func (a *asker) forget(sequence uint64) { a.answered(sequence) }

// answered closes a question and gives it; nil when it is not open.
func (a *asker) answered(sequence uint64) *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.open[sequence]
	delete(a.open, sequence)
	return q
}

// began is called with a new stream: all open questions are asked on it.
func (a *asker) began() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.up = true
	a.unsent = a.unsent[:0]
	for sequence := range a.open {
		a.unsent = append(a.unsent, sequence)
	}
	slices.Sort(a.unsent)
	a.epoch.Add(1)
	a.signal()
}

func (a *asker) ended() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.up, a.unsent = false, nil
}

// next takes a frame of questions; nil when there is none to send.
func (a *asker) next() *pb.RoutesRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	req := &pb.RoutesRequest{}
	for len(a.unsent) > 0 && len(req.Queries)+len(req.Sources) < askBatch {
		q := a.open[a.unsent[0]]
		a.unsent = a.unsent[1:]
		switch {
		case q == nil:
		case q.query != nil:
			req.Queries = append(req.Queries, q.query)
		default:
			req.Sources = append(req.Sources, q.source)
		}
	}
	if proto.Size(req) == 0 {
		return nil
	}
	return req
}

// askRegistry keeps the stream to the registry until ctx is done. While it is
// down everything known goes on, and the rest waits.
func (b *Bus) askRegistry(ctx context.Context) error {
	retry.Keep(ctx, b.routes,
		func(err error) {
			b.log.Log(ctx, fault.EndLevel(err), "stream to the registry broke, trying again; known routes are used on", "error", err)
		},
		func() { b.log.Info("stream to the registry is back") })
	return nil
}

func (b *Bus) routes(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	call, err := b.registry.Routes(ctx)
	if err != nil {
		return err
	}
	b.ask.began()
	defer b.ask.ended()
	b.table.reask()
	b.flows.reask()
	b.metrics.registry.Set(1)
	defer b.metrics.registry.Set(0)
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cancel()
	writer.Go(func() {
		defer cancel()
		rpc.SendAll(ctx, b.ask.next, b.ask.wake, func(req *pb.RoutesRequest) error {
			b.metrics.questions.Add(float64(len(req.Queries) + len(req.Sources)))
			return call.Send(req)
		})
	})
	for {
		resp, err := call.Recv()
		if err != nil {
			return err
		}
		b.hear(resp)
	}
}

// hear takes what the registry says, in the order in which it says it.
func (b *Bus) hear(resp *pb.RoutesResponse) {
	for _, a := range resp.GetAnswers() {
		if q := b.ask.answered(a.GetSequence()); q != nil && q.query != nil {
			b.traceRoute(q.query.GetTo(), a.GetRoute())
			b.carryOut(b.table.answered(q, a.GetRoute()))
		}
	}
	for _, r := range resp.GetChanges() {
		b.flows.learnPushed(r)
		known, verdicts := b.table.changed(r)
		if known {
			b.metrics.routeChanges.Inc()
			b.traceRoute(r.GetTo(), r)
		}
		b.carryOut(verdicts)
	}
	for _, a := range resp.GetSources() {
		if q := b.ask.answered(a.GetSequence()); q != nil && q.source != nil {
			b.sources.answered(q, a)
		}
	}
	if stale := resp.GetStaleSources(); len(stale) > 0 {
		b.sources.forget(stale)
	}
}
