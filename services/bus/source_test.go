package bus

import (
	"fmt"
	"math/rand/v2"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// local is the source of what a client here posts.
func local(from string) sourceKey { return sourceKey{from: from} }

func (s *sources) knows(last *lastSource, k sourceKey) bool { return s.known(last, k, k) }

// What a stream keeps of its last source says the same as the table, whatever becomes of
// the approval.
func TestTheLastSourceCountsWhileItIsApproved(t *testing.T) {
	a := newAlone(t, Limits{Sources: 4})
	s := a.bus.sources
	var last [3]lastSource
	for range 20_000 {
		from := fmt.Sprint("hyperty://a.example/", rand.N(6))
		switch k := local(from); rand.N(8) {
		case 0:
			a.approve(from)
		case 1:
			s.forget([]string{from})
		default:
			kept := &last[rand.N(len(last))]
			_, approved := s.approved.slots[k]
			if got := s.knows(kept, k); got != approved {
				t.Fatalf("%s: known %v, approved %v", from, got, approved)
			}
			if approved && kept.of(k) == nil {
				t.Fatalf("%s is not kept", from)
			}
		}
	}
}

// A source that is known without the table counts as used there.
func TestTheLastSourceStaysInTheTable(t *testing.T) {
	a := newAlone(t, Limits{Sources: 4})
	s := a.bus.sources
	a.approve(alice)
	var last lastSource
	for i := range 100 {
		if !s.knows(&last, local(alice)) {
			t.Fatalf("alice was dropped with %d", i)
		}
		a.approve(fmt.Sprint("hyperty://a.example/", i))
	}
}

// What comes in a flow stands behind what has come before it on the other way, also
// where its own way is approved.
func TestTheLastSourceJoinsTheLineOfItsFlow(t *testing.T) {
	a := newAlone(t, Limits{})
	s := a.bus.sources
	k := sourceKey{from: bob, remote: remote}
	line := sourceKey{from: bob, remote: remote, node: true}
	s.answered(&question{key: k, line: k}, &pb.SourceAnswer{Code: 200})
	var last lastSource
	if !s.known(&last, k, line) || last.of(k) == nil {
		t.Fatal("bob is not known")
	}
	p := newPost(&peer{}, numbered(bob, carol, 1))
	if waits, err := s.wait(p, sourceKey{from: bob, node: true}, line); !waits || err != nil {
		t.Fatalf("waits %v, %v", waits, err)
	}
	if s.known(&last, k, line) {
		t.Error("it overtakes")
	}
	s.mu.Lock()
	s.close(line, s.lines[line])
	s.mu.Unlock()
	if !s.known(&last, k, line) {
		t.Error("the line is over")
	}
}

// BenchmarkSource is the check of a source that is approved: the last one of its stream,
// and another one.
func BenchmarkSource(b *testing.B) {
	a := newAlone(b, Limits{})
	a.approve(alice, carol)
	two := []sourceKey{local(alice), local(carol)}
	for name, alternates := range map[string]int{"last": 0, "other": 1} {
		b.Run(name, func(b *testing.B) {
			var last lastSource
			for i := range b.N {
				if !a.bus.sources.knows(&last, two[i&alternates]) {
					b.Fatal("not known")
				}
			}
		})
	}
}
