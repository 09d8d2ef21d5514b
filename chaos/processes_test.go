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
