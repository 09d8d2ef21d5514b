package main

import "testing"

func TestResidentSize(t *testing.T) {
	for text, want := range map[string]int64{
		"Name:\tbus\nVmRSS:\t   23456 kB\nVmData:\t 1 kB\n": 23456 << 10,
		"Name:\tbus\n":     0,
		"VmRSS: many kB\n": 0,
		"":                 0,
	} {
		if got := residentSize([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestOwnerOfANamespace(t *testing.T) {
	for name, want := range map[string]int{
		"peerbus-chaos-4711-alice": 4711,
		"peerbus-chaos-alice":      0,
		"peerbus-chaos-4711":       0,
		"other-4711-alice":         0,
	} {
		pid, ok := owner(name)
		if ok != (want != 0) || ok && pid != want {
			t.Errorf("%s: %d, %t", name, pid, ok)
		}
	}
}
