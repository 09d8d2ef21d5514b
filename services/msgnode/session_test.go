package msgnode

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden stories")

// TestSessionStory plays testdata/session.txt: each line that begins with a
// word is an event, and the indented one below it what became of the session.
func TestSessionStory(t *testing.T) {
	const path = "testdata/session.txt"
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var want, got strings.Builder
	var s Session
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := lines.Text()
		fmt.Fprintln(&want, line)
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
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != want.String() {
		t.Errorf("the story goes differently (-update rewrites it):\n%s", got.String())
	}
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
	switch {
	case s.Token == "":
		return "none"
	case s.Socket == "":
		return fmt.Sprintf("%s, lost at %s", s.Token, time.Duration(s.LostAt)*time.Millisecond)
	default:
		return fmt.Sprintf("%s, attached to %s", s.Token, s.Socket)
	}
}
