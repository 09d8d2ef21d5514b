package p2pstub

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/story"
	"github.com/peerbus/peerbus/protocol/status"
)

// TestStories plays testdata/*.txt: a line that begins with `>` is an event,
// what follows is what the machine wants done.
func TestStories(t *testing.T) { story.Play(t, "testdata/*.txt", play) }

func play(t *testing.T, story string) string {
	var m machine
	var out strings.Builder
	for line := range strings.Lines(story) {
		line = strings.TrimSuffix(line, "\n")
		command, isEvent := strings.CutPrefix(line, "> ")
		switch {
		case command == "requester" && isEvent:
			m = machine{role: requester}
			fmt.Fprintln(&out, line)
		case command == "handler" && isEvent:
			m = machine{role: handler}
			fmt.Fprintln(&out, line)
		case isEvent:
			fmt.Fprintln(&out, line)
			var effects []effect
			m, effects = step(m, parseEvent(t, command))
			for _, e := range effects {
				fmt.Fprintln(&out, "  "+e.String())
			}
		case !strings.HasPrefix(line, "  "):
			fmt.Fprintln(&out, line)
		}
	}
	return out.String()
}

// parseEvent reads `kind [with description] [of generation n] [wanting n] [too
// soon] [by an older peer] [that restarts ICE] [code] [: reason]`.
func parseEvent(t *testing.T, text string) event {
	t.Helper()
	text, reason, _ := strings.Cut(text, ": ")
	e := event{reason: reason, code: fault.OK, limit: 15 * time.Second}
	var ok bool
	text, e.hasty = strings.CutSuffix(text, " too soon")
	text, wanted, _ := strings.Cut(text, " wanting ")
	_, _ = fmt.Sscan(wanted, &e.wanted) // none is 0
	text, generation, _ := strings.Cut(text, " of generation ")
	_, _ = fmt.Sscan(generation, &e.generation)
	text, e.revives = strings.CutSuffix(text, " that restarts ICE")
	text, e.description = strings.CutSuffix(text, " with description")
	text, e.older = strings.CutSuffix(text, " by an older peer")
	if text, ok = strings.CutSuffix(text, " 409"); ok {
		e.code = fault.Conflict
	}
	if text, ok = strings.CutSuffix(text, " 404"); ok {
		e.code = fault.NotFound
	}
	if text, ok = strings.CutSuffix(text, " 408"); ok {
		e.code = fault.Timeout
	}
	for k := begin; k <= displaced; k++ {
		if k.String() == text {
			e.kind = k
			return e
		}
	}
	t.Fatalf("no event %q", text)
	return e
}

// Whatever happens, states follow each other as the contract says, and nothing
// is done after the end.
func TestAnyOrderIsLegal(t *testing.T) {
	for _, r := range []role{requester, handler} {
		var walk func(m machine, published status.State, depth int)
		walk = func(m machine, published status.State, depth int) {
			if depth == 0 {
				return
			}
			for k := begin; k <= displaced; k++ {
				next, effects := step(m, event{kind: k, code: fault.OK, description: depth%2 == 0})
				last := published
				for i, e := range effects {
					if e.kind == publish {
						if !e.state.CanFollow(last) {
							t.Fatalf("%v after %v on %v in %+v", e.state, last, k, m)
						}
						last = e.state
					}
					if (e.kind == finish) != (next.over && i == len(effects)-1) {
						t.Fatalf("on %v in %+v: %v", k, m, effects)
					}
				}
				walk(next, last, depth-1)
			}
		}
		walk(machine{role: r}, status.None, 5)
	}
}

func TestAdmit(t *testing.T) {
	const a, b = "hyperty-runtime://a/1", "hyperty-runtime://b/1"
	at := time.Unix(1000, 0)
	mine := standing{role: requester, state: status.InProgress, stub: "mine"}
	theirs := standing{role: handler, state: status.InProgress, source: "s", object: "o", created: at}
	live := func(s standing) standing { s.state = status.Live; return s }
	for _, c := range []struct {
		name        string
		own, remote string
		now         standing
		object      string
		created     time.Time
		want        verdict
	}{
		{"the first one", a, b, standing{}, "o", at, accepted},
		{"the same again", a, b, theirs, "o", at, repeated},
		{"the same again, live", a, b, live(theirs), "o", at, repeated},
		{"another while setting up", a, b, theirs, "p", at.Add(1), replaces},
		{"another without a time", a, b, theirs, "p", time.Time{}, replaces},
		{"glare, this one sorts first", a, b, mine, "o", at, refused},
		{"glare, the other sorts first", b, a, mine, "o", at, overrides},
		{"a restart of the requester", a, b, live(theirs), "p", at.Add(1), replaces},
		{"a restart of the handler", a, b, live(mine), "p", at, replaces},
		{"overtaken", a, b, live(theirs), "p", at.Add(-1), refused},
		{"while the old one is quiet", b, a, standing{role: requester, state: status.Disconnected}, "p", at, replaces},
		{"after a failure", a, b, standing{role: requester, state: status.Failed}, "p", at, replaces},
	} {
		if got, _ := admit(c.own, c.remote, c.now, "s", c.object, c.created); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	for _, c := range []struct {
		name string
		now  standing
		want verdict
	}{
		{"the first one", standing{}, accepted},
		{"the same again", mine, repeated},
		{"another requester", standing{role: requester, state: status.Created, stub: "other"}, replaces},
		{"the other side was first", theirs, refused},
		{"live", live(theirs), refused},
		{"quiet", standing{role: handler, state: status.Disconnected}, replaces},
	} {
		if got, _ := admitRequester(c.now, "mine"); got != c.want {
			t.Errorf("requester, %s: %v, want %v", c.name, got, c.want)
		}
	}
}
