package codec

import "testing"

// A long message is by itself, so that a short one that is kept does not keep it.
func TestALongMessageIsByItself(t *testing.T) {
	var a arena
	a.message(1)
	used := a.used
	if a.message(arenaLong); a.used != used {
		t.Error("a long message is beside short ones")
	}
	if a.message(arenaLong - 1); a.used != used+1 {
		t.Error("a short message is by itself")
	}
	a.clone([]byte("a"), 0)
	filled := a.filled
	if b := a.clone(make([]byte, arenaLong), 0); a.filled != filled || len(b) != arenaLong {
		t.Error("long bytes are beside short ones")
	}
}

// Memory that was given is not given again, and is as large as it was asked for.
func TestArenaGivesNothingTwice(t *testing.T) {
	var a arena
	var all [][]byte
	for n := range arenaLong + 2 {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(n)
		}
		all = append(all, a.clone(data, n%3))
	}
	for n, b := range all {
		if len(b) != n || cap(b) < n+n%3 {
			t.Fatalf("%d bytes of %d, asked for %d and %d", len(b), cap(b), n, n%3)
		}
		for _, got := range b[:cap(b)][:n] {
			if got != byte(n) {
				t.Fatalf("bytes of %d were written over", n)
			}
		}
	}
}
