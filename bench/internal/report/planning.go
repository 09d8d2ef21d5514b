package report

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// Sizes for planning: what one of each takes on our side, all processes that take part
// together. Those without a metric have no such figure.
var sizes = []struct {
	what, caseName string
	cpu, memory    round.Metric
}{
	{"message of 64 B, from one program to another at a bus", "bus-local-64", perMessage, none},
	{"message of 1 KiB, likewise", "bus-nats-1024", perMessage, none},
	{"message of 16 KiB, likewise", "bus-nats-16384", perMessage, none},
	{"request of 64 B and its response, one at a time", "bus-request", perMessage, none},
	{"message of 64 B over a data channel", "p2p-64", perMessage, none},
	{"message of 1 KiB, likewise", "p2p-1024", perMessage, none},
	{"message of 16 KiB, likewise", "p2p-16384", perMessage, none},
	{"message of 1 KiB over the Message Node", "node-1024", perMessage, none},
	{"set-up of a connection, both runtimes and the Message Node", "set-up", round.Metric{Name: "CPU, both ends", Unit: "ms/set-up"}, none},
	{"connection at rest, in a p2pstub", "p2p-idle", round.Metric{Name: "CPU, idle", Unit: "µs/s/connection"}, round.Metric{Name: "resident memory", Unit: "KiB/connection"}},
	{"session of a runtime at a Message Node, opened: CPU of the Message Node", "node-sessions", round.Metric{Name: "CPU of the server, to open", Unit: "µs/session"}, none},
	{"session of a runtime at a Message Node, held: memory of the Message Node", "node-sessions", none, round.Metric{Name: "resident memory", Unit: "KiB/session"}},
	{"listener at a bus, held, to which nothing is sent", "bus-listeners", none, perAddress},
	{"look-up of an address at a registry that knows a million", "registry-resolve", lookUp, none},
	{"address that a registry knows, held", "registry-memory", none, perAddress},
	{"look-up of the route to an address at a bus that knows a million", "bus-route", lookUp, none},
	{"runtime in one process, at rest", "idle-runtime", round.Metric{Name: "CPU, idle", Unit: "ms/s"}, round.Metric{Name: "resident memory, idle", Unit: "MiB"}},
}

var (
	none       = round.Metric{}
	perMessage = round.Metric{Name: "CPU", Unit: "µs/message"}
	lookUp     = round.Metric{Name: "look-up", Unit: "ns"}
	perAddress = round.Metric{Name: "heap", Unit: "B/address"}
)

// What the units of metrics are in microseconds and in bytes.
var (
	inMicros = map[string]float64{"ns": 1e-3, "µs": 1, "ms": 1e3}
	inBytes  = map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
)

// WritePlanning writes what to reckon with, as a table for the documentation: each figure
// is the median of this run, or a thousand times that. What it has not measured is left
// out. from is the name of the file it is read from; none of a run.
func (r *Report) WritePlanning(w io.Writer, from string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Sizes for planning\n\n%s. CPU and memory are of all processes of peerbus and of the programs at the ends, where a row does not name one. "+
		"For what happens, 1,000 are 1,000 a second; for what is there, they are held at once. Medians%s.\n\n",
		about(r.Began, r.Program, r.Machine, r.rounds()), source(from))
	if r.Short {
		b.WriteString(nothing + "\n\n")
	}
	cells(&b, "what", "CPU", "memory", "1,000: of a core", "1,000: memory", "case")
	b.WriteString("| --- | --- | --- | --- | --- | --- |\n")
	for _, s := range sizes {
		cpu, ofCore := r.cpu(s.caseName, s.cpu)
		memory, inAll := r.memory(s.caseName, s.memory)
		if cpu != "" || memory != "" {
			cells(&b, s.what, cpu, memory, ofCore, inAll, s.caseName)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// linked is the file that is beside the page in the documentation.
const linked = "bench.json"

// source says which file the figures are of, with a link where it is beside the page.
func source(from string) string {
	if filepath.Base(from) == linked {
		return " of [" + linked + "](" + linked + ")"
	}
	return " of all rounds"
}

// cpu gives the time that one takes, and which part of a core a thousand do in a second.
func (r *Report) cpu(name string, m round.Metric) (each, thousand string) {
	row, ok := r.row(name, m)
	if !ok {
		return "", ""
	}
	unit, rest, _ := strings.Cut(m.Unit, "/")
	each = figure(row.Ours.Median) + " " + unit
	if rest == "s" || strings.HasPrefix(rest, "s/") {
		each += " a second"
	}
	return each, figure(row.Ours.Median*inMicros[unit]/10) + " %" // of the 10,000 µs that are a hundredth
}

// memory gives that of one, and that of a thousand.
func (r *Report) memory(name string, m round.Metric) (each, thousand string) {
	row, ok := r.row(name, m)
	if !ok {
		return "", ""
	}
	unit, _, _ := strings.Cut(m.Unit, "/")
	return figure(row.Ours.Median) + " " + unit, size(1000 * row.Ours.Median * inBytes[unit])
}

// size writes bytes as people do.
func size(bytes float64) string {
	if gibi := bytes / (1 << 30); gibi >= 1 {
		return figure(gibi) + " GiB"
	}
	return figure(bytes/(1<<20)) + " MiB"
}

func (r *Report) row(name string, m round.Metric) (row round.Row, ok bool) {
	for _, x := range r.Results {
		if x.Name == name {
			return Point{Rows: x.Rows}.row(m)
		}
	}
	return row, false
}
