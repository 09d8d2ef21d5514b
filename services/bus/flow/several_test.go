package flow

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whether messages are posted together cannot be seen on the ways, nor in what is
// settled, whatever happens to them.
func TestSeveralAreLikeOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, 400).Draw(t, "data")
		one, other := newWorld(small(), t.Fatalf), newWorld(small(), t.Fatalf)
		other.apart = true
		for n, m := (numbers{data}), (numbers{data}); n.more(); {
			event(one, &n)
			event(other, &m)
			if got, want := one.seen(), other.seen(); got != want {
				t.Fatalf("together\n%s\none by one\n%s", got, want)
			}
		}
		one.heal()
		one.judge()
	})
}

// event is something that happens to a world, as numbers say.
func event(w *world, n *numbers) {
	switch what, way := n.next()%12, int(n.next()%2); what {
	case 0, 1:
		w.postSome(addresses[n.next()%3], int(n.next()%20)+1, sizes[n.next()%5], 0)
	case 2:
		w.post(addresses[n.next()%3], sizes[n.next()%5], 503*int32(n.next()%2)) // small
	case 3:
		for range n.next() % 20 {
			w.arrive(way)
		}
	case 4:
		w.answer(way)
	case 5:
		a := addresses[n.next()%3]
		for range n.next() % 20 {
			w.listen(a)
		}
	case 6:
		w.exchange()
		w.advance(12 * time.Millisecond)
		w.exchange()
	case 7:
		w.advance(time.Duration(n.next()%256*(n.next()%256)) * time.Millisecond / 4) // small
	case 8:
		b := n.next()
		w.setPaths(Paths{b&1 != 0, b&2 != 0, b&5 == 5})
	case 9:
		w.halt([]int32{403, 404, 429, 503}[n.next()%4])
	case 10:
		if q := w.there[way]; len(q) > 0 { // a message is lost, or comes later
			i := int(n.next()%256) % len(q) // small
			w.there[way] = append(q[:i:i], q[i+1:]...)
			if n.next()%2 == 0 {
				w.there[way] = append(w.there[way], q[i])
			}
		}
	case 11:
		w.startReceiver()
	}
}

var sizes = []int{100, 301, 400, 505, 1500}

// seen is all that can be seen of a sender.
func (w *world) seen() string {
	text := fmt.Sprintf("settled %v\n", w.code)
	for i := range w.there {
		for _, p := range w.there[i] {
			text += fmt.Sprintf("way %d: %+v", i, p.place)
			if p.post != nil {
				text += fmt.Sprint(" ", p.post.number)
			}
			text += "\n"
		}
	}
	s := w.sender
	at, ok := s.Deadline()
	for kind := range s.windows {
		text += fmt.Sprintf("window %d of %d, trips %+v\n", s.windows[kind].used, s.windows[kind].size, s.windows[kind].trips)
	}
	return text + fmt.Sprint(at.Sub(w.now), ok, s.Bytes(), s.Stats(), len(w.waiting), len(w.unsaid))
}
