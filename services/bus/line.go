package bus

import (
	"time"

	"github.com/peerbus/peerbus/protocol/message"
)

// line is where messages wait, in order, for one answer: whether their source
// may send, where their address is, or that the stub on their route is back.
// While there is a line, whatever else comes for the same thing stands behind
// it, so that nothing overtakes. Its owner's mutex guards it.
type line struct {
	posts    fifo[waiting]
	bounded  load                // posts and bytes of those that have no room elsewhere (post.roomy)
	answers  map[message.Key]int // how many of them are responses, by the request; nil before the first
	bytes    int
	opened   time.Time
	timer    *time.Timer // runs out for the first one
	question uint64      // what the registry has been asked; 0 when nothing is open
	going    bool        // it is being led off: nobody in it runs out of patience
	next     string      // the listener that the line waits for, when the route is known
	promised bool        // there was one in it that its sender takes for accepted
	ours     bool        // only a listener here can take it, says the registry; see absent.go
	idle     bool        // likewise, and nothing in it was promised: it counts in lobby.idle
}

// waiting is a post and the end of its patience.
type waiting struct {
	post     *post
	deadline time.Time
}

// lobby counts what stands in all the lines of one table.
type lobby struct {
	limits *Limits
	load
	bounded int  // bytes of it, likewise
	idle    load // those of it for which there may be nobody (line.idle)
}

type load struct{ lines, posts, bytes int }

// open makes a line. expire is called, on a goroutine of its own, when the
// first of the line may have waited long enough.
func (l *lobby) open(expire func()) (*line, error) {
	if l.lines >= l.limits.WaitAddresses {
		return nil, refuse(reasonWaitFull, 429, "%d addresses wait for the registry already", l.lines)
	}
	l.lines++
	return &line{opened: time.Now(), timer: time.AfterFunc(l.limits.WaitTime, expire)}, nil
}

// join puts a post at the end of a line.
func (l *lobby) join(ln *line, p *post) error {
	cost := p.cost()
	first := ln.bounded.posts == 0
	if p.roomy() {
		// What there is of it is bounded elsewhere.
	} else if !first && (ln.bounded.posts >= l.limits.WaitMessages || ln.bounded.bytes+cost > l.limits.WaitBytes) || l.bounded+cost > l.limits.WaitTotal {
		return refuse(reasonWaitFull, 429, "%d messages wait for the route to %s already", ln.bounded.posts, p.m.To)
	} else if ln.idle && !p.promised() && !l.mayIdle(cost) {
		return nobodyListens(p.m.To)
	}
	if p.promised() {
		l.rouse(ln)
		ln.promised = true
	}
	ln.posts.push(waiting{p, time.Now().Add(l.patience(p))})
	l.count(ln, p, 1)
	return nil
}

// count counts a post that comes into a line (1), or leaves it (-1).
func (l *lobby) count(ln *line, p *post, one int) {
	bytes := one * p.cost()
	ln.bytes += bytes
	l.posts += one
	l.bytes += bytes
	if ln.idle {
		l.idle.posts += one
		l.idle.bytes += bytes
	}
	if !p.roomy() {
		ln.bounded.posts += one
		ln.bounded.bytes += bytes
		l.bounded += bytes
	}
	if message.IsResponse(p.m) {
		ln.countAnswer(message.AnswerKey(p.m), one)
	}
}

func (ln *line) countAnswer(k message.Key, one int) {
	if ln.answers == nil {
		ln.answers = map[message.Key]int{}
	}
	if ln.answers[k] += one; ln.answers[k] == 0 {
		delete(ln.answers, k)
	}
}

// rest has a line wait for nobody that is known: such lines have a quarter of the room.
// false when that is used up, and nothing in the line was promised.
func (l *lobby) rest(ln *line) bool {
	switch {
	case ln.promised, ln.idle:
	case l.idle.lines >= l.limits.WaitAddresses/4, !l.mayIdle(ln.bytes):
		return false
	default:
		ln.idle = true
		l.idle.lines++
		l.idle.posts += ln.posts.len()
		l.idle.bytes += ln.bytes
	}
	ln.ours = true
	return true
}

func (l *lobby) mayIdle(more int) bool { return l.idle.bytes+more <= l.limits.WaitTotal/4 }

// rouse ends that.
func (l *lobby) rouse(ln *line) {
	if ln.idle {
		ln.idle = false
		l.idle.lines--
		l.idle.posts -= ln.posts.len()
		l.idle.bytes -= ln.bytes
	}
}

// patience is how long a post may wait. One that its sender takes for accepted
// already waits longer than one that can be refused.
func (l *lobby) patience(p *post) time.Duration {
	if p.promised() {
		return l.limits.LongWaitTime
	}
	return l.limits.WaitTime
}

// patient tells whether the first of a line waits longer than others do.
func (ln *line) patient() bool { return ln.posts.len() > 0 && ln.posts.first().post.promised() }

// leave takes the first of a line out.
func (l *lobby) leave(ln *line) *post {
	p := ln.posts.pop().post
	l.count(ln, p, -1)
	return p
}

// leaveWhile takes out the first ones, as long as they are meant.
func (l *lobby) leaveWhile(ln *line, meant func(*post) bool) (out []*post) {
	for ln.posts.len() > 0 && meant(ln.posts.first().post) {
		out = append(out, l.leave(ln))
	}
	return out
}

// answersTo takes out the responses to a request. Of a line that has none nobody is looked
// at, and nobody behind the last one: many requests may look for theirs in a long line.
func (l *lobby) answersTo(ln *line, k message.Key) []*post {
	meant := func(p *post) bool { return message.IsResponse(p.m) && message.AnswerKey(p.m) == k }
	n, all := 0, ln.posts.all()
	for left := ln.answers[k]; left > 0 && n < len(all); n++ {
		if meant(all[n].post) {
			left--
		}
	}
	return l.leaveIf(ln, n, meant)
}

// leaveIf takes out those of the first n that are meant.
func (l *lobby) leaveIf(ln *line, n int, meant func(*post) bool) (out []*post) {
	for _, w := range ln.posts.takeIf(n, func(w waiting) bool { return meant(w.post) }) {
		l.count(ln, w.post, -1)
		out = append(out, w.post)
	}
	return out
}

// expired takes out those whose time is over, and sets the timer for the next.
func (l *lobby) expired(ln *line, now time.Time) []*post {
	var over []*post
	for ln.posts.len() > 0 && !ln.posts.first().deadline.After(now) {
		over = append(over, l.leave(ln))
	}
	if ln.posts.len() > 0 {
		ln.timer.Reset(ln.posts.first().deadline.Sub(now))
	}
	return over
}

// close ends a line and gives who still stood in it.
func (l *lobby) close(ln *line) []*post {
	ln.timer.Stop()
	l.lines--
	l.rouse(ln)
	all := make([]*post, 0, ln.posts.len())
	for ln.posts.len() > 0 {
		all = append(all, l.leave(ln))
	}
	return all
}
