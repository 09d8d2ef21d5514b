package main

import (
	"time"

	"github.com/peerbus/peerbus/services/msgnode"
)

// storeQueue is how many writes wait at most for a stream of NATS (its
// max_buffered_msgs); what is over it is refused.
const storeQueue = 100_000

// store is a bucket: it writes one record after the other, in the order in which it
// was asked.
type store struct {
	herd    *herd
	each    time.Duration // of a write
	queue   []*request
	busy    bool
	done    int // writes
	peak    int // writes in one second
	inSec   int
	second  int64
	longest int
}

// request is one write, or more that follow it without anyone waiting.
type request struct {
	make    func() []msgnode.Write // against what is there by then; none: a conflict, and nothing is left to do
	more    int
	done    func() error
	refused func()
}

// newStore makes one of so many writes a second, less what handing them to the
// watchers of all replicas takes of the servers' cores.
func newStore(h *herd, writes float64, replicas int) *store {
	p, s := h.params, h.params.costs.Store
	each := float64(h.scale) / writes
	delivered := float64(h.scale) * (s.Three.LeaderCPU + float64(replicas*h.scale)/float64(p.servers)*s.DeliverCPU) / 1e6 / p.cores
	return &store{herd: h, each: time.Duration(max(each, delivered) * float64(time.Second))}
}

func (s *store) put(r *request) {
	if len(s.queue) >= storeQueue/s.herd.scale {
		if r.refused != nil {
			r.refused()
		}
		return
	}
	s.queue = append(s.queue, r)
	s.longest = max(s.longest, len(s.queue))
	s.serve()
}

func (s *store) serve() {
	if s.busy || len(s.queue) == 0 {
		return
	}
	s.busy = true
	r := s.queue[0]
	s.queue[0], s.queue = nil, s.queue[1:]
	s.herd.events.after(s.each*time.Duration(1+r.more), func() error {
		s.busy = false
		defer s.serve()
		return s.write(r)
	})
}

func (s *store) write(r *request) error {
	s.count(1 + r.more)
	if err := s.herd.model.Apply(r.make()...); err != nil || r.done == nil {
		return err
	}
	return r.done()
}

func (s *store) count(n int) {
	s.done += n
	if now := int64(s.herd.events.now / time.Second); now != s.second {
		s.second, s.inSec = now, 0
	}
	s.inSec += n
	s.peak = max(s.peak, s.inSec)
}
