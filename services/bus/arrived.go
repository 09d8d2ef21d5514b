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
	// talks have posts that are not settled, all but the last one, which may have none.
	talks map[talkKey]*talk
	last  *talk // in which something came last; nil before that
	// refused has those that could not be taken for new again, as later ones have
	// come: when one comes again, it is refused again.
	refused *cache[messageKey, error]
}

// talk is what one client posts from one address to another.
type talk struct {
	key     talkKey
	open    openPosts   // those that are not settled
	batches openBatches // likewise, of batches
	// odd are those of them whose number is not above the ones before: one that was
	// refused and came again, or one of a client that was forgotten meanwhile.
	odd map[uint64]*post
}

// talkKey names a talk.
type talkKey struct{ from, to, origin string }

// messageKey is that of a message: who posted it, and to whom.
type messageKey struct {
	talk   talkKey
	number uint64
}

// talkOf gives that of a message, whose texts it shares.
func talkOf(m *pb.Message) talkKey {
	return talkKey{m.From, m.To, unsafe.String(unsafe.SliceData(m.Origin), len(m.Origin))}
}

// clone is for who keeps it longer than the message.
func (k talkKey) clone() talkKey {
	return talkKey{strings.Clone(k.from), strings.Clone(k.to), strings.Clone(k.origin)}
}

func newArrived(l *Limits) arrived {
	return arrived{
		marks: once.New(l.Marks), talks: map[talkKey]*talk{},
		refused: newCache[messageKey, error](l.Refusals),
	}
}

// talk finds one; nil when it is not there. It is mostly the last.
func (t *arrived) talk(k talkKey) *talk {
	if t.last != nil && t.last.key == k {
		return t.last
	}
	return t.talks[k]
}

// begin is talk that makes one, as the last.
func (t *arrived) begin(k talkKey) *talk {
	is := t.talk(k)
	if is == nil {
		is = &talk{key: k.clone()}
		t.talks[is.key] = is
	}
	if before := t.last; before != is {
		t.last = is
		t.tidy(before)
	}
	return is
}

// tidy forgets a talk without posts, unless it is the last; nil is fine.
func (t *arrived) tidy(of *talk) {
	if of != nil && of != t.last && of.empty() && t.talks[of.key] == of {
		delete(t.talks, of.key)
	}
}

// first tells whether a post is the first with its message. Another one shares the
// fate of the first: it is settled when and as that is.
func (t *arrived) first(p *post) bool {
	if p.m.Number == 0 || len(p.m.Origin) == 0 {
		return true
	}
	key := talkOf(p.m)
	t.mu.Lock()
	if !t.marks.Seen(p.m.From, p.m.To, p.m.Origin, p.m.Number) {
		t.begin(key).add(p)
		t.mu.Unlock()
		return true
	}
	p.trail.tally = nil // counted with the first
	before := t.talk(key).get(p.m.Number)
	why, _ := t.refused.get(messageKey{key, p.m.Number})
	batch := t.talk(key).batch(p.m.Number)
	if before != nil {
		before.also = append(before.also, p)
	} else if batch != nil {
		batch.arrivals.again(p)
	}
	t.mu.Unlock()
	if before == nil && batch == nil {
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
	key := talkOf(p.m)
	if of := t.talk(key); of.remove(p) {
		t.tidy(of)
		if err != nil && !t.marks.Forget(p.m.From, p.m.To, p.m.Origin, p.m.Number) {
			t.refused.put(messageKey{key.clone(), p.m.Number}, err)
		}
	}
	also, p.also = p.also, nil
	return also
}

func (t *talk) empty() bool { return len(t.open.places)+len(t.odd) == 0 && t.batches.empty() }

// below tells whether all numbers that are open are below one, but for odd ones.
func (t *talk) below(number uint64) bool { return t.open.below(number) && t.batches.below(number) }

func (t *talk) add(p *post) {
	if number := p.m.Number; !t.below(number) {
		if t.odd == nil {
			t.odd = map[uint64]*post{}
		}
		t.odd[number] = p
		return
	}
	t.open.add(p.m.Number, p)
}

// get gives the post with a number that is not settled; nil when there is none, or no talk.
func (t *talk) get(number uint64) *post {
	if t == nil {
		return nil
	}
	if p := t.odd[number]; p != nil {
		return p
	}
	if at := t.open.get(number); at != nil {
		return at.post
	}
	return nil
}

// batch gives the batch with a number that is not settled; nil when there is none, or no
// talk.
func (t *talk) batch(number uint64) *batch {
	if t == nil {
		return nil
	}
	return t.batches.get(number)
}

// remove takes out a post, and tells whether it was there: another one may have its
// number, if the mark of that was forgotten meanwhile.
func (t *talk) remove(p *post) bool {
	if t == nil {
		return false
	}
	number := p.m.Number
	if t.odd[number] == p {
		delete(t.odd, number)
		return true
	}
	if at := t.open.get(number); at != nil && at.post == p {
		t.open.remove(number)
		return true
	}
	return false
}
