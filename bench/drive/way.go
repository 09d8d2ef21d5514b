package drive

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	"github.com/peerbus/peerbus/internal/fault"
)

// stepTime bounds one measurement: nothing of it takes that long, unless it stands.
const stepTime = 60 * time.Second

// Way is over which messages go, from one end to the other, with all processes that
// take part, the ends among them.
type Way struct {
	From, To *worker.Process
	Members  []Member
	// Check says, after each measurement, whether the messages went the way that is
	// meant; it may be nil.
	Check func(context.Context) error
	// Closers end the processes, the last one first.
	Closers []func() error

	sent uint64 // one way, since the beginning
}

// Join adds a worker, as a member that Close ends.
func (w *Way) Join(p *worker.Process) {
	w.Members = append(w.Members, Worker{p})
	w.Closers = append(w.Closers, p.Close)
}

// Close ends all processes.
func (w *Way) Close() error {
	var errs []error
	for i := len(w.Closers) - 1; i >= 0; i-- {
		errs = append(errs, w.Closers[i]())
	}
	w.Closers = nil
	return errors.Join(errs...)
}

// OneWay gives the side that sends messages of a size in bytes, for about some time a
// round.
func (w *Way) OneWay(ctx context.Context, size int, lasts time.Duration) (round.Side, error) {
	s := &oneWay{Way: w, some: load.Some{Size: size, Number: 100}}
	return s, s.calibrate(ctx, lasts)
}

// RoundTrip gives the side that has one request under way after the other.
func (w *Way) RoundTrip(ctx context.Context, size int, lasts time.Duration) (round.Side, error) {
	s := &roundTrip{Way: w, some: load.Some{Size: size, Number: 20}}
	return s, s.calibrate(ctx, lasts)
}

type oneWay struct {
	*Way
	some load.Some
}

// calibrate warms the way up, and finds how many messages take as long.
func (s *oneWay) calibrate(ctx context.Context, lasts time.Duration) error {
	for {
		took, err := s.pass(ctx)
		if err != nil {
			return err
		}
		if took >= lasts/4 {
			s.some.Number = scaled(s.some.Number, took, lasts)
			return nil
		}
		s.some.Number *= 4
	}
}

// scaled gives the number for another time.
func scaled(n int, took, lasts time.Duration) int {
	return max(1, int(float64(n)*float64(lasts)/float64(max(took, 1))))
}

// pass sends them all, and says how long it took until the last one had arrived.
func (s *oneWay) pass(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	s.sent += uint64(s.some.Number) // positive
	var began, ended time.Duration
	g, both := errgroup.WithContext(ctx)
	g.Go(func() error { return s.To.Call(both, load.DoAwait, s.sent, &ended) })
	g.Go(func() error { return s.From.Call(both, load.DoSend, s.some, &began) })
	if err := g.Wait(); err != nil {
		return 0, err
	}
	if ended <= began {
		return 0, fault.New(fault.Internal, "the last message arrived before the first was sent")
	}
	return ended - began, s.check(ctx)
}

// Measure is of round.Side.
func (s *oneWay) Measure(ctx context.Context) (round.Sample, error) {
	m, err := start(ctx, s.Members)
	if err != nil {
		return nil, err
	}
	took, err := s.pass(ctx)
	if err != nil {
		return nil, err
	}
	sample := round.Sample{round.Throughput: float64(s.some.Number) / took.Seconds()}
	return sample, m.stop(ctx, s.some.Number, sample)
}

func (w *Way) check(ctx context.Context) error {
	if w.Check == nil {
		return nil
	}
	return w.Check(ctx)
}

type roundTrip struct {
	*Way
	some load.Some
}

func (s *roundTrip) calibrate(ctx context.Context, lasts time.Duration) error {
	if _, err := s.pass(ctx); err != nil { // the first ones are slow
		return err
	}
	s.some.Number *= 5
	began := time.Now()
	_, err := s.pass(ctx)
	s.some.Number = scaled(s.some.Number, time.Since(began), lasts)
	return err
}

func (s *roundTrip) pass(ctx context.Context) (l load.Latencies, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	if err := s.From.Call(ctx, load.DoAsk, s.some, &l); err != nil {
		return l, err
	}
	return l, s.check(ctx)
}

// Measure is of round.Side.
func (s *roundTrip) Measure(ctx context.Context) (round.Sample, error) {
	m, err := start(ctx, s.Members)
	if err != nil {
		return nil, err
	}
	l, err := s.pass(ctx)
	if err != nil {
		return nil, err
	}
	sample := round.Sample{round.Latency: micros(l.Median), round.Tail: micros(l.Tail)}
	return sample, m.stop(ctx, s.some.Number, sample)
}
