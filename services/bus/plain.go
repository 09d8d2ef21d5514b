package bus

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// takeRun takes plain posts: together, where nothing stands against it, else one by one.
func (s *stream) takeRun(req *codec.Request, run *codec.Run) {
	if run.In == nil && s.takeTogether(req, run) || run.In != nil && s.takeArrived(req, run) {
		return
	}
	for i := range run.Len() {
		s.post(req.Open(run, i))
	}
}

// takeTogether takes a run whose source is approved, and which goes to one listener of
// this runtime that has room for all of it, or to another runtime that knows flows; false
// when something of that is not so. What is wrong with a post is found when it is taken by
// itself.
func (s *stream) takeTogether(req *codec.Request, run *codec.Run) bool {
	b := s.bus
	if !isBatch(run) || s.origin == nil || s.comp != pb.Component_COMPONENT_APPLICATION ||
		run.Type == message.Response || run.To == b.own || b.observed() || !validRun(req, run) {
		return false
	}
	s.origin.posting.Lock()
	defer s.origin.posting.Unlock()
	key := sourceKey{from: run.From}
	if key.from != b.own && !b.sources.known(&s.lastSource, key, key) {
		return false
	}
	return b.table.takeTogether(s, req, run)
}

// observed tells whether each message is looked at as it goes by.
func (b *Bus) observed() bool { return b.tracing() || b.point.On() || b.asked.some.Load() }

func validRun(req *codec.Request, run *codec.Run) bool {
	if !message.ValidTexts(run.Type, run.From, run.To) {
		return false
	}
	posts := req.Plain(run)
	for i := range posts {
		if !message.ValidContent(posts[i].ID, posts[i].Body) {
			return false
		}
	}
	return true
}

func (t *table) takeTogether(s *stream, req *codec.Request, run *codec.Run) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	in := t.onlyTaker(run.To)
	if in == nil {
		return t.takeOut(s, req, run)
	}
	n := run.Len()
	b := s.postedBatch(in.name, req, run)
	lent := b.lent
	if !in.offerBatch(b) {
		b.drop()
		return false
	}
	if lent {
		req.Give(run)
	}
	s.metrics.postedBy[s.comp].Add(float64(n))
	return true
}

// longestName is of a listener that is sent batches, in bytes: each delivery has the name,
// and together with the rest of that it is to be no more than what is counted (overhead).
const longestName = overhead / 2

// onlyTaker is the listener of an address, when it is the only one, is of this runtime
// and gives credit; else nil.
func (t *table) onlyTaker(to string) *inbox {
	if r := t.routes.get(to); r != nil && !r.has(routePlaced) {
		return nil
	}
	pl := t.places[to]
	if pl == nil || pl.line != nil || len(pl.takers) != 1 {
		return nil
	}
	in := pl.takers[0]
	if in.stream.peer != "" || isStub(in.stream.comp) || isStub(in.comp) || in.window == unlimited || len(in.name) > longestName {
		return nil
	}
	return in
}

// offerBatch takes a batch into the queue, or into the overflow. False when it is to be
// offered post by post.
func (in *inbox) offerBatch(b *batch) bool {
	s, all := in.stream, item{part: b.all()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.limits; in.closed || in.stuck || all.size() > l.QueueBytes || all.count() > l.QueueMessages ||
		s.queued+all.cost() > l.StreamBytes {
		return false
	}
	at := in.overflow.len() == 0 && in.fits(all)
	if !at && b.by == batcher(s) && s.overdraws(all.cost()) || !b.by.takeBatch(b) {
		return false
	}
	if at {
		in.enqueueBatch(all.part)
	} else {
		in.wait(all)
	}
	return true
}

// finishParts settles posts of batches that their listener has dealt with.
func (b *Bus) finishParts(parts []part) {
	for _, p := range parts {
		if !p.of.passes {
			b.finishPart(p, p.of.course)
		}
		p.of.free(p.len())
	}
}

// finishPart settles posts of a batch that were dealt with, and counts them.
func (b *Bus) finishPart(p part, c course) {
	counts := &b.metrics.tally.messages[c]
	counts.delivered.Add(float64(p.len()))
	counts.bytes.Add(float64(p.size()))
	p.of.by.settledPart(p)
}

func (s *stream) takeBatch(b *batch) bool { return s.origin.takeBatch(s, b) }

func (s *stream) opens(p part, posts []*post) {
	for _, one := range posts {
		one.by, one.number = s, one.m.Number
		one.trail.tally = s.metrics.tally
	}
	s.origin.opened(p, posts)
}

func (s *stream) settledPart(p part) {
	s.origin.settlePart(p)
	s.mu.Lock()
	if !s.closed {
		s.settling.add(p.first(), p.last(), p.size(), s)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	if next := s.origin.current(s); next != nil && next == p.of.asked.Load() {
		next.settledPart(p)
	}
}
