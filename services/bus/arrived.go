package bus

import (
	"strings"
	"sync"
	"unsafe"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/once"
)

// arrived knows what has come in flows, so that each message goes on once: it may come
// again, in a flow of a bus that was restarted since. Only what its source may send
// is asked about, or one sender could have the numbers of another taken for old.
type arrived struct {
	mu    sync.Mutex
	marks *once.Marks
	open  map[messageKey]*post // those that are not settled
	// refused has those that could not be taken for new again, as later ones have
	// come: when one comes again, it is refused again.
	refused *cache[messageKey, error]
}

// messageKey is that of a message: who posted it, and to whom.
type messageKey struct {
	from, to, origin string
	number           uint64
}

// keyOf gives that of a message, whose texts it shares.
func keyOf(m *pb.Message) messageKey {
	return messageKey{m.From, m.To, unsafe.String(unsafe.SliceData(m.Origin), len(m.Origin)), m.Number}
}

// clone is for who keeps it longer than the message.
func (k messageKey) clone() messageKey {
	return messageKey{strings.Clone(k.from), strings.Clone(k.to), strings.Clone(k.origin), k.number}
}

// first tells whether a post is the first with its message. Another one shares the
// fate of the first: it is settled when and as that is.
func (t *arrived) first(p *post) bool {
	if p.m.Number == 0 || len(p.m.Origin) == 0 {
		return true
	}
	key := keyOf(p.m)
	t.mu.Lock()
	if !t.marks.Seen(p.m.From, p.m.To, p.m.Origin, p.m.Number) {
		t.open[key] = p
		t.mu.Unlock()
		return true
	}
	p.trail.tally = nil // counted with the first
	before := t.open[key]
	why, _ := t.refused.get(key)
	if before != nil {
		before.also = append(before.also, p)
	}
	t.mu.Unlock()
	if before == nil {
		p.end(why)
	}
	return false
}

// over settles with posts those that came with the same messages.
func (t *arrived) over(err error, posts ...*post) {
	var also []*post
	t.mu.Lock()
	for _, p := range posts {
		also = append(also, t.end(p, err)...)
	}
	t.mu.Unlock()
	for _, q := range also {
		q.end(err)
	}
}

// end notes that a post is over, and gives those that came with the same message. One
// that is refused has not been handed over: a repetition of it is no duplicate.
func (t *arrived) end(p *post, err error) (also []*post) {
	if p.m.Number == 0 || len(p.m.Origin) == 0 {
		return nil
	}
	key := keyOf(p.m)
	if t.open[key] == p {
		delete(t.open, key)
		if err != nil && !t.marks.Forget(p.m.From, p.m.To, p.m.Origin, p.m.Number) {
			t.refused.put(key.clone(), err)
		}
	}
	also, p.also = p.also, nil
	return also
}
