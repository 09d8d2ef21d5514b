package bus

import (
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// Responses that come to another replica than the one where their request waits. That
// one tells the others before the request leaves it; whoever has the response hands it
// over, with credit like any delivery.

// leaves tells whether a post leaves this replica that way.
func (w way) leaves() bool {
	if w.flow != nil {
		return true
	}
	for _, in := range w.takers {
		if in.stream.peer != "" || isStub(in.comp) {
			return true
		}
	}
	return false
}

// await tells the others that a response is waited for here, once.
func (m *mesh) await(q *request) {
	if !q.told.Swap(true) {
		m.ask(q)
	}
}

// ask tells it them, or again when the client asks here again: one of them may have given
// the response away meanwhile. Where the same client has asked before it waits no more.
func (m *mesh) ask(q *request) {
	m.mu.Lock()
	if at, ok := m.awaited.get(q.key); ok && at.number != 0 && at.posted(q.post.m) {
		m.awaited.delete(q.key)
	}
	m.mu.Unlock()
	for _, l := range *m.links.Load() {
		l.await(q)
	}
}

// elsewhere is where a request waits at another replica: which one that is, who posted
// it, and which of its posts it is, as far as that is known.
type elsewhere struct {
	replica, origin string
	number          uint64
}

func (l *link) await(q *request) {
	k, m := q.key, q.post.m
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up.Load() && len(l.awaited) < l.bus.limits.Requests {
		l.awaited = append(l.awaited, &pb.AwaitedResponse{From: k.From, To: k.To, Id: k.ID, Origin: m.Origin, Number: m.Number})
		signal(l.wake)
	}
}

// waits notes that another replica waits for a response.
func (m *mesh) waits(at elsewhere, k message.Key) {
	if at.replica == m.id {
		return
	}
	m.mu.Lock()
	m.awaited.put(k, at)
	m.mu.Unlock()
	m.bus.answerLate(k)
	m.bus.answerMoved(at, k)
}

// waiterOf is the replica that waits for a response, as far as this one knows: that
// goes with it, in case that its word is still under way to the other one.
func (m *mesh) waiterOf(msg *pb.Message) string {
	if !message.IsResponse(msg) {
		return ""
	}
	key := message.AnswerKey(msg)
	if m.bus.requests.waits(key) {
		return m.id
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at, _ := m.awaited.get(key)
	return at.replica
}

// waiter gives the inbox of the replica that waits for a response; nil when none does.
func (m *mesh) waiter(response *pb.Message) *inbox {
	key := message.AnswerKey(response)
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.awaited.get(key)
	if !ok {
		return nil
	}
	if isFinal(response) {
		m.awaited.delete(key)
	}
	if p := m.peers[at.replica]; p != nil {
		return p.handed
	}
	return nil
}

// handOver gives a response to the replica that waits for it. One that has come from
// another replica so, and too late, is for the listeners of its address.
func (b *Bus) handOver(p *post) bool {
	switch {
	case b.mesh == nil:
		return false
	case p.handed && p.meshed:
		done, err := b.table.toListeners(p)
		if done {
			b.settle(p, err)
		}
		return true
	case p.handed:
		return false
	}
	if in := b.mesh.waiter(p.m); in != nil {
		p.handed = true
		b.offer(p, []*inbox{in})
		return true
	}
	// What nobody listens to here may wait for its listener to come back: another
	// replica may want it now.
	return p.ingress != nil && !b.table.heard(p.m.To) && b.lastResort(p, nobodyListens(p.m.To))
}

// toListeners offers a post to the listeners of its address, wherever they are.
func (t *table) toListeners(p *post) (done bool, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if pl := t.places[p.m.To]; pl != nil && pl.line == nil && len(pl.takers) > 0 {
		return offer(p, pl.takers)
	}
	return true, nobodyListens(p.m.To)
}

// lastResort gives a response that nobody here wants to all other replicas: their word
// that one of them waits for it may have been lost.
func (b *Bus) lastResort(p *post, why error) bool {
	if b.mesh == nil || p.m == nil || !message.IsResponse(p.m) || p.meshed || p.expected {
		return false
	}
	if p.handed {
		return b.expectLate(p)
	}
	if reasonOf(why) != reasonNoListener {
		return false
	}
	all := b.mesh.handedInboxes()
	if len(all) == 0 {
		return false
	}
	p.handed = true
	b.offer(p, all)
	return true
}

// expectLate keeps a response that no replica wants, while one that was lost may have
// had its request: that is posted again.
func (b *Bus) expectLate(p *post) bool {
	p.expected = true
	if !p.flowing || !b.table.young() {
		return false
	}
	if done, err := b.table.expect(p); done {
		b.settle(p, err)
	}
	return true
}

// answerLate gives a request that waits from now on the responses that have come before
// it: its first copy was at a bus that is gone.
func (b *Bus) answerLate(k message.Key) {
	for _, p := range b.table.early(k) {
		p.handed, p.expected = false, false
		if !b.answers(p) {
			b.settle(p, nobodyListens(p.m.To))
		}
	}
}

// early takes the responses to a request out of the line in which they wait.
func (t *table) early(k message.Key) (out []*post) {
	t.mu.RLock()
	none := len(t.waiting) == 0 || t.withAnswers(k) == nil
	t.mu.RUnlock()
	if none {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	pl := t.withAnswers(k)
	if pl == nil {
		return nil
	}
	out = t.lobby.answersTo(pl.line, k)
	if pl.line.posts.len() == 0 {
		t.release(pl, nil)
	}
	return out
}

// withAnswers gives the place in whose line responses to a request wait; nil when none do.
func (t *table) withAnswers(k message.Key) *place {
	if pl := t.places[k.From]; pl != nil && pl.line != nil && pl.line.answers[k] > 0 {
		return pl
	}
	return nil
}

func (m *mesh) handedInboxes() (all []*inbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		if p.handed != nil {
			all = append(all, p.handed)
		}
	}
	return all
}

// handedName is the name under which a replica gets the responses that it waits for.
func (m *mesh) handedName(id string) string { return address.Bus(m.bus.runtimeURL) + "/" + id }
