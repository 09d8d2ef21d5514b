package client

import "testing"

// Credit for a listener that waits already is added to it, and a frame with many does not
// stay.
func TestOwing(t *testing.T) {
	var o owing
	x, y := &owed{listener: "x"}, &owed{listener: "y"}
	for range 2 {
		o.add(x, 1)
		o.add(y, 2)
		o.add(x, 3)
		if len(o) != 2 || o[0] != x || x.bytes != 4 || y.bytes != 2 {
			t.Fatalf("%v", o)
		}
		o.clear()
		if len(o) != 0 || x.bytes != 0 || y.bytes != 0 || o[:1][0] != nil {
			t.Fatalf("%v is left", o[:2])
		}
	}
	for range keptOwing + 1 {
		o.add(&owed{}, 1)
	}
	if o.clear(); o != nil {
		t.Errorf("memory for %d stays", cap(o))
	}
}
