package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/peerbus/peerbus/internal/sequence"
)

// Bounds of what the printer holds back.
const (
	// heldTime is how long a line waits for earlier ones while steps are still
	// missing: the set-up takes less, and whoever looks on is not left waiting.
	heldTime = 2 * time.Second
	// heldLines is how many wait: the steps, and the messages of a fast demo.
	heldLines = 1024
)

// printer writes what happens. Lines come from several goroutines, and the steps out
// of the logs of several processes, which are read at different speeds. So lines are
// held back until the last step is known, and come in the order of their times.
type printer struct {
	mu    sync.Mutex
	out   io.Writer
	began time.Time
	steps *stepTracker
	held  []heldLine
	since time.Time // when the first of held came
}

// heldLine is a line, and the time of what it tells.
type heldLine struct {
	at   time.Time
	text string
}

func newPrinter(out io.Writer) *printer {
	return &printer{out: out, began: time.Now(), steps: newStepTracker()}
}

// say tells of what happens now.
func (p *printer) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold(heldLine{time.Now(), fmt.Sprintf(format, args...)})
	p.releaseDue()
}

// event tells of the steps of the sequence that are reached with it.
func (p *printer) event(e sequence.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.steps.add(e) {
		p.hold(heldLine{r.Time, fmt.Sprintf("  %-12s %2s  %s → %s: %s", r.Diagram, r.Number, r.From, r.To, r.What)})
	}
	p.releaseDue()
}

// print writes what has no time, behind all that is held back.
func (p *printer) print(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeHeld()
	_, _ = fmt.Fprintf(p.out, format, args...)
}

// release writes what has been held back for long enough.
func (p *printer) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.releaseDue()
}

// flush writes all that is held back.
func (p *printer) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeHeld()
}

func (p *printer) hold(l heldLine) {
	if len(p.held) == 0 {
		p.since = time.Now()
	}
	p.held = append(p.held, l)
}

func (p *printer) releaseDue() {
	if p.steps.complete() || len(p.held) >= heldLines || len(p.held) > 0 && time.Since(p.since) >= heldTime {
		p.writeHeld()
	}
}

func (p *printer) writeHeld() {
	for _, l := range inOrder(p.held) {
		_, _ = fmt.Fprintf(p.out, "%8.1f ms  %s\n", milliseconds(l.at.Sub(p.began)), l.text)
	}
	p.held = p.held[:0]
}

// inOrder sorts lines by their times, in place; of the same time, the one that came
// first is first.
func inOrder(lines []heldLine) []heldLine {
	slices.SortStableFunc(lines, func(a, b heldLine) int { return a.at.Compare(b.at) })
	return lines
}

// stepTracker tells which steps have been reached, as events come. Events of
// several processes come a little out of order, so it looks at all of them
// again: there are some hundreds until the last step is reached, and it stops
// then.
type stepTracker struct {
	mu         sync.Mutex
	alice, bob string
	events     []sequence.Event
	told       map[int]bool
	done       bool
}

func newStepTracker() *stepTracker { return &stepTracker{told: map[int]bool{}} }

// start says who is who: from then on steps are told.
func (t *stepTracker) start(alice, bob string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alice, t.bob = alice, bob
}

// complete tells whether the last step has been reached.
func (t *stepTracker) complete() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

// add gives the steps that are reached now and were not before.
func (t *stepTracker) add(e sequence.Event) []sequence.Reached {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return nil
	}
	t.events = append(t.events, e)
	if t.alice == "" {
		return nil
	}
	found := sequence.Find(t.events, t.alice, t.bob)
	t.done = sequence.Check(found) == nil
	var fresh []sequence.Reached
	for i, r := range found {
		if !r.Time.IsZero() && !t.told[i] {
			t.told[i] = true
			fresh = append(fresh, r)
		}
	}
	return fresh
}
