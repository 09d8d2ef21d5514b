package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/bench/internal/round"
)

var update = flag.Bool("update", false, "write testdata anew")

func sample() *Report {
	goals := []round.Goal{round.Least(round.Throughput, 5), round.Most(round.CPU, 0.2)}
	pairs := []round.Pair{
		{Ours: round.Sample{round.Throughput: 612_345, round.CPU: 1.61, round.Allocs: 4}, Baseline: round.Sample{round.Throughput: 110_000, round.CPU: 9.4}},
		{Ours: round.Sample{round.Throughput: 590_000, round.CPU: 2.2, round.Allocs: 4}, Baseline: round.Sample{round.Throughput: 125_000, round.CPU: 9.1}},
		{Ours: round.Sample{round.Throughput: 640_000, round.CPU: 1.9, round.Allocs: 4}, Baseline: round.Sample{round.Throughput: 100_000, round.CPU: 9.9}},
	}
	return &Report{
		Program: Program{Version: "v1.2", Commit: "1234abcd"},
		Machine: Machine{CPU: "A <fast> one", Cores: 2, Kernel: "Linux 6", Go: "go1.26", Load: "0.10"},
		Began:   time.Date(2026, 11, 29, 1, 0, 0, 0, time.UTC), Seconds: 61, Short: true,
		Results: []Result{
			{Name: "bus-local-64", What: "bus, 64 B", Beside: "relay", Rounds: 3, Seconds: 8, Goals: goals, Rows: round.Rows(pairs, goals)},
			{Name: "bus-unix", What: "bus, unix", Beside: "relay", Goals: []round.Goal{round.Most(round.Latency, 0.7)}, Missing: "it listens on TCP alone"},
			{Name: "broken", What: "bus & more", Beside: "relay", Error: "it stands"},
		},
	}
}

func TestReports(t *testing.T) {
	for name, write := range map[string]func(*Report, io.Writer) error{
		"table.txt": (*Report).WriteTable, "table.md": (*Report).WriteMarkdown, "plot.svg": (*Report).WritePlot, "report.json": (*Report).WriteJSON,
	} {
		var got bytes.Buffer
		if err := write(sample(), &got); err != nil {
			t.Fatal(err)
		}
		file := "testdata/" + name
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(file); err != nil || got.String() != string(want) {
			t.Errorf("%s (%v):\n%s", name, err, got.String())
		}
	}
}

// Where no ratio is to be reached there is one table, which has what failed too.
func TestAPageWithoutGoals(t *testing.T) {
	r := &Report{Results: []Result{
		{What: "returns", Rows: round.Rows([]round.Pair{{Ours: round.Sample{round.CPU: 1}}}, nil)}, {What: "others", Error: "it stands"},
	}}
	var b bytes.Buffer
	if err := r.WriteMarkdown(&b); err != nil || strings.Count(b.String(), "\n| --- ") != 1 || strings.Contains(b.String(), "to reach") || !strings.Contains(b.String(), "| others |  | failed |") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	var first, again bytes.Buffer
	if err := sample().WriteJSON(&first); err != nil {
		t.Fatal(err)
	}
	r, err := Read(bytes.NewReader(first.Bytes()))
	if err != nil || r.Failed() != 1 {
		t.Fatalf("%v, %+v", err, r)
	}
	if err := r.WriteJSON(&again); err != nil || again.String() != first.String() {
		t.Errorf("%v\n%s", err, again.String())
	}
	if _, err := Read(strings.NewReader("{")); err == nil {
		t.Error("half of a report is read")
	}
}

// The plot is XML, whatever the labels are.
func TestThePlotIsWellFormed(t *testing.T) {
	var b bytes.Buffer
	r := sample()
	r.Results[0].What = `<&">`
	if err := r.WritePlot(&b); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(&b)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPlaces(t *testing.T) {
	p := plot{lines: []plotted{{label{}, round.Row{Ratio: &round.Spread{Median: 2, Min: 0, Max: 25}, Goal: &round.Goal{Ratio: 0.04}}}}}
	p.scale()
	if p.from != -2 || p.to != 2 {
		t.Errorf("from %v to %v", p.from, p.to)
	}
	if l, r := p.x(0.01), p.x(100); l != plotLabels || r != plotWidth-plotMargin || p.x(0) != l {
		t.Errorf("%v, %v, %v", l, r, p.x(0))
	}
}

func TestFigures(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.0231: "0.0231", 3.14159: "3.14", 42.42: "42.4", 1378.4: "1378", 12_345: "12.3 k", 612_345: "612 k", 2_500_000: "2.5 M", 7.2e9: "7.2 G",
	} {
		if got := figure(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestThisMachine(t *testing.T) {
	if m := ThisMachine(); m.CPU == "" || m.Cores < 1 || m.Go == "" || m.Kernel == "" {
		t.Errorf("%+v", m)
	}
}
