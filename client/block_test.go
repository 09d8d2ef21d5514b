package client

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// forms tells which posts a frame has: of each its number, and its sequels' count.
func forms(req *pb.AttachRequest) string {
	var all []string
	for _, p := range req.Posts {
		one := fmt.Sprint(p.Number)
		if len(p.Sequels) > 0 {
			one += fmt.Sprint("+", len(p.Sequels))
		}
		all = append(all, one)
	}
	return strings.Join(all, " ")
}

// addAll adds posts by their receivers: a letter each, and a long one for a capital.
func addAll(t *testing.T, l *ledger, to string) {
	t.Helper()
	for _, r := range to {
		body := 10
		if r < 'a' {
			body = 3 << 10
		}
		add(t, l, postTo(strings.ToLower(string(r)), body))
	}
}

// A row goes as one post and its sequels, whatever is gone of it, and whole ones as they are.
func TestRowsInAFrame(t *testing.T) {
	for name, tc := range map[string]struct {
		to      string
		gone    [][2]uint64
		own     uint64 // the post that somebody waits for
		want    string
		without string // sequels
	}{
		"one":                   {"a", nil, 0, "1", "1"},
		"a row":                 {"aaaa", nil, 0, "1+3", "1 2 3 4"},
		"others between":        {"aabaa", nil, 0, "1+1 3 4+1", "1 2 3 4 5"},
		"in turns":              {"abab", nil, 0, "1 2 3 4", "1 2 3 4"},
		"a long one between":    {"aaAaa", nil, 0, "1+1 3 4+1", "1 2 3 4 5"},
		"long ones":             {"AAAa", nil, 0, "1 2 3 4", "1 2 3 4"},
		"the first is gone":     {"aaaa", [][2]uint64{{1, 1}}, 0, "2+2", "2 3 4"},
		"the middle is gone":    {"aaaaaaa", [][2]uint64{{3, 4}}, 0, "1+1 5+2", "1 2 5 6 7"},
		"the end is gone":       {"aaaab", [][2]uint64{{3, 4}}, 0, "1+1 5", "1 2 5"},
		"all but two":           {"aaaaaaa", [][2]uint64{{1, 2}, {4, 6}}, 0, "3 7", "3 7"},
		"one is awaited":        {"aaaaa", nil, 3, "1+1 3 4+1", "1 2 3 4 5"},
		"the first is awaited":  {"aaaaa", nil, 1, "1 2+3", "1 2 3 4 5"},
		"a whole one is gone":   {"aabbb", [][2]uint64{{3, 3}}, 0, "1+1 4+1", "1 2 4 5"},
		"nothing but long gone": {"aaAaa", [][2]uint64{{3, 3}}, 0, "1+1 4+1", "1 2 4 5"},
	} {
		for _, sequels := range []bool{true, false} {
			l := newLedger(true, 1<<20, time.Time{})
			addAll(t, l, tc.to)
			for _, g := range tc.gone {
				for n := g[0]; n <= g[1]; n++ {
					l.drop(n)
				}
			}
			if tc.own > 0 {
				b, i, _ := l.find(tc.own)
				b.own |= 1 << i
				l.waits[tc.own] = wait{sequence: 9}
			}
			got, req := takenAt(t, l, sequels, time.Time{})
			want := tc.without
			if sequels {
				want = tc.want
			}
			if forms(req) != want {
				t.Errorf("%s: the frame has %s, want %s", name, forms(req), want)
			}
			for _, p := range got {
				if (p.Number == tc.own) != (p.Sequence == 9) || p.Message.To != strings.ToLower(tc.to[p.Number-1:p.Number]) {
					t.Errorf("%s: taken %v", name, p)
				}
			}
		}
	}
}

// A row is posted again post by post, whole, on a stream that takes sequels or not.
func TestARowIsPostedAgain(t *testing.T) {
	for _, sequels := range []bool{true, false} {
		l := newLedger(true, 1<<20, time.Time{})
		addAll(t, l, "aaaaa")
		first, _ := takenAt(t, l, true, time.Time{})
		l.settle(1, 1)
		addAll(t, l, "aaa")
		l.rewind()
		again, req := takenAt(t, l, sequels, time.Time{})
		want := map[bool]string{true: "2 3 4 5 6+2", false: "2 3 4 5 6 7 8"}[sequels]
		if forms(req) != want {
			t.Fatalf("posted again %s, want %s", forms(req), want)
		}
		for i, p := range again {
			if p.Again != (p.Number <= 5) || p.Again && !proto.Equal(p.Message, first[i+1].Message) {
				t.Errorf("posted again %v", p)
			}
		}
	}
}

// Posts that wait for room have been measured in the row of another time.
func TestARowIsOfWhatWasAdded(t *testing.T) {
	l := newLedger(true, 1<<20, time.Time{})
	addAll(t, l, "a")
	measure(t, l, postTo("b", 10)) // which has no room
	addAll(t, l, "ba")
	for i, p := range taken(t, l) {
		if want := []string{"a", "b", "a"}[i]; p.Message.To != want {
			t.Errorf("post %d is for %s, want %s", i+1, p.Message.To, want)
		}
	}
}

// Posts without numbers have no sequels: nobody could tell which is which.
func TestNoRowsWithoutNumbers(t *testing.T) {
	l := newLedger(false, 1<<20, time.Time{})
	addAll(t, l, "aaaa")
	if _, req := takenAt(t, l, true, time.Time{}); forms(req) != "0 0 0 0" {
		t.Errorf("the frame has %s", forms(req))
	}
}

// What is kept of a block that is shrunk is what was there, in no more memory than it would
// be whole.
func TestShrink(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		l := newLedger(true, 1<<20, time.Time{})
		for range 40 {
			addAll(t, l, strings.Repeat(string("abA"[r.IntN(3)]), 1+r.IntN(5)))
		}
		want := map[uint64]*pb.Message{}
		for l.waiting > 0 {
			for _, p := range taken(t, l) {
				want[p.Number] = p.Message
			}
		}
		for n := range l.number {
			if r.IntN(3) > 0 {
				l.settle(n+1, n+1)
				delete(want, n+1)
			}
		}
		held := l.held
		for _, b := range l.blocks {
			if b.over() || b.empty() {
				continue
			}
			if b.shrink(); b.sparse() {
				t.Errorf("seed %d: %d bytes of memory", seed, cap(b.data))
			}
		}
		l.rewind()
		for l.waiting > 0 {
			for _, p := range taken(t, l) {
				if !proto.Equal(p.Message, want[p.Number]) {
					t.Fatalf("seed %d: %d is %v, want %v", seed, p.Number, p.Message, want[p.Number])
				}
				delete(want, p.Number)
			}
		}
		if len(want) > 0 || l.held != held {
			t.Fatalf("seed %d: %d are missing; %d bytes, were %d", seed, len(want), l.held, held)
		}
		l.settle(1, l.number)
		if l.held != 0 || l.bytes != 0 {
			t.Fatalf("seed %d: %d bytes are held, of %d", seed, l.held, l.bytes)
		}
	}
}
