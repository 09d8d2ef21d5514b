package p2pstub

import (
	"context"
	"slices"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// Set-ups that others have begun take turns. When all who were connected come back at
// once, as many are begun as can be over within their time, and the others wait where they
// cost nothing, or are told to come again. If all were begun, none might be over in time,
// and all would come again, for as long as that lasts.
//
//	invitation ──► queue (Limits.Invited) ──► a turn (Limits.Turns), for Limits.Turn ──► live
//	                 │ later than Limits.TurnWait   └─ over: it goes on without
//	                 └──► 429
//
// A set-up that takes longer than a turn waits for its network, or for nobody: it must not
// keep others out.

// queued is an invitation that waits for its turn.
type queued struct {
	d       *deployed
	inv     invitation
	remote  string
	until   time.Time
	created time.Time // when its object was made; zero: that of a newcomer, which says so itself
}

// turns has who has a turn, and who waits for one, in the order of their coming. The
// stub's mutex guards it.
type turns struct {
	taken int
	queue []queued
}

// wait puts an invitation into the queue, if that has room for so many. A runtime has one
// place: a later invitation takes it over, and the one before it is given back.
func (t *turns) wait(q queued, room int) (before *pb.Message, err error) {
	for i := range t.queue {
		at := &t.queue[i]
		if at.remote != q.remote || at.d != q.d {
			continue
		}
		if at.inv.Object.URL != q.inv.Object.URL {
			if !q.created.IsZero() && q.created.Before(at.created) {
				return nil, fault.New(fault.Conflict, "the invitation is older than one that waits")
			}
			before = at.inv.request
		}
		*at = q
		return before, nil
	}
	if len(t.queue) >= room {
		return nil, fault.New(fault.TooMany, "there are too many set-ups of others under way already, and %d wait", len(t.queue))
	}
	t.queue = append(t.queue, q)
	return nil, nil
}

// has tells whether an invitation of a runtime waits.
func (t *turns) has(remote string) bool {
	return slices.ContainsFunc(t.queue, func(q queued) bool { return q.remote == remote })
}

// next takes the first one out of the queue.
func (t *turns) next() queued {
	q := t.queue[0]
	t.queue = slices.Delete(t.queue, 0, 1)
	return q
}

// drop takes one out whose other side has ended it, as the sender of that may.
func (t *turns) drop(object, from string) {
	t.queue = slices.DeleteFunc(t.queue, func(q queued) bool {
		return q.inv.Object.URL == object && mayEnd(from, object, q.inv.Source, q.remote, q.inv.Object.Connection().AtStub)
	})
}

// reply is what an invitation is answered with that has waited: 200, unless err is.
type reply struct {
	request *pb.Message
	err     error
}

// reply answers those that have waited, within Limits.Stop.
func (s *Stub) reply(all []reply) {
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.last, s.limits.Stop)
	defer cancel()
	for _, r := range all {
		if r.err != nil {
			s.log.Debug("invitation refused", "from", r.request.From, "stub", r.request.To, "error", r.err)
			s.refuse(ctx, r.request, r.err)
		} else {
			s.answer(ctx, r.request)
		}
	}
}

// takeTurn gives a handler's peer a turn. The mutex is held.
func (s *Stub) takeTurn(p *peer) {
	s.turns.taken++
	p.turn = time.AfterFunc(s.limits.Turn, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.endTurn(p)
	})
}

// endTurn has those begin that wait, if a peer still had its turn. The mutex is held.
func (s *Stub) endTurn(p *peer) {
	if p.turn == nil {
		return
	}
	p.turn.Stop()
	p.turn = nil
	s.turns.taken--
	s.beginQueued(time.Now())
}

// beginQueued begins what waits, as long as there are turns. The mutex is held.
func (s *Stub) beginQueued(now time.Time) {
	var replies []reply
	for s.turns.taken < s.limits.Turns && len(s.turns.queue) > 0 {
		q := s.turns.next()
		if again, err := s.beginInTurn(&q, now); again || err != nil {
			replies = append(replies, reply{q.inv.request, err})
		}
	}
	if len(replies) > 0 {
		s.work.Go(func() { s.reply(replies) }) // who calls has not ended yet
	}
}

func (s *Stub) beginInTurn(q *queued, now time.Time) (again bool, err error) {
	if now.After(q.until) {
		return false, fault.New(fault.TooMany, "others came first: %d set-ups are under way, and %d wait", s.invited, len(s.turns.queue))
	}
	return s.begin(q)
}

// dropQueue takes out what waits at a stub, or at all (nil). The mutex is held.
func (s *Stub) dropQueue(at *deployed, why error) (all []reply) {
	s.turns.queue = slices.DeleteFunc(s.turns.queue, func(q queued) bool {
		if at != nil && q.d != at {
			return false
		}
		all = append(all, reply{q.inv.request, why})
		return true
	})
	return all
}

// waiting is how many invitations wait for their turn.
func (s *Stub) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.turns.queue)
}
