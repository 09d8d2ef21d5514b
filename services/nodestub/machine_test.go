package nodestub

import (
	"fmt"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/story"
)

// TestStories plays the events of testdata/*.txt, one a line that begins with
// `>`, and compares what the session does. Lines with `#` are remarks.
func TestStories(t *testing.T) { story.Play(t, "testdata/*.txt", play) }

func play(t *testing.T, story string) string {
	var b strings.Builder
	var s state
	for line := range strings.Lines(story) {
		switch {
		case strings.HasPrefix(line, "# restart"):
			s = state{}
			b.WriteString(line)
		case strings.HasPrefix(line, "#") || line == "\n":
			b.WriteString(line)
		case strings.HasPrefix(line, "> "):
			b.WriteString(line)
			var effects []effect
			s, effects = step(s, parseEvent(t, strings.TrimSpace(line[2:])))
			for _, e := range effects {
				fmt.Fprintf(&b, "  %s\n", e)
			}
			fmt.Fprintf(&b, "  = %s\n", describe(s))
		}
	}
	return b.String()
}

func describe(s state) string {
	text := fmt.Sprintf("%s (%s)", s.phase, s.name())
	if s.token != "" {
		text += " token " + s.token
	}
	if s.refusing != 0 {
		text += fmt.Sprintf(", refusing with %d", s.refusing)
	}
	if s.reason != "" {
		text += ": " + s.reason
	}
	return text
}

// parseEvent reads `name rest`.
func parseEvent(t *testing.T, line string) event {
	name, rest, _ := strings.Cut(line, " ")
	switch name {
	case "started":
		return started{}
	case "connected":
		return connected{endpoint: rest}
	case "opened":
		return opened{code: fault.OK, token: rest}
	case "refused":
		e := opened{}
		if _, err := fmt.Sscanf(rest, "%d %s", &e.code, &e.reason); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return e
	case "lost":
		return lost{reason: rest}
	case "unknown":
		return unknown{reason: rest}
	case "elapsed":
		return elapsed{}
	case "overdue":
		return overdue{}
	case "close":
		return closeAsked{}
	}
	t.Fatalf("no event %q", line)
	return nil
}

// Whatever happens in whatever order, a session that is not over has a
// connection or a timer, and one that is over does nothing more.
func TestNoSessionIsStuck(t *testing.T) {
	events := []event{
		connected{"e"}, opened{code: 200, token: "t"}, opened{code: 503}, opened{code: 404},
		lost{reason: "r"}, unknown{"u"}, elapsed{}, overdue{}, closeAsked{},
	}
	type node struct {
		s                  state
		linked, timed, out bool
	}
	first := node{}
	run := func(n node, e event) node {
		before := n.s.phase
		s, effects := step(n.s, e)
		n.s = s
		if s.phase != before {
			n.timed = false
		}
		for _, do := range effects {
			switch do {
			case connect:
				n.linked = true
			case disconnect:
				n.linked = false
			case startTimer:
				n.timed = true
			case release:
				n.out = true
			case hold, refuse:
				n.out = false
			}
		}
		return n
	}
	seen := map[node]bool{}
	todo := []node{run(first, started{})}
	for len(todo) > 0 {
		n := todo[0]
		todo = todo[1:]
		if seen[n] {
			continue
		}
		seen[n] = true
		if over := n.s.phase == closed; over == (n.linked || n.timed) {
			t.Errorf("%s: connection %v, timer %v", describe(n.s), n.linked, n.timed)
		}
		if n.out != (n.s.phase == live) {
			t.Errorf("%s: queue let out %v", describe(n.s), n.out)
		}
		for _, e := range events {
			todo = append(todo, run(n, e))
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d states were reached", len(seen))
	}
}
