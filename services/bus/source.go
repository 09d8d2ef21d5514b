package bus

import (
	"slices"
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

// sources knows which senders the registry approves of (wire contract, section
// 10, rule 1). The first message of one waits in a line for the answer, and
// what follows from it stands behind.
type sources struct {
	limits  *Limits
	ask     *asker
	forward func(*post)     // the rest of the way
	settle  func([]verdict) // without a lock

	mu       sync.RWMutex
	approved *cache[sourceKey, *atomic.Uint64] // epoch in which it was asked last
	lines    map[sourceKey]*line
	lobby    lobby
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
	if s.known(k) {
		s.forward(p)
		return
	}
	switch waits, err := s.wait(p, k); {
	case err != nil:
		s.settle([]verdict{{p, err}})
	case !waits:
		s.forward(p)
	}
}

func (s *sources) known(k sourceKey) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.lines) > 0 && s.lines[k] != nil {
		return false
	}
	asked, ok := s.approved.get(k)
	if !ok {
		return false
	}
	was, now := asked.Load(), s.ask.epoch.Load()
	if was != now && asked.CompareAndSwap(was, now) && s.ask.whether(k) == 0 {
		asked.Store(was)
	}
	return true
}

// wait puts a post into the line of its source. A line that has been answered
// stays until it has been led off; then there is nothing to wait for.
func (s *sources) wait(p *post, k sourceKey) (waits bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln := s.lines[k]
	if ln == nil {
		if _, ok := s.approved.get(k); ok {
			return false, nil
		}
		if ln, err = s.lobby.open(func() { s.expire(k) }); err != nil {
			return false, err
		}
		s.lines[k] = ln
		ln.question = s.ask.whether(k)
	}
	return true, s.lobby.join(ln, p)
}

// answered takes the registry's answer. An approval outlives an answer that
// says that it cannot be known now.
func (s *sources) answered(q *question, a *pb.SourceAnswer) {
	s.mu.Lock()
	ln := s.lines[q.key]
	mine := ln != nil && ln.question == q.sequence
	switch code := fault.Code(a.GetCode()); {
	case code == fault.OK:
		epoch := &atomic.Uint64{}
		epoch.Store(s.ask.epoch.Load())
		s.approved.put(q.key, epoch)
		if mine {
			ln.going = true
		}
		s.mu.Unlock()
		if mine {
			s.leadOff(q.key, ln)
		}
		return
	case code != fault.Unavailable:
		s.approved.delete(q.key)
	}
	var refused []*post
	if mine {
		refused = s.close(q.key, ln)
	}
	s.mu.Unlock()
	s.refuse(refused, refuse(reasonSource, fault.Code(a.GetCode()), "%s", a.GetDescription()))
}

// leadOff forwards what stands in a line until it is empty. New ones join
// meanwhile, so that none overtakes, and no lock is held on their way.
func (s *sources) leadOff(k sourceKey, ln *line) {
	for {
		s.mu.Lock()
		if ln.posts.len() == 0 {
			s.close(k, ln)
			s.mu.Unlock()
			return
		}
		p := s.lobby.leave(ln)
		s.mu.Unlock()
		s.forward(p)
	}
}

func (s *sources) close(k sourceKey, ln *line) []*post {
	s.ask.forget(ln.question)
	delete(s.lines, k)
	return s.lobby.close(ln)
}

// expire runs when the first of a line may have waited long enough.
func (s *sources) expire(k sourceKey) {
	s.mu.Lock()
	var over []*post
	if ln := s.lines[k]; ln != nil && !ln.going {
		over = s.lobby.expired(ln, time.Now())
		if ln.posts.len() == 0 {
			s.close(k, ln)
		}
	}
	s.mu.Unlock()
	s.refuse(over, refuse(reasonWaitTime, 503, "the registry did not say in time whether %s may send", k.from))
}

func (s *sources) refuse(posts []*post, why error) {
	verdicts := make([]verdict, 0, len(posts))
	for _, p := range posts {
		verdicts = append(verdicts, verdict{p, why})
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
