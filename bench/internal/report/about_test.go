package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/bench/internal/round"
)

func TestTheProgramIsAsked(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "peerbus")
	for script, want := range map[string]string{
		`[ "$*" = "version -o json" ] && echo '{"version":"v1","commit":"12","go":"go1"}'`: "peerbus v1, commit 12",
		`echo '{"version":"v1"}'`: "peerbus v1", "echo no JSON": "", "exit 1": "",
	} {
		if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		p, err := ProgramOf(t.Context(), binary)
		if p.String() != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", script, p, err)
		}
	}
}

func TestRounds(t *testing.T) {
	rows := []round.Row{{}}
	r := &Report{Results: []Result{{Name: "failed", Rounds: 9}}}
	for _, tc := range []struct {
		rounds int
		want   string
	}{{0, ""}, {1, "1 round of each case"}, {7, "1 to 7 rounds of each case"}} {
		r.Results = append(r.Results, Result{Rounds: tc.rounds, Rows: rows})
		if got := r.rounds(); got != tc.want {
			t.Errorf("%d: %q", tc.rounds, got)
		}
	}
	if got := roundsOf(5, "point"); got != "5 rounds of each point" {
		t.Error(got)
	}
}

// What was written before the program and the rounds were is read, and they are left out.
func TestReportsOfBefore(t *testing.T) {
	g, err := ReadGrowth(strings.NewReader(`{"machine":{"cpu":"A","cores":2,"kernel":"Linux 6","go":"go1"},"began":"2026-11-29T01:00:00Z","short":true,"curves":[{"what":"Ways","beside":"a relay","axis":"processes"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := g.WriteMarkdown(&b); err != nil || !strings.Contains(b.String(), "\n2026-11-29; A, 2 cores, Linux 6, go1. Median,") || !strings.Contains(b.String(), "\nBeside a relay.\n") || !strings.Contains(b.String(), nothing) {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	g.Program, g.Rounds, g.Curves[0].Note = Program{Version: "v1"}, 5, "It is the same in each row."
	if err := g.WriteMarkdown(&b); err != nil || !strings.Contains(b.String(), "; peerbus v1; ") || !strings.Contains(b.String(), "; 5 rounds of each point. ") || !strings.Contains(b.String(), "\nBeside a relay. It is the same in each row.\n") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
