package client

import (
	"fmt"
	"testing"
)

// Credit for a listener that waits already is added to it, and a frame with many does not
// stay.
func TestOwing(t *testing.T) {
	var o owing
	x, y := &owed{listener: "x"}, &owed{listener: "y"}
	for range 2 {
		o.add(x, 1)
		o.add(y, 2)
		o.add(x, 3)
		if len(o.all) != 2 || o.all[0] != x || x.bytes != 4 || y.bytes != 2 {
			t.Fatalf("%v", o.all)
		}
		o.clear()
		if len(o.all) != 0 || x.bytes != 0 || y.bytes != 0 || o.all[:1][0] != nil {
			t.Fatalf("%v is left", o.all[:2])
		}
	}
	for i := range manyOwing + 1 {
		o.add(&owed{listener: fmt.Sprint(i)}, 1)
	}
	if o.clear(); o.all != nil {
		t.Errorf("memory for %d stays", cap(o.all))
	}
}

// What waits is bounded by the names, however often these change, and none of it is lost.
func TestOwingOfManyThatChange(t *testing.T) {
	for _, names := range []int{3, manyOwing - 1, 3 * manyOwing} {
		var o owing
		want := map[string]uint32{}
		for i := range 20 * manyOwing {
			name := fmt.Sprint(i % names)
			o.add(&owed{listener: name}, 2)
			want[name] += 2
			if len(o.all) > max(manyOwing, 2*names) {
				t.Fatalf("%d wait for %d names", len(o.all), names)
			}
		}
		for _, c := range o.all {
			want[c.listener] -= c.bytes
		}
		for name, left := range want {
			if left != 0 {
				t.Fatalf("%d bytes of credit for %s are lost", int32(left), name)
			}
		}
	}
}
