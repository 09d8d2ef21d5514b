package bus

import (
	"fmt"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// What is known of requests is bounded, and is over with the final answer.
func TestAskedIsBounded(t *testing.T) {
	a := newAsked(3)
	answer := func(i int, code int) *pb.Message {
		m := ping(bob, alice)
		m.Type, m.Id, m.Body = message.Response, fmt.Sprint(i), fmt.Appendf(nil, `{"code":%d}`, code)
		return m
	}
	if m := answer(1, 200); a.answered(m) != m {
		t.Error("an answer to nothing has changed")
	}
	for i := range 10 {
		m := recorded(alice, bob)
		m.Id = fmt.Sprint(i)
		a.note(m)
	}
	if n := a.traces.len(); n != 3 {
		t.Errorf("%d are known", n)
	}
	first := answer(9, 183)
	for _, code := range []int{183, 183, 200} {
		if m := a.answered(answer(9, code)); m.Trace.GetTraceparent() != parent || first.Trace != nil {
			t.Errorf("%d: %v", code, m)
		}
	}
	if m := a.answered(answer(9, 200)); m.Trace != nil {
		t.Errorf("after its final answer: %v", m)
	}
	long := recorded(alice, carol)
	long.Trace.Hops = []*pb.Hop{{At: strings.Repeat("x", tracedBytes)}}
	a.note(long)
	a.note(&pb.Message{Type: message.Response, From: alice, To: carol, Trace: long.Trace})
	if n := a.traces.len(); n != 2 {
		t.Errorf("%d are known", n)
	}
}

// A later request with the same id is another one: its answer is in its trace, or in
// none.
func TestAskedForgetsAnEarlierRequest(t *testing.T) {
	long := recorded(alice, bob)
	long.Trace.Hops = []*pb.Hop{{At: strings.Repeat("x", tracedBytes)}}
	for name, later := range map[string]*pb.Message{"without a trace": ping(alice, bob), "with a long one": long} {
		a := newAsked(3)
		first := recorded(alice, bob)
		first.Id = later.Id
		a.note(first)
		a.note(later)
		answer := message.Answer(later, 200, nil)
		answer.Trace = nil
		if m := a.answered(answer); m.Trace != nil {
			t.Errorf("%s: %v", name, m)
		}
		if a.some.Load() {
			t.Errorf("%s: it is known still", name)
		}
	}
}
