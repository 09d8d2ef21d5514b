package bus

import (
	"math"
	"testing"
	"testing/synctest"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// What would go back where it came from is refused in batches too: the address of a stub is
// listened to by something else now.
func TestABatchDoesNotGoBack(t *testing.T) {
	for _, batches := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newShore(t, Limits{}, 5000, batches)
			defer s.end()
			if err := s.bus.removeListener(s.stubs[overRelay], nodeURL, ""); err != nil {
				t.Fatal(err)
			}
			s.listen(s.members[0], added{nodeURL, ""})
			s.arrive(overRelay, s.frames(overRelay, s.make(1, nodeURL, "x", 0), false)) // the flow begins
			s.arrive(overRelay, s.frames(overRelay, s.make(8, nodeURL, "x", 0), false))
			seen, _ := s.look()
			if came := seen.Came[0]; len(came) > 0 {
				t.Errorf("in batches %v: %d came", batches, len(came))
			}
			if len(s.open) > 0 {
				t.Errorf("in batches %v: %d are not refused", batches, len(s.open))
			}
		})
	}
}

// Numbers may go up to the highest one.
func TestABatchOfTheHighestNumbers(t *testing.T) {
	for _, batches := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newShore(t, Limits{}, 50_000, batches)
			defer s.end()
			s.arrive(overRelay, s.frames(overRelay, s.make(1, carol, "x", 0), false))
			s.number = math.MaxUint64 - 8
			s.arrive(overRelay, s.frames(overRelay, s.make(8, carol, "x", 0), false))
			if seen, n := s.look(); len(seen.Came[0]) != 9 || batches && n != 8 {
				t.Fatalf("%d came, %d in batches", len(seen.Came[0]), n)
			}
			s.again(overRelay, true, false) // they come again while they are open
			for range 9 {
				s.members[0].credit(&pb.Credit{Listener: carol, Bytes: 100})
			}
			s.members[0].credit(&pb.Credit{Listener: carol, Bytes: 1 << 20})
			if seen, _ := s.look(); len(seen.Came[0])+seen.Open+seen.HeldBytes+len(s.open) > 0 {
				t.Errorf("in batches %v: %d came again, %d open, %d bytes, %d not acknowledged", batches, len(seen.Came[0]), seen.Open, seen.HeldBytes, len(s.open))
			}
		})
	}
}

// endings counts the ends of a post.
type endings struct {
	posts
	n int
}

func (e *endings) settled(*post, error) { e.n++ }

// What comes again while its batch is open is found by its number: however often that was,
// the rest of the batch does not take longer.
func TestWhatComesAgainIsFoundByItsNumber(t *testing.T) {
	a, e := &arrivals{}, &endings{posts: posts{codes: map[uint64]int32{}, over: map[uint64][]fault.Code{}}}
	for _, n := range []uint64{math.MaxUint64, 3, 4, 3} {
		a.again(newPost(e, &pb.Message{Number: n}))
	}
	for _, c := range []struct {
		first uint64
		n     int
		want  int
	}{{1, 2, 0}, {3, 1, 2}, {3, 1, 0}, {4, 60, 1}, {math.MaxUint64 - 3, 4, 1}} {
		left := a.leave(c.first, c.n)
		for _, p := range left {
			p.end(nil)
		}
		if len(left) != c.want {
			t.Errorf("from %d on, of %d numbers: %d, want %d", c.first, c.n, len(left), c.want)
		}
	}
	if e.n != 4 || len(a.also) > 0 {
		t.Errorf("%d are over, %d are kept", e.n, len(a.also))
	}
}
