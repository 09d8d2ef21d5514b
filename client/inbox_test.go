package client

import (
	"reflect"
	"testing"

	"github.com/peerbus/peerbus/protocol/codec"
)

// What comes by one name and on one stream is one group, and groups are in order.
func TestInbox(t *testing.T) {
	of := func(sizes ...int) (all []codec.Delivered) {
		for _, n := range sizes {
			all = append(all, codec.Delivered{Size: n})
		}
		return all
	}
	var b inbox
	for range 2 { // the second time in the same memory
		b.add(group{"a", 1, 2, nil}, of(1, 2))
		b.add(group{"a", 1, 1, nil}, of(3))
		b.add(group{"b", 1, 1, nil}, of(4))
		b.add(group{"b", 2, 1, nil}, of(5))
		b.add(group{"a", 2, 1, nil}, of(6))
		if want := []group{{"a", 1, 3, nil}, {"b", 1, 1, nil}, {"b", 2, 1, nil}, {"a", 2, 1, nil}}; !reflect.DeepEqual(b.groups, want) {
			t.Errorf("groups are %v, want %v", b.groups, want)
		}
		if want := of(1, 2, 3, 4, 5, 6); !reflect.DeepEqual(b.all, want) {
			t.Errorf("messages are %v, want %v", b.all, want)
		}
		b.clear()
		if len(b.all)+len(b.groups) > 0 {
			t.Errorf("cleared, there are %v", b)
		}
	}
}
