package drive

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/internal/run"
)

// AllLive is when all connections are live again, since their process goes on. A side
// whose connections are not, by the end of a round, does not tell.
var AllLive = round.Metric{Name: "until all are live", Unit: "s"}

// LiveAfter is how many of them are live at a time since then.
func LiveAfter(at time.Duration) round.Metric {
	return round.Metric{Name: fmt.Sprintf("live after %.0f s", at.Seconds()), Unit: "connections"}
}

// Returns is a side that stops the process of idle connections for a while, and watches
// how they come back. Each round has processes of its own.
type Returns struct {
	Stopped, Watched time.Duration
	At               []time.Duration // for LiveAfter, of what is watched
	Start            func(ctx context.Context) (h Holder, end func() error, err error)
}

// countEach is how often the live ones are counted.
const countEach = time.Second

// count is how many connections were live at a time since the process went on.
type count struct {
	at   time.Duration
	live int
}

// Measure is of round.Side.
func (r Returns) Measure(ctx context.Context) (_ round.Sample, err error) {
	h, end, err := r.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := h.await(ctx); err != nil {
		return nil, err
	}
	if err := h.pause(ctx, r.Stopped); err != nil {
		return nil, err
	}
	counts, err := h.watch(ctx, r.Watched)
	if err != nil {
		return nil, err
	}
	sample := round.Sample{}
	for _, at := range r.At {
		sample[LiveAfter(at)] = float64(liveAt(counts, at))
	}
	if at, all := allLive(counts, h.Number); all {
		sample[AllLive] = at.Seconds()
	}
	return sample, nil
}

// await waits until all connections are live: a busy machine may lose some while it sets
// up others.
func (h Holder) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for {
		err := h.complete(ctx)
		if err == nil || run.Sleep(ctx, countEach) != nil {
			return err
		}
	}
}

// pause stops the process for a while.
func (h Holder) pause(ctx context.Context, lasts time.Duration) error {
	if err := syscall.Kill(h.PID, syscall.SIGSTOP); err != nil {
		return err
	}
	return errors.Join(run.Sleep(ctx, lasts), syscall.Kill(h.PID, syscall.SIGCONT))
}

// watch counts the live connections for a while; there is one count at least.
func (h Holder) watch(ctx context.Context, lasts time.Duration) (counts []count, err error) {
	began := time.Now()
	for {
		live, err := h.Live(ctx)
		if err != nil {
			return nil, err
		}
		counts = append(counts, count{time.Since(began), live})
		if time.Since(began) >= lasts {
			return counts, nil
		}
		if err := run.Sleep(ctx, countEach); err != nil {
			return nil, err
		}
	}
}

// liveAt gives the first count at a time or later, or the last one.
func liveAt(counts []count, at time.Duration) int {
	for _, c := range counts {
		if c.at >= at {
			return c.live
		}
	}
	return counts[len(counts)-1].live
}

// allLive gives since when all have been live to the end: what is lost is live until that
// is noticed. Not all when some are missing at the end.
func allLive(counts []count, number int) (at time.Duration, all bool) {
	for _, c := range counts {
		switch {
		case c.live < number:
			all = false
		case !all:
			at, all = c.at, true
		}
	}
	return at, all
}
