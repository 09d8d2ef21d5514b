package msgnode

import (
	"time"

	"golang.org/x/time/rate"
)

// pace slows down runtimes whose re-open names an unknown token, each for
// itself up to a bound, and those beyond it together. It is pure; the Node's mu
// guards it.
type pace struct {
	every    time.Duration
	burst    int
	bound    int
	limiters map[string]*rate.Limiter
	others   *rate.Limiter
}

func newPace(l *Limits) *pace {
	return &pace{
		every: l.ReopenEvery, burst: l.ReopenBurst, bound: l.ReopenRuntimes,
		limiters: map[string]*rate.Limiter{},
		others:   rate.NewLimiter(rate.Every(l.ReopenEvery), l.ReopenBurst),
	}
}

// delay is how long to wait before answering; false when that is longer than
// most, and then nothing is reserved.
func (p *pace) delay(runtime string, now time.Time, most time.Duration) (time.Duration, bool) {
	r := p.limiter(runtime).ReserveN(now, 1)
	d := r.DelayFrom(now)
	if !r.OK() || d > most {
		r.CancelAt(now)
		return 0, false
	}
	return d, true
}

func (p *pace) limiter(runtime string) *rate.Limiter {
	l := p.limiters[runtime]
	switch {
	case l != nil:
		return l
	case len(p.limiters) >= p.bound:
		return p.others
	}
	l = rate.NewLimiter(rate.Every(p.every), p.burst)
	p.limiters[runtime] = l
	return l
}

// forget drops the limiters that have recovered.
func (p *pace) forget(now time.Time) {
	for runtime, l := range p.limiters {
		if l.TokensAt(now) >= float64(p.burst) {
			delete(p.limiters, runtime)
		}
	}
}
