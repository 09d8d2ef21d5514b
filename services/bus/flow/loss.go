package flow

import "time"

// findLost takes for lost what was sent before something of its lane that has
// arrived by the same path, since each path keeps the order of a lane.
func (s *Sender) findLost() {
	for _, l := range s.touched {
		l.touched = false
		for i := range s.transits {
			t, c := &s.transits[i], &l.under[i]
			for m := c.first; m != nil && m.ways[i].order < l.top[i]; m = c.first {
				s.windows[m.kind].lost(m.ways[i].order, s.order)
				s.lost(t, m)
			}
		}
	}
	clear(s.touched)
	s.touched = s.touched[:0]
}

// findSlow takes for lost what no later message of its lane has shown to be: see
// slowAt.
func (s *Sender) findSlow(at time.Duration) {
	for i := range s.transits {
		t := &s.transits[i]
		for kind := range kinds {
			for s.slowAt(t, kind) <= at {
				m := t.under[kind].first
				s.windows[kind].lost(m.ways[i].order, s.order)
				s.lost(t, m)
			}
		}
	}
}

// slowAt is when the first of a kind under way on a path is taken for lost, though
// others that were sent later have arrived. All of its kind that were sent before
// it have arrived or are lost, and it had the time of a round trip since then. A
// long one has besides the time that its own bytes take at Limits.Pace; but no
// more once so much has passed it that it cannot be a matter of pace.
func (s *Sender) slowAt(t *transit, kind int) time.Duration {
	u := &t.under[kind]
	if u.first == nil || !s.peer.announced || u.first.ways[t.way].order >= t.top {
		return never
	}
	at := max(u.since, u.first.ways[t.way].at) + s.trip()
	if kind == long && u.passed < 8*(u.first.sizeOf(0)+s.limits.Short) {
		at += s.allowance(u.first)
	}
	return at
}

// allowance is how much longer than a short message a message may take; of several, the
// first.
func (s *Sender) allowance(m *message) time.Duration {
	if m.kind == short {
		return 0
	}
	return during(m.sizeOf(0), s.limits.Pace)
}

// during is how long so many bytes take at a rate a second.
func during(bytes, rate int) time.Duration {
	return time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
}

// trip is how long an acknowledgement of a short message may take, with as much
// queued on its path as the windows let there be (RFC 6298).
func (s *Sender) trip() time.Duration {
	t := s.limits.FirstTimeout
	if p := &s.windows[short].trips; p.smoothed > 0 {
		t = p.smoothed + 4*p.variance + s.limits.AckDelay + s.limits.Delay
	}
	return max(t, s.limits.MinTimeout)
}

// timeout is how long to wait for an acknowledgement of what is under way.
func (s *Sender) timeout() time.Duration {
	used := s.windows[short].used + s.windows[long].used
	t := s.trip() + during(used, s.limits.Rate)
	return s.doubled(t, s.backoff)
}

// doubled is a time after n doublings, which do not go beyond the longest.
func (s *Sender) doubled(t time.Duration, n int) time.Duration {
	most := max(t, s.limits.MaxTimeout)
	for ; n > 0 && t < most; n-- {
		t *= 2
	}
	return min(t, most)
}

// transitAt is when a path has been silent for too long for what is under way of a
// kind. A long message on a path that is not in doubt has the time that it takes.
func (s *Sender) transitAt(t *transit, kind int) time.Duration {
	first := t.under[kind].first
	switch {
	case first == nil:
		return never
	case !s.peer.announced:
		return first.ways[t.way].at + s.limits.Undecided
	case s.paths.Doubt:
		return t.quiet(kind) + s.timeout()
	}
	return t.quiet(kind) + s.timeout() + s.allowance(first)
}

// listen ends the wait for what is under way on paths that have been silent.
func (s *Sender) listen(at time.Duration) {
	var silent [2][kinds]bool
	any := false
	for i := range s.transits {
		for kind := range kinds {
			silent[i][kind] = s.transitAt(&s.transits[i], kind) <= at
			any = any || silent[i][kind]
		}
	}
	if any && s.peer.announced {
		s.backoff = min(s.backoff+1, 16)
	}
	for i := range s.transits {
		t := &s.transits[i]
		for kind := range kinds {
			switch {
			case silent[i][kind] && s.peer.announced:
				s.windows[kind].silent(s.order)
				s.dropKind(t, kind)
			case silent[i][kind]:
				s.nothingHeard(at, t, kind)
			}
		}
	}
}

// nothingHeard takes for plain what a peer that is not known to know flows has
// said nothing about.
func (s *Sender) nothingHeard(at time.Duration, t *transit, kind int) {
	for s.transitAt(t, kind) <= at {
		s.settle(t.under[kind].first, Settled{Plain: true})
	}
}
