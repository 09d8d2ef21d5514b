package bus

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// sourceKey is a sender as seen from where its message came in.
type sourceKey struct {
	from   string
	remote string // the runtime at the other end of the data channel
	node   bool   // it came from a Message Node
}

// clone has texts of its own: those of a key are a whole message's, or those of a frame
// that is gone when the post is taken.
func (k sourceKey) clone() sourceKey {
	return sourceKey{strings.Clone(k.from), strings.Clone(k.remote), k.node}
}

// sourceOf gives what the registry must approve of a post. Nothing, when the
// registry itself or a stub speaks for itself.
func sourceOf(p *post) (k sourceKey, needed bool, err error) {
	component := p.by.component()
	stub := component == pb.Component_COMPONENT_P2P_STUB || component == pb.Component_COMPONENT_NODE_STUB
	switch {
	case p.ingress == nil:
		return sourceKey{from: p.m.From}, component == pb.Component_COMPONENT_APPLICATION, nil
	case !stub:
		return k, false, refuse(reasonSource, 403, "only a stub says where a message came in")
	case component == pb.Component_COMPONENT_NODE_STUB:
		return sourceKey{from: p.m.From, node: true}, true, nil
	case p.ingress.GetRemoteRuntimeUrl() == "":
		return k, false, refuse(reasonInvalid, 400, "the ingress of a data channel names no runtime")
	}
	return sourceKey{from: p.m.From, remote: p.ingress.GetRemoteRuntimeUrl()}, true, nil
}

// lineOf names the line that a post waits in. What comes in a flow has one for
// both ways on which it comes: it is in order already, and stays so.
func lineOf(p *post, k sourceKey) sourceKey {
	if a, ok := p.by.(*arrival); ok {
		return sourceKey{from: k.from, remote: a.in.remote.url, node: true}
	}
	return k
}

// sources knows which senders the registry approves of (wire contract, section
// 10, rule 1). The first message of one waits in a line for the answer, and
// what follows from it stands behind.
type sources struct {
	limits  *Limits
	ask     *asker
	forward func(*post)     // the rest of the way
	settle  func([]verdict) // without a lock

	open atomic.Int64 // lines

	mu       sync.RWMutex
	approved *cache[sourceKey, *atomic.Uint64] // epoch in which it was asked last
	lines    map[sourceKey]*line
	lobby    lobby
}

// approval of a source. It can be kept: until it is gone it counts.
type approval = slot[sourceKey, *atomic.Uint64]

// lastSource is the approval that a poster has needed last. Most have one source, for
// which nothing is looked up then.
type lastSource struct{ atomic.Pointer[approval] }

// lastSourceOf gives that of a post's poster; nil when it keeps none.
func lastSourceOf(p *post) *lastSource {
	switch by := p.by.(type) {
	case *stream:
		return &by.lastSource
	case *arrival:
		return &by.in.lastSource
	}
	return nil
}

// of gives it when it is that of a source, and counts still; else nil.
func (l *lastSource) of(k sourceKey) *approval {
	if l == nil {
		return nil
	}
	if a := l.Load(); a != nil && a.key == k && !a.gone.Load() {
		a.touch()
		return a
	}
	return nil
}

func (l *lastSource) keep(a *approval) {
	if l != nil {
		l.Store(a)
	}
}

func newSources(l *Limits, ask *asker, forward func(*post), settle func([]verdict)) *sources {
	return &sources{
		limits: l, ask: ask, forward: forward, settle: settle,
		approved: newCache[sourceKey, *atomic.Uint64](l.Sources),
		lines:    map[sourceKey]*line{}, lobby: lobby{limits: l},
	}
}

// check forwards a post whose source is approved, now or later, and refuses it
// otherwise.
func (s *sources) check(p *post, k sourceKey) {
	in := lineOf(p, k)
	if s.known(lastSourceOf(p), k, in) {
		s.forward(p)
		return
	}
	switch waits, err := s.wait(p, k, in); {
	case err != nil:
		s.settle([]verdict{{post: p, err: err}})
	case !waits:
		s.forward(p)
	}
}

// known tells whether a source is approved, and no line is to be joined. The line of a
// source by itself is there only while it is not approved.
func (s *sources) known(last *lastSource, k, in sourceKey) bool {
	a := last.of(k)
	if a == nil || in != k && s.open.Load() > 0 {
		if a = s.find(k, in); a == nil {
			return false
		}
		last.keep(a)
	}
	was, now := a.value.Load(), s.ask.epoch.Load()
	if was != now && a.value.CompareAndSwap(was, now) && s.ask.whether(k, in) == 0 {
		a.value.Store(was)
	}
	return true
}

func (s *sources) find(k, in sourceKey) *approval {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.lines) > 0 && s.lines[in] != nil {
		return nil
	}
	return s.approved.find(k)
}

// wait puts a post into its line. A line that has been answered stays until it has
// been led off; then there is nothing to wait for.
func (s *sources) wait(p *post, k, in sourceKey) (waits bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln := s.lines[in]
	if ln == nil {
		if _, ok := s.approved.get(k); ok {
			return false, nil
		}
		if ln, err = s.lobby.open(func() { s.expire(in) }); err != nil {
			return false, err
		}
		s.lines[in] = ln
		s.open.Add(1)
		ln.question = s.ask.whether(k, in)
	}
	return true, s.lobby.join(ln, p)
}

// answered takes the registry's answer. An approval outlives an answer that
// says that it cannot be known now.
func (s *sources) answered(q *question, a *pb.SourceAnswer) {
	why := about("from", refuse(reasonSource, fault.Code(a.GetCode()), "%s", a.GetDescription()))
	s.mu.Lock()
	ln := s.lines[q.line]
	mine := ln != nil && ln.question == q.sequence
	var refused []*post
	switch code := fault.Code(a.GetCode()); {
	case code == fault.OK:
		s.approve(q.key)
	case code != fault.Unavailable:
		s.approved.delete(q.key)
		if mine {
			refused = s.lobby.leaveWhile(ln, q.meant)
		}
	case mine && ln.patient():
		ln.question = 0
		time.AfterFunc(s.limits.AskAgain, func() { s.askAgain(q.key, q.line) })
		mine = false
	case mine:
		refused = s.lobby.leaveWhile(ln, q.meant)
	}
	if mine {
		ln.going = true
	}
	s.mu.Unlock()
	s.refuse(refused, why)
	if mine {
		s.leadOff(q.line, ln)
	}
}

func (s *sources) approve(k sourceKey) {
	asked, ok := s.approved.get(k)
	if !ok {
		asked = &atomic.Uint64{}
		s.approved.put(k, asked)
	}
	asked.Store(s.ask.epoch.Load())
}

// meant tells whether a post is one that the question was about.
func (q *question) meant(p *post) bool {
	k, _, _ := sourceOf(p)
	return k == q.key
}

// askAgain asks again for the source of a line.
func (s *sources) askAgain(k, in sourceKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ln := s.lines[in]; ln != nil && ln.question == 0 && !ln.going {
		ln.question = s.ask.whether(k, in)
	}
}

// leadOff forwards what stands in a line until it is empty, or one stands in front
// whose source is to be asked for. New ones join meanwhile, so that none overtakes,
// and no lock is held on their way.
func (s *sources) leadOff(in sourceKey, ln *line) {
	for {
		s.mu.Lock()
		if ln.posts.len() == 0 {
			s.close(in, ln)
			s.mu.Unlock()
			return
		}
		k, _, _ := sourceOf(ln.posts.first().post)
		if _, ok := s.approved.get(k); !ok {
			ln.going = false
			ln.question = s.ask.whether(k, in)
			s.mu.Unlock()
			return
		}
		p := s.lobby.leave(ln)
		s.mu.Unlock()
		s.forward(p)
	}
}

func (s *sources) close(in sourceKey, ln *line) []*post {
	s.ask.forget(ln.question)
	delete(s.lines, in)
	s.open.Add(-1)
	return s.lobby.close(ln)
}

// expire runs when the first of a line may have waited long enough.
func (s *sources) expire(in sourceKey) {
	s.mu.Lock()
	var over []*post
	if ln := s.lines[in]; ln != nil && !ln.going {
		over = s.lobby.expired(ln, time.Now())
		if ln.posts.len() == 0 {
			s.close(in, ln)
		}
	}
	s.mu.Unlock()
	s.refuse(over, refuse(reasonWaitTime, 503, "the registry did not say in time whether %s may send", in.from))
}

func (s *sources) refuse(posts []*post, why error) {
	verdicts := make([]verdict, 0, len(posts))
	for _, p := range posts {
		verdicts = append(verdicts, verdict{post: p, err: why})
	}
	s.settle(verdicts)
}

// end refuses all that waits.
func (s *sources) end(why error) {
	s.mu.Lock()
	var refused []*post
	for k, ln := range s.lines {
		refused = append(refused, s.close(k, ln)...)
	}
	s.mu.Unlock()
	s.refuse(refused, why)
}

// forget takes back the approval of addresses, wherever they came in.
func (s *sources) forget(addresses []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.approved.deleteFunc(func(k sourceKey) bool { return slices.Contains(addresses, k.from) })
}
