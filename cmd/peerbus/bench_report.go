package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// benchReport is what was measured.
type benchReport struct {
	To          string            `json:"to"`
	Wait        string            `json:"wait"`
	Size        int               `json:"size_bytes"`
	Concurrency int               `json:"concurrency"`
	Messages    uint64            `json:"messages"` // without those that failed
	Failed      uint64            `json:"failed"`
	Seconds     float64           `json:"seconds"`
	PerSecond   float64           `json:"messages_per_second"`
	Megabytes   float64           `json:"megabytes_per_second"` // of values
	Latency     *benchLatency     `json:"latency_ms,omitempty"`
	Errors      []*benchError     `json:"errors"`
	Paths       map[string]uint64 `json:"paths"`              // of messages that were seen to arrive
	PathNow     string            `json:"path_now,omitempty"` // of the route at the end
	Interrupted bool              `json:"interrupted"`
}

// benchLatency is in milliseconds.
type benchLatency struct {
	Min float64 `json:"min"`
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// benchError is how many messages failed with a code, and what the first was told.
type benchError struct {
	Code        int    `json:"code"`
	Messages    uint64 `json:"messages"`
	Description string `json:"description"`
}

func (l *load) report(took time.Duration, stopped bool) *benchReport {
	s := l.settings
	r := &benchReport{
		To: l.to, Wait: s.waitName, Size: s.size, Concurrency: s.concurrency,
		Messages: l.took.count, Seconds: took.Seconds(), Interrupted: stopped,
		Paths: l.paths.known(), Errors: []*benchError{},
	}
	r.PerSecond = float64(r.Messages) / r.Seconds
	r.Megabytes = r.PerSecond * float64(s.size) / 1e6
	if l.took.count > 0 {
		r.Latency = &benchLatency{
			Min: millis(l.took.min), P50: millis(l.took.quantile(0.5)), P90: millis(l.took.quantile(0.9)),
			P99: millis(l.took.quantile(0.99)), Max: millis(l.took.max),
		}
	}
	r.Errors = slices.AppendSeq(r.Errors, maps.Values(l.failed))
	slices.SortFunc(r.Errors, func(a, b *benchError) int { return cmp.Compare(a.Code, b.Code) })
	for _, e := range r.Errors {
		r.Failed += e.Messages
	}
	return r
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// print fails when messages have failed.
func (r *benchReport) print(w io.Writer, asJSON bool) error {
	var err error
	if asJSON {
		err = json.NewEncoder(w).Encode(r)
	} else {
		_, err = io.WriteString(w, r.text())
	}
	if err == nil && r.Failed > 0 {
		worst := r.Errors[0]
		err = fault.New(fault.Code(worst.Code), "%d of %d messages failed: %s", r.Failed, r.Failed+r.Messages, worst.Description)
	}
	return err
}

func (r *benchReport) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s "+format+"\n", append([]any{name}, args...)...)
	}
	line("to", "%s", r.To)
	line("messages", "%d with %d bytes, %d at once, until %s", r.Messages, r.Size, r.Concurrency, untilText(r.Wait))
	line("took", "%.3f s", r.Seconds)
	line("throughput", "%.0f messages/s, %.2f MB/s", r.PerSecond, r.Megabytes)
	if l := r.Latency; l != nil {
		line("latency", "least %.3f ms, p50 %.3f ms, p90 %.3f ms, p99 %.3f ms, most %.3f ms", l.Min, l.P50, l.P90, l.P99, l.Max)
	}
	line("path", "%s", r.pathText())
	for _, e := range r.Errors {
		line("failed", "%d with %d: %s", e.Messages, e.Code, printable(e.Description))
	}
	if r.Interrupted {
		line("interrupted", "before its end")
	}
	return b.String()
}

func untilText(wait string) string {
	if wait == "response" {
		return "the response has come"
	}
	return wait
}

// pathText says which paths were seen, and which one it is at the end.
func (r *benchReport) pathText() string {
	var seen []string
	for _, path := range []string{pathDirect, pathRelay, pathLocal} {
		if n := r.Paths[path]; n > 0 {
			seen = append(seen, fmt.Sprintf("%d %s", n, path))
		}
	}
	text := or(strings.Join(seen, ", "), "not seen")
	if r.PathNow != "" {
		text += "; now " + r.PathNow
	}
	return text
}
