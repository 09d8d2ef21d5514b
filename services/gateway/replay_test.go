package gateway

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestReplay(t *testing.T) {
	r := newReplay(3, 10)
	for n, text := range []string{"aaa", "bbb", "ccc", "d"} {
		if got := r.add([]byte(text)); got != uint64(n+1) {
			t.Errorf("%s is event %d", text, got)
		}
	}
	for _, tc := range []struct {
		after    uint64
		want     []string
		position uint64
		ok       bool
	}{
		{4, nil, 4, true},
		{3, []string{"d"}, 3, true},
		{1, []string{"bbb", "ccc", "d"}, 1, true},
		{0, []string{"bbb", "ccc", "d"}, 1, false},
		{5, nil, 4, false},
		{gone, nil, 4, false},
	} {
		events, position, ok := r.after(tc.after)
		var got []string
		for _, e := range events {
			got = append(got, string(e.data))
		}
		if !slices.Equal(got, tc.want) || position != tc.position || ok != tc.ok {
			t.Errorf("after %d: %v behind %d, %v; want %+v", tc.after, got, position, ok, tc)
		}
	}
	r.add(make([]byte, 100))
	if events, _, ok := r.after(4); len(events) != 1 || !ok {
		t.Error("the newest is not kept, since it is large")
	}
}

// Whatever is added: what comes after an event is each later one once, in order, and
// a gap is told exactly when some of them are missing. The bounds hold.
func TestReplayHoldsTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxEvents, maxBytes := rapid.IntRange(1, 20).Draw(t, "events"), rapid.IntRange(1, 200).Draw(t, "bytes")
		r := newReplay(maxEvents, maxBytes)
		sizes := rapid.SliceOfN(rapid.IntRange(0, 60), 0, 100).Draw(t, "sizes")
		for _, size := range sizes {
			r.add(make([]byte, size))
		}
		if len(r.events) > maxEvents || len(r.events) > 1 && r.bytes > maxBytes {
			t.Fatalf("%d events of %d bytes are kept", len(r.events), r.bytes)
		}
		from := rapid.Uint64Range(0, uint64(len(sizes))+3).Draw(t, "after")
		events, position, ok := r.after(from)
		for i, e := range events {
			if e.number != position+uint64(i)+1 || len(e.data) != sizes[e.number-1] {
				t.Fatalf("event %d is %d", i, e.number)
			}
		}
		if position+uint64(len(events)) != uint64(len(sizes)) || ok != (position == from) || ok && from > uint64(len(sizes)) {
			t.Fatalf("after %s: %d events behind %d, %v", strconv.FormatUint(from, 10), len(events), position, ok)
		}
	})
}
