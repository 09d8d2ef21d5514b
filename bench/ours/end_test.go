package ours

import (
	"maps"
	"testing"
)

func TestWays(t *testing.T) {
	var w ways
	for _, via := range []string{"", "a", "a", "b", "a"} {
		w.note(via)
	}
	if got := w.taken(); !maps.Equal(got, map[string]uint64{"": 1, "a": 3, "b": 1}) {
		t.Errorf("%v", got)
	}
	w.note("a")
	if got := w.taken(); !maps.Equal(got, map[string]uint64{"a": 1}) {
		t.Errorf("%v", got)
	}
	if got := w.taken(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestMessagesThatCameAnotherWay(t *testing.T) {
	const direct, relay = "hyperty-runtime://a/p2pstub/1", "hyperty-runtime://a/protostub/b"
	for _, c := range []struct {
		all   map[string]uint64
		via   string
		fails bool
	}{
		{map[string]uint64{direct: 1000}, "/p2pstub/", false},
		{map[string]uint64{direct: 1000, relay: 10}, "/p2pstub/", false},
		{map[string]uint64{direct: 1000, relay: 11}, "/p2pstub/", true},
		{map[string]uint64{direct: 20, relay: 1}, "/p2pstub/", false},
		{map[string]uint64{relay: 20}, "/p2pstub/", true},
		{map[string]uint64{}, "/p2pstub/", true},
		{map[string]uint64{"": 20}, "", false},
		{map[string]uint64{"": 20, relay: 2}, "", true},
	} {
		if err := strayed(c.all, c.via); (err != nil) != c.fails {
			t.Errorf("%v through %q: %v", c.all, c.via, err)
		}
	}
}
