package bus

import (
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// Responses to clients that have lost their stream, or their call, and ask again at this
// replica or at another one. Whoever answered does not answer again: it has the request
// already, and knows it by origin and number.
//
//	                      the client asks again here   … at another replica (mesh.waits)
//	response is to come   as ever; the others are      handed on when it comes
//	                      asked whether it has come
//	kept (request.kept)   given to its new stream      handed on
//	given before (given)  given again                  a copy is handed on
//
// A kept response is not dealt with, so its sender has it too, unless it is in the way of
// what another replica hands over (queue.advance). That holds for Limits.ReturnTime, as for
// listeners that were cut off; then it counts as given. A client that comes back to a
// replica whose response was handed on is taken for one that has not asked yet.

// isFinal tells whether a response is the last one to its request.
func isFinal(m *pb.Message) bool {
	code, err := message.Result(m)
	return err != nil || code >= 200
}

// answersElsewhere gives a response to a request whose client has lost its stream here to
// the replica at which it waits now, or keeps it until that is known.
func (b *Bus) answersElsewhere(p *post) bool {
	q := b.requests.left(message.AnswerKey(p.m))
	if q == nil {
		return false
	}
	m := p.m
	if in := b.mesh.waiter(m); in != nil {
		if isFinal(m) {
			q.moved.Store(true)
			b.requests.drop(q)
		}
		b.handTo(in, p)
		return true
	}
	if !isFinal(m) {
		return false
	}
	p.owed.Store(1) // before anybody may take it out
	if !b.requests.keep(q, p, func() { b.forgo(q) }) {
		p.owed.Store(0)
		return false
	}
	b.settle(p, nil)
	if f, ok := p.by.(*fromReplica); ok {
		f.keep()
	}
	if b.requests.left(q.key) == nil { // it is back, and may have asked before this was kept
		b.giveKept(q)
	} else if in := b.mesh.waiter(m); in != nil {
		b.handKept(q, in)
	}
	return true
}

func (b *Bus) handTo(in *inbox, p *post) {
	p.handed = true
	b.offer(p, []*inbox{in})
}

// answerMoved gives a replica that waits for a response the one that has come already.
func (b *Bus) answerMoved(at elsewhere, k message.Key) {
	if q := b.requests.left(k); q != nil && at.posted(q.post.m) {
		if kept := b.requests.keptOf(q); kept != nil {
			if in := b.mesh.waiter(kept.m); in != nil {
				b.handKept(q, in)
			}
		}
		return
	}
	if response := b.mesh.given.to(at, k); response != nil {
		b.mesh.copyTo(at, response)
	}
}

// posted tells whether a message is that post, as far as it is known which one that is.
func (at elsewhere) posted(m *pb.Message) bool {
	return at.number == 0 || at.number == m.Number && at.origin == string(m.Origin)
}

func (b *Bus) handKept(q *request, in *inbox) {
	if p := b.requests.release(q); p != nil {
		q.moved.Store(true)
		b.requests.gone(q)
		b.handTo(in, p)
	}
}

// giveKept answers a client that is back with the response that was kept, if one was.
func (b *Bus) giveKept(q *request) bool {
	p := b.requests.release(q)
	if p == nil {
		return false
	}
	b.metrics.request("answered")
	q.adopt(p)
	p.owed.Store(0)
	b.respond(q, p)
	return true
}

// forgo ends the time of a response that is kept. One whose client has just come back
// is given.
func (b *Bus) forgo(q *request) {
	if b.requests.left(q.key) != q {
		b.giveKept(q)
		return
	}
	if p := b.requests.release(q); p != nil {
		b.requests.gone(q)
		b.mesh.gave(q, p.m)
		q.post.end(nil) // the client asks again for what it was not told
		b.finish(p)
	}
}

// answerAgain answers a request that its client posts again, if its response has come.
// had is the post that it was; nil when that is settled, and the answer is what else the
// client is told.
func (b *Bus) answerAgain(p, had *post, answer *pb.Outcome) *pb.Outcome {
	switch {
	case b.mesh == nil:
	case had != nil && had.request != nil:
		if !b.giveKept(had.request) && had.request.told.Load() {
			b.mesh.ask(had.request)
		}
	case had == nil && answer.GetCode() == int32(fault.Unavailable):
		if m := b.mesh.given.to(elsewhere{origin: string(p.m.Origin), number: p.m.Number}, message.KeyOf(p.m)); m != nil {
			return &pb.Outcome{Code: int32(fault.OK), Response: m}
		}
	}
	return answer
}

// keep keeps the response to a request, for Limits.ReturnTime; false when it is over or
// has one, or when too many are kept.
func (r *requests) keep(q *request, p *post, giveUp func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := q.post.by.(*stream); !ok || s.origin == nil {
		return false
	}
	if q.over.Load() || q.kept != nil || r.kept+p.cost() > r.limits.ResponseBytes {
		return false
	}
	q.kept = p
	r.kept += p.cost()
	q.giveUp = time.AfterFunc(r.limits.ReturnTime, giveUp)
	return true
}

// yield takes the kept response of a request; nil when there is none. It is called with
// mu held.
func (r *requests) yield(q *request) *post {
	p := q.kept
	if p == nil {
		return nil
	}
	q.kept = nil
	q.giveUp.Stop()
	r.kept -= p.cost()
	return p
}

// release takes a request out for which a response is kept, and gives that; nil when
// there is none.
func (r *requests) release(q *request) *post {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.yield(q)
	if p != nil {
		r.take(q)
	}
	return p
}

func (r *requests) keptOf(q *request) *post {
	r.mu.Lock()
	defer r.mu.Unlock()
	return q.kept
}

// told gives the open requests that other replicas have been told of.
func (r *requests) told() (all []*request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.open {
		if q.told.Load() {
			all = append(all, q)
		}
	}
	return all
}

// gave notes the response that a client has been given. One that waits elsewhere too
// gets a copy.
func (m *mesh) gave(q *request, response *pb.Message) {
	if m == nil || q.post.m.Number == 0 || len(q.post.m.Origin) == 0 {
		return
	}
	m.mu.Lock()
	at, ok := m.awaited.get(q.key)
	if ok = ok && at.number != 0 && at.posted(q.post.m); ok {
		m.awaited.delete(q.key)
	}
	m.given.put(q, response) // who waits elsewhere may not wait there any more
	m.mu.Unlock()
	if ok {
		m.copyTo(at, response)
	}
}

func (m *mesh) copyTo(at elsewhere, response *pb.Message) {
	m.mu.Lock()
	var in *inbox
	if p := m.peers[at.replica]; p != nil {
		in = p.handed
	}
	m.awaited.delete(message.AnswerKey(response))
	m.mu.Unlock()
	if in != nil {
		p := newPost(itself{}, response)
		p.size = proto.Size(response)
		m.bus.handTo(in, p)
	}
}
