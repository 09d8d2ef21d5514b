package client

import (
	"encoding/json"
	"math"
	"testing"
)

// Each id is JSON text, no other number of the client has it, and no other client.
func TestIDs(t *testing.T) {
	a, b := newIDs(), newIDs()
	seen := map[string]bool{}
	for _, number := range []uint64{1, 31, 32, 33, 1 << 10, 1<<10 + 1, math.MaxUint64} {
		for _, of := range []*ids{&a, &b} {
			id := of.of(number)
			if !json.Valid(id) || seen[string(id)] || len(id) > idMost {
				t.Errorf("%d is %s", number, id)
			}
			seen[string(id)] = true
		}
	}
}
