package registry

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/story"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// TestStories plays each story of testdata against the machine of an entry. A
// line that begins with `>` is an event; what follows is what came of it. Text
// behind `#` is for the reader.
//
//	> runtime a            this runtime is hyperty-runtime://a/r, the other always m
//	> wanted <stub>        messages want a connection; stub is the new requester
//	> bus <stub> <state> [reason]    or watch, or snapshot: a status
//	> news <stub> [doubt] [worn] [flow] [leads]      what else the P2P stub says
//	> gone <stub> [reason], registered, registered late, refused <reason>
//	> after <duration>     the time goes on; then what is due
//	> renewed <stub>       it is worn: stub is the new requester
//	> postponed <reason>   an attempt that was due cannot be made
//	> closed <reason>
//
// A stub is `requester…` or `handler`.
func TestStories(t *testing.T) { story.Play(t, "testdata/*.txt", play) }

const otherRuntime = "hyperty-runtime://m/r"

// teller plays one story.
type teller struct {
	table *table
	rules rules
	now   time.Time
	ids   int
	out   strings.Builder
}

func play(t *testing.T, text string) string {
	tell := &teller{table: newTable(DefaultLimits()), now: time.Unix(0, 0).UTC()}
	tell.rules = rules{own: "hyperty-runtime://a/r", limits: DefaultLimits()}
	story.Tell(text, &tell.out, func(event string) {
		words := strings.Fields(event)
		if len(words) == 0 {
			t.Fatal("an event is empty")
		}
		tell.do(t, words)
	})
	return tell.out.String()
}

func (tell *teller) do(t *testing.T, words []string) {
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	rest := strings.Join(words[min(len(words), 3):], " ")
	e := event{remote: otherRuntime, stub: arg(1), role: requester}
	if e.stub == "handler" {
		e.role = handler
	}
	switch words[0] {
	case "runtime":
		tell.rules.own = "hyperty-runtime://" + arg(1) + "/r"
		return
	case "after":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		tell.now = tell.now.Add(d)
		for _, e := range tell.table.due(tell.now, tell.rules.limits) {
			tell.apply(e)
		}
		lost, worn := tell.table.attempts(tell.now, tell.rules.wants, tell.rules.limits)
		for range lost {
			fmt.Fprintln(&tell.out, "  an attempt is due")
		}
		for range worn {
			fmt.Fprintln(&tell.out, "  a replacement is due")
		}
		return
	case "wanted":
		e.kind, e.handler = wanted, "their-handler"
	case "renewed":
		e.kind, e.handler = renewed, "their-handler"
	case "news":
		e.kind, e.news = observed, news{
			doubt: slices.Contains(words, "doubt"), worn: slices.Contains(words, "worn"), flow: slices.Contains(words, "flow"),
		}
		if slices.Contains(words, "leads") {
			e.listeners = []string{tell.entry().URL}
		}
	case "postponed":
		e.kind, e.reason = postponed, strings.Join(words[1:], " ")
	case "bus", "watch", "snapshot":
		e.kind, e.reason = reported, rest
		e.channel = map[string]channel{"bus": onBus, "watch": onWatch, "snapshot": inSnapshot}[words[0]]
		var err error
		if e.state, err = status.Parse(arg(2)); err != nil {
			t.Fatal(err)
		}
	case "gone":
		e.kind, e.reason = gone, strings.Join(words[min(len(words), 2):], " ")
	case "unseen":
		e.kind = unseen
	case "registered":
		e.kind, e.epoch = registered, tell.entry().epoch
		if arg(1) == "late" {
			e.epoch--
		}
	case "refused":
		e.kind, e.epoch, e.reason = refused, tell.entry().epoch, strings.Join(words[1:], " ")
	case "closed":
		e.kind, e.reason = closed, strings.Join(words[1:], " ")
	default:
		t.Fatalf("unknown event %q", words[0])
	}
	tell.apply(e)
}

func (tell *teller) entry() connection { return tell.table.get(otherRuntime) }

func (tell *teller) apply(e event) {
	e.at = tell.now
	tell.ids++
	e.id = fmt.Sprint("c", tell.ids)
	if tell.table.late(e) {
		fmt.Fprintln(&tell.out, "  late")
		return
	}
	before := tell.entry()
	after, effects, err := next(before, e, tell.rules)
	if err != nil {
		fmt.Fprintf(&tell.out, "  refused: %v\n", err)
		return
	}
	tell.table.put(otherRuntime, after)
	if !changed(&before, &after) && before.news == after.news && len(effects) == 0 {
		fmt.Fprintln(&tell.out, "  nothing changes")
		return
	}
	tell.describe(before, after)
	for _, f := range effects {
		fmt.Fprintf(&tell.out, "  do: %s\n", f)
	}
}

func (tell *teller) describe(before, c connection) {
	if !c.exists() {
		fmt.Fprintln(&tell.out, "  no entry")
		return
	}
	fmt.Fprintf(&tell.out, "  %s, %s, %s by %q", c.State, c.Phase, roleName(c.Role), c.Stub)
	if c.Reason != "" {
		fmt.Fprintf(&tell.out, " (%s)", c.Reason)
	}
	if c.Attempts > 0 {
		fmt.Fprintf(&tell.out, ", attempt %d", c.Attempts)
	}
	if !c.NextAttempt.IsZero() {
		fmt.Fprintf(&tell.out, ", next in %v", c.NextAttempt.Sub(tell.now))
	}
	if c.Successor.Stub != "" {
		fmt.Fprintf(&tell.out, ", successor %q", c.Successor.Stub)
	}
	fmt.Fprintln(&tell.out)
	if before.Path.Way != c.Path.Way || before.Path.Reason != c.Path.Reason {
		fmt.Fprintf(&tell.out, "  path: %s (%s)\n", pathName(c.Path.Way), c.Path.Reason)
	}
}

// TestNoSequenceBreaksTheMachine: whatever comes, an entry is live only when its
// stub has taken the URL, has one id, and changes state only as section 8 allows.
func FuzzNoSequenceBreaksTheMachine(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5})
	f.Add([]byte{0, 10, 20, 30, 11, 21, 40, 50, 3, 60})
	f.Fuzz(func(t *testing.T, steps []byte) {
		r := rules{own: "hyperty-runtime://n/r", limits: DefaultLimits()}
		var c connection
		now := time.Unix(0, 0)
		for i, b := range steps {
			now = now.Add(time.Duration(b) * time.Second)
			e := event{
				kind: eventKind(int(b) % int(postponed+1)), at: now, remote: otherRuntime, id: fmt.Sprint(i),
				stub: []string{"r1", "r2", "handler"}[int(b>>3)%3], role: requester, epoch: c.epoch,
				state: status.State(1 + int(b>>5)%5), channel: channel(i % 3), news: news{worn: b&64 != 0, doubt: b&32 != 0},
			}
			if e.stub == "handler" {
				e.role = handler
			}
			after, effects, err := next(c, e, r)
			if err != nil {
				continue
			}
			checkStep(t, c, after, effects, e)
			c = after
		}
	})
}

func checkStep(t *testing.T, before, after connection, effects []effect, e event) {
	t.Helper()
	if after.usable() && (after.URL == "" || after.Stub == "") {
		t.Fatalf("%s: live without URL or stub: %+v", e, after)
	}
	if before.exists() && after.exists() && before.ID != after.ID {
		t.Fatalf("%s: the entry changed its id", e)
	}
	if (after.underWay() || after.Phase == restarting) && after.deadline.IsZero() {
		t.Fatalf("%s: under way without a deadline", e)
	}
	if n := after.Successor; n.Stub != "" && (after.State != status.Live || n.Stub == after.Stub || n.deadline.IsZero() || n.registering && !after.usable()) {
		t.Fatalf("%s: a successor of what is not there: %+v", e, after)
	}
	old := before.State
	seen := len(before.Transitions)
	if len(after.Transitions) < seen || len(after.Transitions) >= DefaultLimits().Transitions || !after.exists() {
		return
	}
	for _, tr := range after.Transitions[seen:] {
		if !tr.State.CanFollow(old) && !(old == status.Failed && tr.State == status.Created) {
			t.Fatalf("%s: %s follows %s", e, tr.State, old)
		}
		old = tr.State
	}
	for _, f := range effects {
		if f.kind == register && !f.beside && f.url != before.URL && f.url != address.P2PConnectionURL("hyperty-runtime://n/r", after.ID) {
			t.Fatalf("%s: registers %s", e, f.url)
		}
	}
}
