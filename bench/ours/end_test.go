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
