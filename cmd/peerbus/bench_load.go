package main

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/message"
)

// load is a measurement: workers that post one message after the other.
type load struct {
	settings *benchSettings
	bus      *client.Bus
	to       string
	paths    *pathCounts

	begun atomic.Int64 // messages
	end   time.Time    // when no more begin; zero for never

	mu     sync.Mutex
	took   latencies
	failed map[fault.Code]*benchError
}

// run measures until the end, or until ctx is over.
func (l *load) run(ctx context.Context) *benchReport {
	s, began := l.settings, time.Now()
	if s.duration > 0 {
		l.end = began.Add(s.duration)
	}
	l.failed = map[fault.Code]*benchError{}
	body := message.MarshalBody(map[string]string{"value": strings.Repeat("x", s.size)})
	var workers sync.WaitGroup
	for range s.concurrency {
		workers.Go(func() {
			for l.next(ctx) {
				l.one(ctx, body)
			}
		})
	}
	workers.Wait()
	return l.report(time.Since(began), ctx.Err() != nil)
}

// next tells whether one more message shall begin.
func (l *load) next(ctx context.Context) bool {
	if ctx.Err() != nil || !l.end.IsZero() && !time.Now().Before(l.end) {
		return false
	}
	return l.settings.number == 0 || l.begun.Add(1) <= int64(l.settings.number)
}

// one posts a message, and waits. What an interrupt ends does not count.
func (l *load) one(ctx context.Context, body []byte) {
	began := time.Now()
	resp, err := l.post(ctx, body)
	took := time.Since(began)
	if ctx.Err() != nil {
		return
	}
	if resp != nil && !l.settings.listen { // else the listener counts it
		l.paths.count(resp)
	}
	l.note(took, err)
	if err != nil { // what is refused at once shall not keep both sides busy
		_ = run.Sleep(ctx, benchPause)
	}
}

// benchPause is how long a worker rests after a message that failed.
const benchPause = 20 * time.Millisecond

// benchGrace is how much longer than the bus a post waits, so that the bus's own word
// on a time-out is heard.
const benchGrace = time.Second

func (l *load) post(ctx context.Context, body []byte) (*pb.Message, error) {
	s := l.settings
	ctx, cancel := context.WithTimeout(ctx, s.timeout+benchGrace)
	defer cancel()
	m := &pb.Message{Type: benchType, From: s.from, To: l.to, Body: body}
	outcome, err := l.bus.Start(ctx, m, s.wait, s.timeout)
	if err != nil {
		return nil, err
	}
	resp, err := outcome(ctx)
	if err == nil && resp != nil {
		_, err = message.Result(resp)
	}
	return resp, err
}

func (l *load) note(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.took.add(took)
		return
	}
	f := fault.From(err)
	e := l.failed[f.Code]
	if e == nil {
		e = &benchError{Code: int(f.Code), Description: f.Description}
		l.failed[f.Code] = e
	}
	e.Messages++
}

// pathCounts count messages by the path that they came. Its methods may be called by
// several goroutines.
type pathCounts struct{ direct, relay, local atomic.Uint64 }

func (p *pathCounts) count(m *pb.Message) {
	switch probePath(m) {
	case pathDirect:
		p.direct.Add(1)
	case pathRelay:
		p.relay.Add(1)
	default:
		p.local.Add(1)
	}
}

// known gives the paths that were taken.
func (p *pathCounts) known() map[string]uint64 {
	all := map[string]uint64{pathDirect: p.direct.Load(), pathRelay: p.relay.Load(), pathLocal: p.local.Load()}
	for path, n := range all {
		if n == 0 {
			delete(all, path)
		}
	}
	return all
}

// routePath names the path of a route; empty when there is none.
func routePath(r *pb.Route) string {
	switch {
	case r.GetReason() == pb.RouteReason_ROUTE_REASON_LOCAL:
		return pathLocal
	case r.GetNext() == "":
		return ""
	case strings.Contains(r.Next, "/protostub/"):
		return pathRelay
	default:
		return pathDirect
	}
}
