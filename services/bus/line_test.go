package bus

import (
	"slices"
	"testing"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// A request takes its responses out of a long line, and leaves the others in order. It
// moves none of those behind them, and for one that has none nothing is done: else many
// requests would take the square of the line's length.
func TestAnswersLeaveALongLine(t *testing.T) {
	const n = 1000
	limits := Limits{}.orDefaults()
	l := lobby{limits: &limits}
	ln, err := l.open(func() {})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(id int, code fault.Code) {
		p := newPost(itself{}, message.Answer(numbered(alice, bob, id), code, nil))
		p.measure()
		if err := l.join(ln, p); err != nil {
			t.Fatal(err)
		}
	}
	key := func(id int) message.Key { return message.KeyOf(numbered(alice, bob, id)) }
	for id := range n {
		answer(id, 183)
		answer(id, fault.OK)
	}
	last := ln.posts.fromEnd(1)
	for _, id := range []int{0, 1, 3, 2} {
		out := l.answersTo(ln, key(id))
		if len(out) != 2 || slices.ContainsFunc(out, func(p *post) bool { return message.AnswerKey(p.m) != key(id) }) {
			t.Fatalf("%d left for request %d", len(out), id)
		}
		if a, _ := message.Result(out[0].m); a != 183 {
			t.Errorf("the first for request %d is %d", id, a)
		}
	}
	if ln.posts.fromEnd(1) != last {
		t.Error("those behind have moved")
	}
	none, taken := key(n), key(0)
	if allocs := testing.AllocsPerRun(1, func() { l.answersTo(ln, none); l.answersTo(ln, taken) }); allocs > 0 {
		t.Errorf("%v allocations for a request without a response", allocs)
	}
	if l.posts != 2*(n-4) || len(ln.answers) != n-4 {
		t.Errorf("%d posts of %d requests are counted", l.posts, len(ln.answers))
	}
	id := 4
	for _, p := range l.close(ln) {
		if message.AnswerKey(p.m) != key(id) {
			t.Fatalf("%s is in the place of %d", p.m.Id, id)
		}
		if code, _ := message.Result(p.m); code == fault.OK {
			id++
		}
	}
	if id != n || l.load != (load{}) || len(ln.answers) != 0 {
		t.Errorf("%d came, %+v is left", id, l.load)
	}
}

// What has its room elsewhere, as what came in a flow, takes none of a line's or of all lines'.
func TestALineHasItsRoomForWhatHasNoneElsewhere(t *testing.T) {
	one := newPost(itself{}, ping(alice, carol))
	one.measure()
	for name, limits := range map[string]Limits{
		"messages": {WaitMessages: 2},
		"bytes":    {WaitBytes: 2 * one.cost()},
		"in all":   {WaitTotal: 2 * one.cost()},
	} {
		t.Run(name, func(t *testing.T) {
			limits = limits.orDefaults()
			l := lobby{limits: &limits}
			ln, err := l.open(func() {})
			if err != nil {
				t.Fatal(err)
			}
			join := func(flowing bool) error {
				p := newPost(itself{}, one.m)
				p.flowing = flowing
				p.measure()
				return l.join(ln, p)
			}
			for n := range 4 {
				if err := join(true); err != nil {
					t.Fatal(err)
				}
				if err := join(false); (err == nil) != (n < 2) {
					t.Errorf("%d are there, and the next is told %v", n, err)
				}
			}
			if l.posts != 6 {
				t.Errorf("%d wait", l.posts)
			}
			l.close(ln)
			if l.load != (load{}) || l.bounded != 0 || ln.bounded != (load{}) {
				t.Errorf("%+v is left, %d and %+v of it bounded", l.load, l.bounded, ln.bounded)
			}
		})
	}
}
