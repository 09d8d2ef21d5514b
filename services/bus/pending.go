package bus

import (
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// requests are the posts that wait for a response (WAIT_RESPONSE). Whoever
// takes one out of the table answers it, so that it is answered once: with the
// response, with a refusal, or with 408 (wire contract, section 2).
type requests struct {
	limits  *Limits
	metrics *metrics

	finish   func(*post)      // settles a response that was kept
	hopeless func(*post) bool // tells whether a request waits where there may be nobody

	mu   sync.Mutex
	open map[message.Key]*request
	kept int // bytes of responses
}

type request struct {
	key   message.Key
	post  *post
	timer *time.Timer
	began time.Time
	over  atomic.Bool // it has been taken out
	told  atomic.Bool // the other replicas have been told of it
	moved atomic.Bool // its client has asked another replica, which has the response

	// guarded by requests.mu
	kept   *post       // its response, which came while its client was away
	giveUp *time.Timer // for that
}

func newRequests(l *Limits, m *metrics, finish func(*post), hopeless func(*post) bool) *requests {
	return &requests{limits: l, metrics: m, finish: finish, hopeless: hopeless, open: map[message.Key]*request{}}
}

// add opens the request of a post and starts its time. 409 when the same one is
// open, 429 when the table is full.
func (r *requests) add(p *post) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := message.KeyOf(p.m)
	switch {
	case r.open[key] != nil:
		return about("id", refuse(reasonDuplicate, 409, "a request with id %s from %s to %s is under way", p.m.Id, p.m.From, p.m.To))
	case len(r.open) >= r.limits.Requests:
		return refuse(reasonRequestsFull, 429, "%d requests are under way already", len(r.open))
	}
	q := &request{key: key, post: p, began: time.Now()}
	q.timer = time.AfterFunc(r.patience(p), func() { r.timeout(q) })
	r.open[key] = q
	p.request = q
	return nil
}

func (r *requests) patience(p *post) time.Duration {
	if p.timeout == nil {
		return r.limits.RequestTime
	}
	return min(*p.timeout, r.limits.MaxRequestTime)
}

// end takes a request out; it tells whether it was open still.
func (r *requests) end(q *request) bool {
	r.mu.Lock()
	open, kept := r.take(q), r.yield(q)
	r.mu.Unlock()
	if kept != nil {
		r.finish(kept)
	}
	return open
}

func (r *requests) take(q *request) bool {
	if q.over.Swap(true) {
		return false
	}
	q.timer.Stop()
	delete(r.open, q.key)
	return true
}

// waits tells whether a request is open.
func (r *requests) waits(k message.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[k] != nil
}

// left gives an open request whose client is not attached here any more; nil when there
// is none.
func (r *requests) left(k message.Key) *request {
	r.mu.Lock()
	q := r.open[k]
	r.mu.Unlock()
	if q == nil {
		return nil
	}
	if s, ok := q.post.by.(*stream); ok && s.over() && s.origin.current(s) == nil {
		return q
	}
	return nil
}

func (r *requests) timeout(q *request) {
	if r.end(q) {
		r.metrics.request("timeout")
		late := refuse(reasonTimeout, fault.Timeout, "no response from %s in time", q.key.To)
		if r.hopeless(q.post) {
			late = nobodyListens(q.key.To)
		}
		r.metrics.refused(reasonOf(late))
		q.post.tell(outcomeOf(q.post.sequence, late))
		q.post.end(late)
	}
}

// answer finds the request that a response answers. A final one takes it out; a
// provisional one (1xx) leaves it.
func (r *requests) answer(m *pb.Message) (q *request, final bool) {
	key := message.AnswerKey(m)
	r.mu.Lock()
	q = r.open[key]
	r.mu.Unlock()
	if q == nil {
		return nil, false
	}
	if !isFinal(m) {
		return q, false
	}
	if !r.end(q) {
		return nil, false
	}
	r.metrics.request("answered")
	if o := q.post.counts(); o != nil && o.roundTrip != nil {
		o.roundTrip.Observe(time.Since(q.began).Seconds())
	}
	return q, true
}

// errAbandoned is what a span says of a request that nobody waits for any more.
var errAbandoned = fault.New(fault.Unavailable, "its poster does not wait for the response any more")

// adopt gives a response the id of its request as that was sent, and puts one that is in no
// trace into that of its request: whoever answered may write ids in another way, and know
// nothing of traces.
func (q *request) adopt(p *post) {
	if p.m.Id != q.post.m.Id {
		m := message.Share(p.m)
		m.Id = q.post.m.Id
		p.become(m)
	}
	if p.m.Trace == nil && q.post.m.Trace != nil {
		p.become(message.WithTrace(p.m, q.post.m.Trace))
	}
}

// drop takes a request out that its poster does not wait for any more; nil is
// none.
func (r *requests) drop(q *request) {
	if q != nil && r.end(q) {
		r.gone(q)
	}
}

// abandon takes out what a poster waits for that is not there any more.
func (r *requests) abandon(by poster) {
	var kept []*post
	r.mu.Lock()
	for _, q := range r.open {
		if q.post.by != by || !r.take(q) {
			continue
		}
		r.gone(q)
		if p := r.yield(q); p != nil {
			kept = append(kept, p)
		}
	}
	r.mu.Unlock()
	for _, p := range kept {
		r.finish(p)
	}
}

// gone notes that nobody waits for the response to a request.
func (r *requests) gone(q *request) {
	r.metrics.request("abandoned")
	q.post.countAbandoned()
	q.post.span.End(errAbandoned)
}

func (r *requests) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}
