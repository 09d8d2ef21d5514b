package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLinesAreInTheOrderOfTheirTimes(t *testing.T) {
	began := time.Unix(1000, 0)
	var lines []heldLine
	for i, at := range []int{3, 1, 2, 1} {
		lines = append(lines, heldLine{began.Add(time.Duration(at)), string(rune('a' + i))})
	}
	var got strings.Builder
	for _, l := range inOrder(lines) {
		got.WriteString(l.text)
	}
	if got.String() != "bdca" {
		t.Errorf("%s, want bdca", got.String())
	}
}

// A line waits for earlier ones for a bounded time, and none once the last step is
// reached.
func TestPrinterHoldsLinesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newPrinter(&out)
		time.Sleep(time.Millisecond)
		p.say("late")
		p.hold(heldLine{p.began, "early"})
		if p.release(); out.Len() != 0 {
			t.Errorf("written at once: %q", out.String())
		}
		time.Sleep(heldTime)
		p.release()
		if want := "     0.0 ms  early\n     1.0 ms  late\n"; out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
		out.Reset()
		p.steps.done = true
		if p.say("at last"); !strings.Contains(out.String(), "at last") {
			t.Errorf("held back behind the last step: %q", out.String())
		}
	})
}
