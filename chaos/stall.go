package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/peerbus/peerbus/internal/netlab"
	"github.com/peerbus/peerbus/internal/numbered"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/services/bus"
	"github.com/peerbus/peerbus/services/msgnode"
	"github.com/peerbus/peerbus/services/nodestub"
	"github.com/peerbus/peerbus/services/p2pstub"
)

const (
	// floodBytes is the size of the messages that the stalled listener is sent.
	floodBytes = 64 << 10
	// sampleEvery is how often memory is looked at.
	sampleEvery = 250 * time.Millisecond
	// calm is how long memory is measured before the stall.
	calm = 5 * time.Second
	// heldUp is the pause from which on traffic to another listener counts as
	// held up by the one that stalls.
	heldUp = 10 * time.Second
)

// held is what a process may hold at most, by its own limits, of two sessions and
// of what goes to and comes from one remote runtime; in bytes.
func held(mode string) int {
	switch mode {
	case "bus":
		l := bus.DefaultLimits()
		return 2*l.Flow.Bytes + l.Flow.Ahead + l.QueueBytes + 2*l.HeldBytes + l.WaitBytes
	case "p2pstub":
		const association = 4 << 20 // bytes that SCTP keeps for a reader that is behind
		l := p2pstub.DefaultLimits()
		return association + l.HighWater + l.Outgoing + framing.Window
	case "nodestub":
		return nodestub.DefaultLimits().QueueBytes
	case "msgnode":
		l := msgnode.DefaultLimits()
		return 2 * (l.RelayBytes + l.MailboxBytes)
	default: // a registry sees no messages
		return 0
	}
}

// A Go heap may be twice what is live in it, and some MiB more are stacks, code
// and caches that a first use fills.
const heapFactor, slack = 2, 16 << 20

// mayGrow is the bound of a process's memory above what it had before.
func mayGrow(process string) int64 {
	mode, _, _ := strings.Cut(process, " ")
	return heapFactor*int64(held(mode)) + slack
}

// memoryRow is one process in the table of -stall. All are bytes.
type memoryRow struct {
	Process string `json:"process"`
	Before  int64  `json:"before"`
	Most    int64  `json:"most"`
	After   int64  `json:"after"`
	MayGrow int64  `json:"may_grow"`
}

// stallReport is what -stall prints.
type stallReport struct {
	Seconds float64     `json:"seconds"`
	Memory  []memoryRow `json:"memory"`
	Stalled *report     `json:"stalled"` // messages to the listener that stalls
	Others  *report     `json:"others"`
	Pause   float64     `json:"others_longest_pause_seconds"`
}

// runStall lets one listener stop reading, over a link that is late and loses
// packets, while its poster goes on as fast as it may; and looks at the memory of
// all processes, and at the traffic of the other listeners.
func runStall(ctx context.Context, s settings, w *world, p *progress) (*stallReport, error) {
	others, flood, open, err := w.stallTraffic(ctx, s)
	if err != nil {
		return nil, err
	}
	defer open()
	others.start(ctx)
	if !others.settle(ctx, numbered.Direct) {
		return nil, notDirect(ctx)
	}
	w.link.Set(s.weather)
	m := newMemory(w.processes)
	w.parts.Go(func() { m.run(w.ctx) })
	if err := run.Sleep(ctx, calm); err != nil {
		return nil, err
	}
	m.begin()
	p.say("a listener of bob stops reading; messages of %d KiB are posted to it as fast as they are accepted", floodBytes>>10)
	flood.start(ctx)
	began := time.Now()
	if err := run.Sleep(ctx, s.duration); err != nil {
		return nil, err
	}
	ended := time.Now()
	p.say("it reads again, and the link is clear")
	open()
	w.link.Set(netlab.Weather{})
	flood.halt(ctx, s.quiet)
	flood.drain(ctx, s.quiet)
	others.settle(ctx, numbered.Direct)
	others.halt(ctx, s.quiet)
	others.drain(ctx, s.quiet)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	stall := occurrence{"a listener stalls", numbered.Span{From: began, To: ended}}
	return &stallReport{
		Seconds: stall.Length().Seconds(), Memory: m.end(),
		Stalled: stallPart(w, flood, p), Others: stallPart(w, others, p), Pause: others.judge.LongestPause(stall.Span).Seconds(),
	}, nil
}

func stallPart(w *world, t *traffic, p *progress) *report {
	r := newReport(t.judge.Findings(), p.began, nil)
	r.Direct, r.Failures = true, w.failures()
	return r
}

// stallTraffic makes steady traffic both ways, and a flood from alice to a
// listener of the client that bob's other listeners belong to. That one is held
// up until open is called.
func (w *world) stallTraffic(ctx context.Context, s settings) (others, flood *traffic, open func(), err error) {
	listeners, err := w.buses("chaos")
	if err != nil {
		return nil, nil, nil, err
	}
	flooding, err := w.buses("flood")
	if err != nil {
		return nil, nil, nil, err
	}
	gate, open := newGate()
	if others, err = w.newTraffic(ctx, s.pace(), listeners, bothWays(s.pairs)); err != nil {
		return nil, nil, open, err
	}
	if flood, err = w.newTraffic(ctx, pace{bytes: floodBytes}, flooding, []int{0}); err != nil {
		return nil, nil, open, err
	}
	flood.gate = gate
	return others, flood, open, errors.Join(others.listen(ctx, listeners), flood.listen(ctx, listeners))
}

// newGate gives a gate that is shut, and what opens it.
func newGate() (gate <-chan struct{}, open func()) {
	c, cancel := context.WithCancel(context.Background())
	return c.Done(), cancel
}

// memory watches the resident sizes of processes.
type memory struct {
	processes []*process

	mu   sync.Mutex
	most []int64 // since the beginning
	rows []memoryRow
}

func newMemory(processes []*process) *memory {
	return &memory{processes: processes, most: make([]int64, len(processes))}
}

// run notes the largest sizes until ctx is done.
func (m *memory) run(ctx context.Context) {
	for run.Sleep(ctx, sampleEvery) == nil {
		m.sample()
	}
}

func (m *memory) sample() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, p := range m.processes {
		m.most[i] = max(m.most[i], p.memory())
	}
}

// begin takes what was seen so far as the sizes before.
func (m *memory) begin() {
	m.sample()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, p := range m.processes {
		m.rows = append(m.rows, memoryRow{Process: p.name, Before: m.most[i], MayGrow: mayGrow(p.name)})
	}
}

// end gives the sizes before, the largest, and those now.
func (m *memory) end() []memoryRow {
	m.sample()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, p := range m.processes {
		m.rows[i].Most, m.rows[i].After = m.most[i], p.memory()
	}
	return m.rows
}

func (r *stallReport) print(w io.Writer) error {
	var rows [][]string
	for _, m := range r.Memory {
		rows = append(rows, []string{
			m.Process, bytesText(m.Before), bytesText(m.Most), bytesText(m.After), bytesText(m.Most - m.Before), bytesText(m.MayGrow),
		})
	}
	heading := []string{"PROCESS", "BEFORE", "MOST", "AFTER", "GREW BY", "MAY GROW BY"}
	if err := table(w, heading, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\na listener stalled for %.0f s; the longest pause of the others was %.2f s\nto it: %sto the others: %s",
		r.Seconds, r.Pause, r.Stalled.counts(), r.Others.counts())
	return err
}

func bytesText(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func (r *stallReport) verdict() error {
	var errs []error
	for _, m := range r.Memory {
		if grew := m.Most - m.Before; grew > m.MayGrow {
			errs = append(errs, fmt.Errorf("%s grew by %s, more than %s", m.Process, bytesText(grew), bytesText(m.MayGrow)))
		}
	}
	if r.Pause > heldUp.Seconds() {
		errs = append(errs, fmt.Errorf("traffic of other listeners paused for %.1f s", r.Pause))
	}
	errs = append(errs, complaint(r.Stalled.Accepted == 0, "no message to the listener that stalls was accepted"))
	return errors.Join(append(errs, r.Stalled.losses(), r.Others.verdict())...)
}
