package p2pstub

import (
	"context"
	"slices"
	"time"
)

// watchNetwork sees when this machine's addresses change: a path that is in doubt
// then is down, and another one is sought at once.
func (s *Stub) watchNetwork(ctx context.Context) error {
	tick := time.NewTicker(s.limits.Look)
	defer tick.Stop()
	have := s.engine.Addresses()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now := s.engine.Addresses()
		if slices.Equal(have, now) {
			continue
		}
		s.log.Info("the addresses of this machine have changed", "before", have, "now", now)
		have = now
		s.mu.Lock()
		for p := range s.all {
			if u := p.pulse.Load(); u != nil {
				u.moved()
			}
		}
		s.mu.Unlock()
	}
}
