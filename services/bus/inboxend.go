package bus

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// dismiss refuses all that waits in the overflow.
func (in *inbox) dismiss(why error) []verdict {
	var verdicts []verdict
	for in.overflow.len() > 0 {
		for _, p := range in.leaveAsPosts() {
			if done, err := p.decide(why); done {
				verdicts = append(verdicts, verdict{post: p, err: err})
			}
		}
	}
	return verdicts
}

// close ends the inbox. What it had not dealt with, and no other listener has,
// is refused; but what was sent to a stub may have left already. What was handed over to
// another replica has not.
func (in *inbox) close() (verdicts []verdict, hungry map[*outflow]struct{}) {
	s := in.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	in.end()
	verdicts = in.dismiss(in.gone())
	for _, h := range in.sent.drain() {
		h.end(in.gone())
		for _, p := range h.posts(true) {
			verdicts = in.lose(verdicts, p, in.comp == pb.Component_COMPONENT_APPLICATION || in.comp == pb.Component_COMPONENT_BUS)
		}
	}
	for _, p := range in.drainQueue() {
		verdicts = in.lose(verdicts, p, true)
	}
	hungry, in.hungry = in.hungry, nil
	return verdicts, hungry
}

func (in *inbox) end() {
	in.closed = true
	if in.stream.inboxes[in.name] == in {
		delete(in.stream.inboxes, in.name)
	}
	if in.timer != nil {
		in.timer.Stop()
	}
}

// lose counts a post that this listener will not deal with.
func (in *inbox) lose(verdicts []verdict, p *post, refused bool) []verdict {
	if refused {
		return lose(verdicts, p, in.gone())
	}
	return lose(verdicts, p, nil)
}

// lose counts a post that a listener will not deal with, for a reason, or, without one,
// that may have left already.
func lose(verdicts []verdict, p *post, why error) []verdict {
	switch last, refused := p.loses(why != nil); {
	case !last:
	case refused:
		return append(verdicts, verdict{post: p, err: why})
	default:
		return append(verdicts, verdict{post: p, done: true})
	}
	return verdicts
}

// leaveAll ends the inbox of a listener that may come back, and gives all that it
// has not dealt with, in order. Some of it may have reached it.
func (in *inbox) leaveAll() []*post {
	s := in.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	in.end()
	var all []*post
	for _, h := range in.sent.drain() {
		h.end(in.gone())
		all = append(all, h.posts(true)...)
	}
	all = append(all, in.drainQueue()...)
	for _, p := range all {
		p.returned = true
	}
	for in.overflow.len() > 0 {
		all = append(all, in.leaveAsPosts()...)
	}
	return all
}

// drainQueue empties the queue, and gives the posts that it had.
func (in *inbox) drainQueue() (all []*post) {
	for _, i := range in.queue.drain() {
		in.pull(i.count(), i.size(), i.cost())
		all = append(all, i.posts(true)...)
	}
	return all
}

func (in *inbox) gone() error {
	return refuse(reasonGone, 503, "the listener of %s went away", in.name)
}
