package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/bench/cases"
	"github.com/peerbus/peerbus/internal/fault"
)

func TestShortIsLittle(t *testing.T) {
	for _, tc := range []struct {
		args   string
		rounds int
		lasts  time.Duration
	}{
		{"", 7, time.Second},
		{"-short", 2, 100 * time.Millisecond},
		{"-short -rounds 1 -lasts 1s", 1, time.Second},
	} {
		s, err := parse(strings.Fields(tc.args))
		if err != nil || s.rounds != tc.rounds || s.lasts != tc.lasts {
			t.Errorf("%q: %+v, %v", tc.args, s, err)
		}
	}
}

func TestSettingsNameWhatIsWrong(t *testing.T) {
	for args, field := range map[string]string{
		"-run (": "run", "-rounds 0": "rounds", "-lasts 1ns": "lasts", "-o xml": "o", "more": "",
	} {
		_, err := parse(strings.Fields(args))
		var f *fault.Error
		if !errors.As(err, &f) || f.Field != field {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestWhatCannotBeMeasured(t *testing.T) {
	for args, want := range map[string]string{
		"-bin nowhere": "make build", "-bin . -run nothing": "no case matches", "-from nowhere": "nowhere", "worker": "for the program bench alone",
	} {
		if err := execute(t.Context(), strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// Each case has a name of its own, and can be opened or says why not.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases.All() {
		if seen[c.Name] || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(c.Name) {
			t.Errorf("name %q", c.Name)
		}
		seen[c.Name] = true
		if c.What == "" || c.Beside == "" || (c.Open == nil) != (c.Missing != "") {
			t.Errorf("%+v", c)
		}
	}
	if len(seen) < 20 {
		t.Errorf("%d cases", len(seen))
	}
}

func TestTheListIsChosen(t *testing.T) {
	s, err := parse([]string{"-run", "^bus-nats-[0-9]*$"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.writeList(&b); err != nil || strings.Count(b.String(), "\n") != 3 {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// What is not part of the table is run by its name, or in short.
func TestTheTableIsRunWithoutNames(t *testing.T) {
	const one = "p2p-return-12"
	for args, want := range map[string]bool{"": false, "-short": true, "-list": true, "-run p2p": true, "-run bus": false} {
		s, err := parse(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(s.chosen(), func(c cases.Case) bool { return c.Name == one }); got != want {
			t.Errorf("%q: %t", args, got)
		}
	}
}

// A worker is a process of this program, says that it is ready, answers, and ends with its
// standard input.
func TestAWorker(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "bench")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(binary, "worker", "grpc-streams", `{"Addr":"127.0.0.1:0"}`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte(`{"id":1,"do":"memory"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if lines := strings.Split(out.String(), "\n"); !slices.Contains(lines, `{"id":0}`) || !strings.Contains(out.String(), `{"id":1,"result":{"Mallocs":`) {
		t.Errorf("%q", out.String())
	}
}
