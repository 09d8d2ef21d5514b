package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// Sizes for planning, of which each is a figure of our side of a run, times as many as
// one has of it.
var sizes = []struct {
	what, caseName, metric, unit string
	times                        float64
	so                           string
}{
	{"1,000 messages/s of 1 KiB, from one program to another at the same bus", "bus-nats-1024", "CPU", "µs/message", 0.1, "% of a core"},
	{"1,000 messages/s of 1 KiB over a data channel, all processes of both runtimes", "p2p-1024", "CPU", "µs/message", 0.1, "% of a core"},
	{"1,000 messages/s of 1 KiB over the Message Node, all processes of both runtimes and the node", "node-1024", "CPU", "µs/message", 0.1, "% of a core"},
	{"1,000 requests/s with their responses at one bus, one under way", "bus-request", "CPU", "µs/message", 0.1, "% of a core"},
	{"1,000 idle connections in a p2pstub", "p2p-idle", "resident memory", "KiB/connection", 1000. / 1024, "MiB"},
	{"1,000 idle connections in a p2pstub", "p2p-idle", "CPU, idle", "µs/s/connection", 0.1, "% of a core"},
	{"one set-up a second, both runtimes and the Message Node", "set-up", "CPU, both ends", "ms/set-up", 0.1, "% of a core"},
	{"10,000 sessions at a Message Node", "node-sessions", "resident memory", "KiB/session", 10_000. / 1024, "MiB"},
	{"10,000 runtimes that come back at once", "node-sessions", "reconnect of all", "s", 1, "s"},
	{"100,000 addresses that a registry knows", "registry-memory", "heap", "B/address", 100_000. / (1 << 20), "MiB"},
	{"a runtime in one process, idle", "idle-runtime", "resident memory, idle", "MiB", 1, "MiB"},
}

// WritePlanning writes what to reckon with, as a table for the documentation: each size is
// calculated from the median of this run. What it has not measured is left out.
func (r *Report) WritePlanning(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s.\n\n| for | takes |\n| --- | --- |\n", r.Began.UTC().Format("2006-01-02"), r.Machine)
	for _, s := range sizes {
		if row, ok := r.row(s.caseName, round.Metric{Name: s.metric, Unit: s.unit}); ok {
			cells(&b, s.what, figure(row.Ours.Median*s.times)+" "+s.so)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) row(name string, m round.Metric) (row round.Row, ok bool) {
	for _, x := range r.Results {
		if x.Name == name {
			return Point{Rows: x.Rows}.row(m)
		}
	}
	return row, false
}
