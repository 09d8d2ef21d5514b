package p2pstub

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/story"
)

// TestHealthStories plays testdata/health/*.txt: `heard`, `look`, `rest`, `wake`,
// `late` and `lost` at a time, then what came of it and when to look again.
func TestHealthStories(t *testing.T) { story.Play(t, "testdata/health/*.txt", playHealth) }

func playHealth(t *testing.T, text string) string {
	begin := time.Unix(1000, 0)
	h, heard, hurried := health{beat: 750 * time.Millisecond, quiet: 3 * time.Second}, begin, false
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		command, isEvent := strings.CutPrefix(line, "> ")
		if !isEvent {
			if !strings.HasPrefix(line, "  ") {
				fmt.Fprintln(&out, line)
			}
			continue
		}
		fmt.Fprintln(&out, line)
		if command == "addresses changed" {
			hurried = true
			continue
		}
		name, at, _ := strings.Cut(command, " ")
		after, err := time.ParseDuration(at)
		if err != nil {
			t.Fatal(err)
		}
		now := begin.Add(after)
		var stepped bool
		var reason string
		switch name {
		case "heard":
			heard = now
			continue
		case "rest":
			h = h.at(now, 3*time.Second, 30*time.Second)
			continue
		case "wake":
			h = h.at(now, 750*time.Millisecond, 3*time.Second)
			continue
		case "late":
			h = h.late(now, heard)
			continue
		case "lost":
			h, stepped, reason = h.lose(now, "ICE has lost it")
		case "look":
			h, stepped, reason = h.look(now, heard, hurried)
		}
		fmt.Fprint(&out, "  ", outcomeOf(h, stepped, reason))
		if next := h.next(now, heard); !next.IsZero() {
			fmt.Fprintf(&out, ", look at %v", next.Sub(begin))
		}
		fmt.Fprintln(&out)
	}
	return out.String()
}

func outcomeOf(h health, stepped bool, reason string) string {
	text := "still " + h.state.String()
	if stepped {
		text = h.state.String()
	}
	if reason != "" {
		text += ": " + reason
	}
	return text
}

// However often it is down, no more is kept than counts, and a path that answers
// is fine in the end.
func TestHealthIsBounded(t *testing.T) {
	h, now := health{beat: time.Second, quiet: 3 * time.Second}, time.Unix(0, 0)
	for range 100 {
		now = now.Add(time.Second)
		h, _, _ = h.lose(now, "lost")
		h, _, _ = h.look(now.Add(1), now.Add(1), false)
		h.state = fine
	}
	if len(h.downs) != maxDowns || h.hold(now) != maxHold {
		t.Errorf("%d downs are kept, hold %v", len(h.downs), h.hold(now))
	}
	h, _, _ = h.lose(now, "lost")
	for range 40 {
		now = now.Add(time.Second)
		h, _, _ = h.look(now, now, false)
	}
	if h.state != fine {
		t.Errorf("it is %v", h.state)
	}
}
