package netlab

import "testing"

func TestOwnerOfANamespace(t *testing.T) {
	for name, want := range map[string]int{
		"peerbus-lab-4711-alice": 4711,
		"peerbus-lab-alice":      0,
		"peerbus-lab-4711":       0,
		"other-4711-alice":       0,
	} {
		pid, ok := owner(name)
		if ok != (want != 0) || ok && pid != want {
			t.Errorf("%s: %d, %t", name, pid, ok)
		}
	}
}
