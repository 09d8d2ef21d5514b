package main

import (
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// What was profiled before is written anew, without what is of another case, and with no
// path of the machine.
func TestTextsOfProfiles(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for _, name := range []string{"bus-request-bus", "bus-request-unix-bus"} {
		file, err := os.Create(filepath.Join(from, name+".pprof"))
		if err != nil {
			t.Fatal(err)
		}
		if err := pprof.StartCPUProfile(file); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < 30*time.Millisecond; { // some samples, or none: both have a text
		}
		pprof.StopCPUProfile()
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := execute(t.Context(), []string{"-from", from, "-top", to, "-run", "^bus-request$", "-note", "commit 1234"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(to, "bus-request.txt"))
	if err != nil || !strings.Contains(string(text), "\ncommit 1234\n") || strings.Contains(string(text), "unix") || strings.Contains(string(text), "-bus ") {
		t.Errorf("%v\n%s", err, text)
	}
	for _, path := range []string{from, os.TempDir() + "/", "File:"} {
		if strings.Contains(string(text), path) {
			t.Errorf("there is %s in\n%s", path, text)
		}
	}
}

func TestThereMustBeProfiles(t *testing.T) {
	err := execute(t.Context(), []string{"-from", t.TempDir(), "-top", t.TempDir()})
	if fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "no profiles") {
		t.Error(err)
	}
}
