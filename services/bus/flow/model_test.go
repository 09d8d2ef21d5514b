package flow

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var addresses = []string{"a", "b", "c"}

// What can happen to a flow, to be drawn from at random.
func faults(w *world) map[string]func(*rapid.T) {
	way := rapid.SampledFrom([]int{0, 1})
	some := rapid.SampledFrom([]int{1, 2, 5, 20})
	who := rapid.SampledFrom(addresses)
	size := rapid.SampledFrom([]int{100, 301, 400, 1500, 1501})
	code := rapid.SampledFrom([]int32{0, 0, 0, 0, 0, 0, 0, 503})
	return map[string]func(*rapid.T){
		"post": func(t *rapid.T) {
			for range some.Draw(t, "how many") {
				w.post(who.Draw(t, "to"), size.Draw(t, "size"), code.Draw(t, "code"))
			}
		},
		"post some": func(t *rapid.T) {
			if len(w.waiting) < 10 {
				w.postSome(who.Draw(t, "to"), rapid.IntRange(2, 20).Draw(t, "how many"), size.Draw(t, "size"), code.Draw(t, "code"))
			}
		},
		"arrive": func(t *rapid.T) {
			i := way.Draw(t, "way")
			for range some.Draw(t, "how many") {
				w.arrive(i)
			}
		},
		"answer": func(t *rapid.T) {
			i := way.Draw(t, "way")
			for range some.Draw(t, "how many") {
				w.answer(i)
			}
		},
		"listen": func(t *rapid.T) {
			a := who.Draw(t, "who")
			for range some.Draw(t, "how many") {
				w.listen(a)
			}
		},
		"exchange": func(t *rapid.T) {
			w.exchange()
			w.advance(12 * time.Millisecond)
			w.exchange()
		},
		"advance": func(t *rapid.T) {
			w.advance(time.Duration(rapid.SampledFrom([]int{1, 5, 20, 100, 400, 2000, 6000}).Draw(t, "ms")) * time.Millisecond)
		},
		"lose": func(t *rapid.T) {
			disturb(t, w, func(q []packet, i int) []packet { return append(q[:i:i], q[i+1:]...) })
		},
		"double": func(t *rapid.T) { disturb(t, w, func(q []packet, i int) []packet { return append(q, q[i]) }) },
		"reorder": func(t *rapid.T) {
			disturb(t, w, func(q []packet, i int) []packet { return append(append(q[:i:i], q[i+1:]...), q[i]) })
		},
		"refuse": func(t *rapid.T) {
			w.halt(rapid.SampledFrom([]int32{403, 404, 408, 413, 429, 503}).Draw(t, "code"))
		},
		"paths": func(t *rapid.T) {
			direct := rapid.Bool().Draw(t, "direct")
			w.setPaths(Paths{Direct: direct, Relay: rapid.Bool().Draw(t, "relay"), Doubt: direct && rapid.Bool().Draw(t, "doubt")})
		},
		"full": func(t *rapid.T) {
			w.stuffed = rapid.SampledFrom([]Path{0, Direct, Relay, Both}).Draw(t, "full")
			w.few = rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "few")
			w.sender.Ready(Both &^ w.stuffed)
			w.act()
		},
	}
}

// disturb does something to a packet on its way.
func disturb(t *rapid.T, w *world, how func(q []packet, i int) []packet) {
	q := rapid.SampledFrom([]*[]packet{&w.there[0], &w.there[1], &w.back[0], &w.back[1]}).Draw(t, "of")
	if len(*q) > 0 {
		*q = how(*q, rapid.IntRange(0, len(*q)-1).Draw(t, "which"))
	}
}

// Whatever the network does, nothing is lost, doubled or reordered.
func TestAnyNetwork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(small(), t.Fatalf)
		t.Repeat(faults(w))
		w.heal()
		w.judge()
	})
}

// Nor when a bus on either side is restarted, with clients that remember.
func TestAnyRestart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(small(), t.Fatalf)
		actions := faults(w)
		actions["restart the sender"] = func(*rapid.T) { w.startSender() }
		actions["restart the receiver"] = func(*rapid.T) { w.startReceiver() }
		t.Repeat(actions)
		w.heal()
		w.judge()
	})
}

// Nor when outages are so long that messages are given up: then their posters are
// told.
func TestAnyOutage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := small()
		l.Patience, l.AbsentTime = 20*time.Second, 5*time.Second
		w := newWorld(l, t.Fatalf)
		actions := faults(w)
		actions["wait long"] = func(t *rapid.T) {
			w.advance(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
		}
		t.Repeat(actions)
		w.heal()
		w.judge()
	})
}

// A long message lets short ones wait longer. When it is given up, so are they.
func TestAllThatIsDueIsGivenUp(t *testing.T) {
	l := small()
	l.Patience = 20 * time.Second
	w := newWorld(l, t.Fatalf)
	w.stuffed = Both
	w.sender.Ready(0)
	for _, size := range []int{1500, 100, 100, 100} {
		w.post("a", size, 0)
	}
	w.post("b", 100, 0) // no way takes it before one of the others is received
	w.advance(100 * time.Millisecond)
	w.setPaths(Paths{Relay: true})
	w.advance(20 * time.Second)
	w.heal()
	w.judge()
}

// What is given up is not under way any more: what else is, is waited for the less, from
// that very moment.
func TestWhatIsGivenUpIsNotWaitedFor(t *testing.T) {
	l := small()
	l.Patience = 20 * time.Second
	w := newWorld(l, t.Fatalf)
	w.post("a", 1500, 0)
	w.advance(19 * time.Second)
	w.post("a", 301, 0)
	w.advance(time.Millisecond)
	w.advance(2 * time.Second) // behind the deadlines of both
	w.heal()
	w.judge()
}

// Nor when it is found out on the way whether the peer knows flows: what goes plain
// is said to, and the rest is as ever.
func TestAnyPeer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorldWith(small(), true, t.Fatalf)
		actions := faults(w)
		actions["announced"] = func(*rapid.T) { w.sender.Announce(w.now); w.act() }
		actions["plain"] = func(*rapid.T) {
			heard := w.sender.peer.receiver != 0
			settled := w.sender.Plain(w.now)
			if heard == (len(settled) > 0) && (heard || !w.sender.Empty()) {
				t.Fatalf("plain after an acknowledgement (%t): %v", heard, settled)
			}
			w.settle(settled)
			w.act()
		}
		t.Repeat(actions)
		w.heal()
		w.judge()
	})
}

// Nor does one listener that deals with nothing hold up another, whatever happens.
func TestAnyStuck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(small(), t.Fatalf)
		actions := faults(w)
		actions["restart the receiver"] = func(*rapid.T) { w.startReceiver() }
		actions["listen"] = func(*rapid.T) { w.listen("b"); w.listen("b"); w.listen("c") }
		t.Repeat(actions)
		w.restore()
		w.finish("b", "c")
		w.finish(addresses...)
		w.judge()
	})
}

// A listener that deals with nothing keeps its half, whatever passes it; nothing
// else grows, and a new receiver has all of it again.
func TestStuckListener(t *testing.T) {
	w := newWorld(Limits{Bytes: 1 << 20}, t.Fatalf)
	for i := range 20_000 {
		if i%4 == 0 && w.sender.Room("a", 300) {
			w.post("a", 300, 0)
		}
		w.post("b", 300, 0)
		for way := range w.there {
			for len(w.there[way]) > 0 {
				w.arrive(way)
			}
		}
		for len(w.inbox["b"]) > 0 {
			w.listen("b")
		}
		w.now = w.now.Add(time.Millisecond)
		if i%20 == 0 {
			w.act()
			for len(w.back[0]) > 0 {
				w.answer(0)
			}
		}
		w.back[1] = nil
	}
	if held := w.sender.accounts["a"].bytes; held < 300_000 || held > 1<<19 {
		t.Errorf("the stuck listener holds %d bytes", held)
	}
	if n := cap(w.sender.kept.slots); n > 16_384 {
		t.Errorf("the sender keeps %d slots", n)
	}
	if n := cap(w.receiver.given.slots); n > 16_384 {
		t.Errorf("the receiver keeps %d slots", n)
	}
	if len(w.waiting) > 0 {
		t.Errorf("%d messages wait for room", len(w.waiting))
	}
	w.startReceiver()
	w.heal()
	w.judge()
}
