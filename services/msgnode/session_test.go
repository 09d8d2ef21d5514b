package msgnode

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/story"
)

// TestSessionStory plays testdata/session.txt: each line that begins with a
// word is an event, and the indented one below it what became of the session.
func TestSessionStory(t *testing.T) {
	story.Play(t, "testdata/session.txt", func(t *testing.T, text string) string {
		var got strings.Builder
		var s Session
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case strings.HasPrefix(line, "  "):
			case line == "" || line[0] == '#':
				fmt.Fprintln(&got, line)
			default:
				var out outcome
				s, out = next(s, parseEvent(t, line))
				fmt.Fprintf(&got, "%s\n  %s: %s\n", line, out, describe(s))
			}
		}
		return got.String()
	})
}

// parseEvent reads `kind name=value …`; times are seconds since the beginning.
func parseEvent(t *testing.T, line string) event {
	t.Helper()
	kinds := map[string]eventKind{
		"open": evOpen, "re-open": evReopen, "claim": evClaim, "lost": evLost, "gone": evGone, "close": evClose, "expire": evExpire,
	}
	words := strings.Fields(line)
	kind, ok := kinds[words[0]]
	if !ok {
		t.Fatalf("no event: %q", line)
	}
	e := event{kind: kind, runtime: "r", kept: 10 * time.Minute}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "socket":
			e.socket = value
		case "token":
			e.given = value
		case "fresh":
			e.fresh = value
		case "replica":
			e.replica = value
		case "flow":
			e.flow = value == "yes"
		case "at":
			d, err := time.ParseDuration(value)
			if err != nil {
				t.Fatal(err)
			}
			e.now = time.UnixMilli(d.Milliseconds())
		default:
			t.Fatalf("no field: %q", line)
		}
	}
	return e
}

func describe(s Session) string {
	flows := ""
	if s.Flow {
		flows = " with flows"
	}
	return whereabouts(s) + flows
}

func whereabouts(s Session) string {
	switch {
	case s.Token == "":
		return "none"
	case s.Socket == "":
		return fmt.Sprintf("%s, lost at %s", s.Token, time.Duration(s.LostAt)*time.Millisecond)
	default:
		return fmt.Sprintf("%s, attached to %s", s.Token, s.Socket)
	}
}
