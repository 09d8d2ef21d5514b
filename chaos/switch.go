package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/numbered"
	"github.com/peerbus/peerbus/internal/run"
)

const (
	// switchRounds is how often each way to force a switch is used.
	switchRounds = 5
	// steadyFor is how long steady traffic is measured.
	steadyFor = 5 * time.Second
	// around is what counts as the time of a switch: so long after it was forced
	// away from the data channel; half of it before, and half after, the first
	// message that comes over the data channel again.
	around = 2 * time.Second
	// pacedEvery is the time between the posts of one poster in the paced pass,
	// which measures latency without a queue.
	pacedEvery = 10 * time.Millisecond
	// fullPairs is how many posters each way there are in the pass at full speed.
	fullPairs = 8
)

const steadyDirect, steadyRelayed = "steady, direct", "steady, over the Message Node"

// phase is what was seen in all spans of one kind.
type phase struct {
	Pass   string  `json:"pass"`
	Phase  string  `json:"phase"`
	Spans  int     `json:"spans"`
	Rate   float64 `json:"messages_per_second"` // both ways
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Max    float64 `json:"max_ms"`
	RateBy float64 `json:"rate_to_steady"` // ratios to steady direct traffic of the same pass
	P50By  float64 `json:"p50_to_steady"`
	P99By  float64 `json:"p99_to_steady"`
}

// switchReport is what -switch prints.
type switchReport struct {
	Phases   []phase   `json:"phases"`
	Paced    *report   `json:"paced"`
	AtFull   *report   `json:"full"`
	problems []*report // both
}

// runSwitches measures steady traffic, and traffic around switches that it
// forces; once with paced posters, and once with posters at full speed.
func runSwitches(ctx context.Context, _ settings, w *world, p *progress) (*switchReport, error) {
	out := &switchReport{}
	for _, pass := range []struct {
		name  string
		pairs int
		pace  pace
		into  **report
	}{
		{"paced", 5, pace{every: pacedEvery}, &out.Paced},
		{"full speed", fullPairs, pace{}, &out.AtFull},
	} {
		p.say("pass: %s", pass.name)
		phases, r, err := measureSwitches(ctx, w, p, pass.name, pass.pairs, pass.pace)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pass.name, err)
		}
		out.Phases = append(out.Phases, phases...)
		*pass.into, out.problems = r, append(out.problems, r)
	}
	return out, nil
}

func measureSwitches(ctx context.Context, w *world, p *progress, pass string, pairs int, pc pace) ([]phase, *report, error) {
	t, err := w.newSteadyTraffic(ctx, pairs, pc)
	if err != nil {
		return nil, nil, err
	}
	s := &switcher{world: w, traffic: t, progress: p}
	t.observe = s.record
	t.start(ctx)
	if err := s.play(ctx); err != nil {
		return nil, nil, err
	}
	t.halt(ctx, quietAfterPass)
	t.drain(ctx, quietAfterPass)
	r := newReport(t.judge.Findings(), p.began, nil)
	r.Direct, r.Failures = true, w.failures()
	return phases(pass, s.stages, s.taken), r, ctx.Err()
}

// quietAfterPass is settings.quiet of a pass.
const quietAfterPass = 90 * time.Second

// stage is a named span of a pass.
type stage struct {
	name string
	numbered.Span
}

// switcher forces switches and notes when.
type switcher struct {
	world    *world
	traffic  *traffic
	progress *progress
	stages   []stage

	mu    sync.Mutex
	taken []handOver
}

func (s *switcher) record(h handOver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = append(s.taken, h)
}

func (s *switcher) note(name string, from time.Time, length time.Duration) {
	s.stages = append(s.stages, stage{name, numbered.Span{From: from, To: from.Add(length)}})
}

// play measures both paths in steady state, then each way to switch.
func (s *switcher) play(ctx context.Context) error {
	alice := s.world.sides[0]
	udp := s.world.udpCut(alice)
	if err := s.steady(ctx, steadyDirect, numbered.Direct); err != nil {
		return err
	}
	if err := udp.begin(ctx); err != nil {
		return err
	}
	if err := errors.Join(s.steady(ctx, steadyRelayed, numbered.Relayed), udp.heal(ctx)); err != nil {
		return err
	}
	for _, f := range []fault{s.closed(alice), terminated(s.world.process("p2pstub of " + alice.name)), udp} {
		for range switchRounds {
			if err := s.force(ctx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// closed closes the connection in order, at the registry; messages begin a new
// one.
func (s *switcher) closed(at *side) fault {
	remote := s.world.sides[1].runtimeURL()
	return fault{
		name: "closed at the registry",
		begin: func(ctx context.Context) error {
			_, err := pb.NewRegistryClient(at.registry).Disconnect(ctx, &pb.DisconnectRequest{Connection: remote})
			return err
		},
		heal: func(ctx context.Context) error {
			_, err := pb.NewRegistryClient(at.registry).Connect(ctx, &pb.ConnectRequest{Address: remote})
			return err
		},
	}
}

// steady measures traffic that has settled on a path.
func (s *switcher) steady(ctx context.Context, name, path string) error {
	if !s.traffic.settle(ctx, path) {
		return fmt.Errorf("traffic was not %s both ways within %s", path, directTime)
	}
	s.note(name, time.Now(), steadyFor)
	return run.Sleep(ctx, steadyFor)
}

// force switches to the Message Node and back.
func (s *switcher) force(ctx context.Context, f fault) error {
	if !s.traffic.settle(ctx, numbered.Direct) {
		return fmt.Errorf("after %s: %w", f.name, notDirect(ctx))
	}
	s.progress.say("switch: %s", f.name)
	s.note("to the node: "+f.name, time.Now(), around)
	if err := bounded(ctx, f.begin); err != nil {
		return err
	}
	err := run.Sleep(ctx, around)
	healed := time.Now()
	if err := errors.Join(err, bounded(ctx, f.heal)); err != nil {
		return err
	}
	if !s.traffic.settle(ctx, numbered.Direct) {
		return fmt.Errorf("after %s: %w", f.name, notDirect(ctx))
	}
	s.note("back: "+f.name, s.firstDirect(healed).Add(-around/2), around)
	return nil
}

// firstDirect is when the first message came directly again: after the last that
// did not.
func (s *switcher) firstDirect(healed time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := healed
	for _, h := range slices.Backward(s.taken) {
		if h.Path == numbered.Relayed {
			break
		}
		first = h.At
		if first.Before(healed) {
			break
		}
	}
	return first
}

// phases sums up the hand-overs of each kind of stage.
func phases(pass string, stages []stage, taken []handOver) []phase {
	var out []phase
	index := map[string]int{}
	latencies, lengths := map[string][]time.Duration{}, map[string]time.Duration{}
	for _, st := range stages {
		if _, ok := index[st.name]; !ok {
			index[st.name] = len(out)
			out = append(out, phase{Pass: pass, Phase: st.name})
		}
		out[index[st.name]].Spans++
		lengths[st.name] += st.Length()
		for _, h := range taken {
			if !h.At.Before(st.From) && h.At.Before(st.To) {
				latencies[st.name] = append(latencies[st.name], h.Latency)
			}
		}
	}
	for i := range out {
		out[i].measure(latencies[out[i].Phase], lengths[out[i].Phase])
		out[i].compare(out[0])
	}
	return out
}

func (p *phase) measure(latencies []time.Duration, length time.Duration) {
	if len(latencies) == 0 {
		return
	}
	slices.Sort(latencies)
	at := func(part float64) float64 {
		return float64(latencies[int(part*float64(len(latencies)-1))]) / float64(time.Millisecond)
	}
	p.Rate = float64(len(latencies)) / length.Seconds()
	p.P50, p.P99, p.Max = at(0.5), at(0.99), at(1)
}

// compare gives the ratios to steady traffic.
func (p *phase) compare(steady phase) {
	ratio := func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return a / b
	}
	p.RateBy, p.P50By, p.P99By = ratio(p.Rate, steady.Rate), ratio(p.P50, steady.P50), ratio(p.P99, steady.P99)
}

func (r *switchReport) print(w io.Writer) error {
	var rows [][]string
	for _, p := range r.Phases {
		rows = append(rows, []string{
			p.Pass, p.Phase, number(p.Spans), fmt.Sprintf("%.0f", p.Rate),
			fmt.Sprintf("%.2f", p.P50), fmt.Sprintf("%.2f", p.P99), fmt.Sprintf("%.2f", p.Max),
			fmt.Sprintf("%.2f", p.RateBy), fmt.Sprintf("%.1f", p.P50By), fmt.Sprintf("%.1f", p.P99By),
		})
	}
	heading := []string{"PASS", "PHASE", "SPANS", "MESSAGES/S", "P50 MS", "P99 MS", "MAX MS", "× RATE", "× P50", "× P99"}
	if err := table(w, heading, rows); err != nil {
		return err
	}
	for _, part := range r.problems {
		if _, err := fmt.Fprint(w, part.counts()); err != nil {
			return err
		}
	}
	return nil
}

func (r *switchReport) verdict() error {
	var errs []error
	for _, part := range r.problems {
		errs = append(errs, part.verdict())
	}
	return errors.Join(errs...)
}
