package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/peerbus/peerbus/internal/fault"
)

// Directories are made; -plot is one with -growth.
func TestPlacesAreMade(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a", "b"), filepath.Join(dir, "c"), filepath.Join(dir, "d")
	for _, s := range []settings{{profiles: a, tops: b, json: filepath.Join(dir, "x.json")}, {growth: true, plot: c}, {}} {
		if err := s.makePlaces(); err != nil {
			t.Fatal(err)
		}
	}
	for _, made := range []string{a, b, c} {
		if info, err := os.Stat(made); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", made, err)
		}
	}
}

// What has no place is refused before anything is measured, or the program asked.
func TestNoPlaces(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ flag, place string }{
		{"json", filepath.Join(dir, "none", "x.json")}, {"plot", filepath.Join(dir, "none", "x.svg")},
		{"json", filepath.Join(file, "x.json")}, {"plot", dir},
		{"profile", filepath.Join(file, "x")}, {"top", file},
	} {
		err := execute(t.Context(), []string{"-bin", file, "-short", "-" + tc.flag, tc.place})
		var f *fault.Error
		if !errors.As(err, &f) || f.Field != tc.flag {
			t.Errorf("-%s %s: %v", tc.flag, tc.place, err)
		}
	}
}
