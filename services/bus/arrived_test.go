package bus

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"
	"unsafe"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// counting is a poster that counts how often its posts are settled.
type counting struct {
	itself
	settlements int
	why         error
}

func (c *counting) settled(_ *post, err error) { c.settlements, c.why = c.settlements+1, err }

// arriving is a post as it comes in a flow, by a poster of its own.
func arriving(to string, number uint64) (*post, *counting) {
	by := &counting{}
	return newPost(by, &pb.Message{From: bob, To: to, Origin: []byte("o"), Number: number}), by
}

// What comes again while the first is open shares its fate; in whatever order the first
// ones are settled, nothing is left of them but the last talk.
func TestArrivedTwice(t *testing.T) {
	a := newArrived(&Limits{Marks: 100, Refusals: 10})
	last := map[string]uint64{}
	var open []*post
	for range 5000 {
		to := alice + strconv.Itoa(rand.IntN(3))
		if last[to]++; rand.IntN(10) == 0 {
			last[to] += 5
		}
		first, _ := arriving(to, last[to])
		again, by := arriving(to, last[to])
		if !a.first(first) || a.first(again) || by.settlements > 0 {
			t.Fatal("the second is a first, or settled")
		}
		if open = append(open, first); len(open) == 100 {
			i := rand.IntN(len(open))
			a.over(nil, open[i])
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
		}
		if a.open() != len(open) {
			t.Fatalf("%d are open, not %d", a.open(), len(open))
		}
	}
	a.over(nil, open...)
	if a.open() != 0 || len(a.talks) != 1 || !a.last.empty() {
		t.Errorf("%d are open, of %d talks", a.open(), len(a.talks))
	}
}

// The last one that is refused is new when it comes again, though its number does not
// rise; one before it is refused again.
func TestArrivedAgainAfterARefusal(t *testing.T) {
	a := newArrived(&Limits{Marks: 100, Refusals: 10})
	why := errors.New("refused")
	before, _ := arriving(alice, 1)
	refused, _ := arriving(alice, 2)
	if !a.first(before) || !a.first(refused) {
		t.Fatal("they are not new")
	}
	a.over(why, refused)
	again, _ := arriving(alice, 2)
	if !a.first(again) || a.open() != 2 {
		t.Fatalf("it is not new again: %d are open", a.open())
	}
	a.over(why, before)
	late, by := arriving(alice, 1)
	if a.first(late) || by.settlements != 1 || by.why != why {
		t.Errorf("the one before is settled %d times, with %v", by.settlements, by.why)
	}
	copied, by := arriving(alice, 2)
	if a.first(copied); by.settlements != 0 {
		t.Error("a copy is settled before what it is a copy of")
	}
	a.over(nil, again)
	if by.settlements != 1 || by.why != nil || a.open() != 0 {
		t.Errorf("the copy is settled %d times, with %v; %d are open", by.settlements, by.why, a.open())
	}
}

// The name of a talk is no part of the message.
func TestATalkKeepsNoMessage(t *testing.T) {
	in := newArrived(&Limits{Marks: 1, Refusals: 1})
	p, _ := arriving(string([]byte(alice)), 1)
	in.first(p)
	if unsafe.StringData(in.last.key.to) == unsafe.StringData(p.m.To) {
		t.Error("it is")
	}
}

// A message whose mark has been forgotten is a first once more while the one before is
// open: each is over by itself, and what comes again later waits for neither.
func TestArrivedAgainWithoutItsMark(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		a := newArrived(&Limits{Marks: 1, Refusals: 10})
		var both [2]*post
		for i := range both {
			both[i], _ = arriving(alice, 5)
			other, _ := arriving(bob, uint64(i)+1) // takes the only mark
			if !a.first(both[i]) || !a.first(other) {
				t.Fatal("they are not new")
			}
			a.over(nil, other)
		}
		for _, i := range order {
			a.over(nil, both[i])
		}
		if a.open() != 0 || len(a.talks) != 1 {
			t.Errorf("%v: %d are open, of %d talks", order, a.open(), len(a.talks))
		}
	}
}

// open is how many posts are not settled.
func (t *arrived) open() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, of := range t.talks {
		n += len(of.open.places) - of.open.holes + len(of.odd) + of.batches.posts()
	}
	return n
}

// posts is how many posts are in it.
func (o *openBatches) posts() (n int) {
	for _, b := range o.places {
		if b.of != nil {
			n += int(b.last - b.first + 1) // at most a frame
		}
	}
	return n
}
