package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peerbus/peerbus/sim/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the tables of docs/capacity.md anew")

const page = "../../docs/capacity.md"

// The tables stand between these lines of the page.
const (
	begin = "<!-- tables: made by `make capacity`; do not edit -->\n"
	end   = "\n<!-- end of the tables -->"
)

func TestThePageHasTheTables(t *testing.T) {
	p, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := report(p, &out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	have, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("the page has no place for the tables")
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+out.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old := strings.Split(have, "\n")
	for i, line := range strings.Split(out.String(), "\n") {
		if i >= len(old) || old[i] != line {
			t.Fatalf("docs/capacity.md is not fresh: run make capacity. There should be\n%s", line)
		}
	}
}

func TestNumbersAreRounded(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", 1: "1", 0.012345: "0.0123", 9.996: "10", 1234567: "1,230,000", 999.6: "1,000", -1234: "-1,230", 0.5: "0.5", 100: "100",
	} {
		if got := number(f); got != want {
			t.Errorf("%v is %s, want %s", f, got, want)
		}
	}
	if got := size(1.5 * (1 << 20)); got != "1.5 MiB" {
		t.Error(got)
	}
}

func TestEventsComeInOrder(t *testing.T) {
	var q queue
	var got []string
	note := func(s string) func() error { return func() error { got = append(got, s); return nil } }
	q.after(2, note("c"))
	q.after(1, func() error { q.after(0, note("b")); return note("a")() })
	q.after(2, note("d"))
	q.after(9, note("late"))
	if err := q.run(5); err != nil || strings.Join(got, "") != "abcd" || q.now != 2 {
		t.Errorf("%v at %v: %v", got, q.now, err)
	}
	failed := errors.New("failed")
	q.after(1, func() error { return failed })
	if err := q.run(5); err != failed {
		t.Errorf("an event's error: %v", err)
	}
}

// Each flag that is out of range is refused by its name.
func TestFlagsAreChecked(t *testing.T) {
	for flag, value := range map[string]string{
		"runtimes": "0", "websocket": "2", "expires": "1ms", "cores": "0", "utilisation": "1.1", "herd": "-1", "herd-scale": "0", "sampled": "1", "store": "-1",
	} {
		var errs bytes.Buffer
		if code := execute([]string{"-" + flag, value}, io.Discard, &errs); code != exitUsage || !strings.Contains(errs.String(), flag) {
			t.Errorf("-%s %s: %d, %s", flag, value, code, &errs)
		}
	}
}

// quick is a small domain.
func quick(t *testing.T, args ...string) *model {
	t.Helper()
	p, err := parse(append([]string{"-runtimes", "1000", "-sampled", "50"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l, err := live(p)
	if err != nil {
		t.Fatal(err)
	}
	m := &model{params: p, life: l}
	m.limits.Sockets = 20_000
	return m
}

// A runtime at rest has the records that a real one has: what sim/measure has counted.
func TestALifeBeginsLikeARealOne(t *testing.T) {
	m := quick(t, "-connections", "0", "-losses", "0", "-setups", "0", "-changes", "0")
	c := m.params.costs.Runtime
	want := c.StartWrites + float64(m.params.hyperties)*c.HypertyWrites
	if got := m.life.records(); got != want {
		t.Errorf("%v records, want %v", got, want)
	}
	if want := float64(m.params.hyperties) * 3 / 3600; m.life.stateWrites != 0 || m.life.registryWrites < 0.9*want || m.life.registryWrites > 1.1*want {
		t.Errorf("%v and %v writes a second, want none and %v", m.life.stateWrites, m.life.registryWrites, want)
	}
}

func TestALossIsTwoWrites(t *testing.T) {
	m := quick(t, "-setups", "0", "-losses", "10", "-hyperties", "0")
	if got := m.life.stateWrites / m.life.returns; got != 2 {
		t.Errorf("%v writes", got)
	}
}

func TestAllComeBack(t *testing.T) {
	m := quick(t, "-herd-scale", "1")
	for _, what := range []disaster{
		{runtimes: 100, replicas: 3, opens: 8},
		{runtimes: 100, replicas: 3},
		{runtimes: 100, replicas: 2, dead: true, opens: 8},
		{runtimes: 100, replicas: 3, outage: 20 * time.Second, opens: 8},
		{runtimes: 100, replicas: 3, outage: 11 * time.Minute, forgotten: true, opens: 8},
	} {
		c, err := m.comeBack(what)
		if err != nil || c.left != 0 || c.attempts < 100 || c.writes < 100 || c.all > 10*time.Second {
			t.Errorf("%+v: %+v, %v", what, c, err)
		}
	}
}

// A store that is slower than the clients are patient never gets through without the
// bound.
func TestTheBoundOnOpensHelps(t *testing.T) {
	m := quick(t, "-herd-scale", "1", "-store", "100")
	what := disaster{runtimes: 1500, replicas: 3, outage: 30 * time.Second}
	without, err := m.comeBack(what)
	if err != nil {
		t.Fatal(err)
	}
	what.opens = 8
	with, err := m.comeBack(what)
	if err != nil || with.left != 0 || without.inVain <= with.inVain {
		t.Errorf("with %+v, without %+v: %v", with, without, err)
	}
}

func TestMoreRuntimesNeedMore(t *testing.T) {
	m := quick(t)
	small, large := m.lay(10_000, 5), m.lay(100_000, 5)
	if large.memory <= small.memory || large.cores <= small.cores || large.natsDisk <= small.natsDisk || large.network <= small.network {
		t.Errorf("%+v and %+v", small, large)
	}
	m.shards = 4
	if shared := m.lay(100_000, 5); shared.copied*4 != large.copied || shared.hops <= large.hops {
		t.Errorf("in shards %+v, without %+v", shared, large)
	}
}

func TestABoundIsWhereItIsReached(t *testing.T) {
	m := quick(t)
	for _, b := range m.bounds()[configured:] {
		n := m.reached(b)
		if use := b.use(m.lay(n, m.replicasFor(n))); use > b.have*1.01 || use < b.have*0.9 {
			t.Errorf("%s: %v at %v runtimes, and there is %v", b.name, use, n, b.have)
		}
	}
}

func TestSamplesAreAlike(t *testing.T) {
	if sample.Pool != 2 || !slices.Equal(sample.Subscribed(1), sample.Subscribed(1)) || sample.Hyperty(1, 0) == sample.Hyperty(1, 1) {
		t.Error("a sample is another one each time")
	}
}
