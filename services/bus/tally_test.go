package bus

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func read(t testing.TB, m prometheus.Metric) *dto.Metric {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// tallyOf gives what has been counted of a course.
func tallyOf(t testing.TB, b *Bus, c course) map[string]float64 {
	t.Helper()
	o, found := &b.metrics.tally.messages[c], map[string]float64{}
	for name, counter := range map[string]prometheus.Counter{
		"accepted": o.accepted, "delivered": o.delivered, "4xx": o.refused4xx, "5xx": o.refused5xx, "late": o.timedOut, "abandoned": o.abandoned, "bytes": o.bytes,
	} {
		if n := read(t, counter).GetCounter().GetValue(); n > 0 {
			found[name] = n
		}
	}
	return found
}

func wantTally(t *testing.T, b *Bus, c course, want map[string]float64) {
	t.Helper()
	got := tallyOf(t, b, c)
	for name := range got {
		if name != "bytes" && got[name] != want[name] {
			t.Errorf("%v: %s is %v, want %v", labels[c], name, got[name], want[name])
		}
	}
	for name := range want {
		if got[name] == 0 {
			t.Errorf("%v: %s has not moved", labels[c], name)
		}
	}
	if got["bytes"] > 0 != (want["delivered"] > 0) {
		t.Errorf("%v: %v bytes of %v delivered", labels[c], got["bytes"], want["delivered"])
	}
}

// sumOf is what has been counted of an outcome over some courses.
func sumOf(t testing.TB, b *Bus, outcome string, over ...course) (sum float64) {
	for _, c := range over {
		sum += tallyOf(t, b, c)[outcome]
	}
	return sum
}

func TestTallyOfLocalMessages(t *testing.T) {
	h := newHouse(t, Limits{})
	h.bus.table.grow()
	a, c := h.app(), h.app()
	got := h.listen(c, carol)
	if err := a.Post(h.ctx, ping(alice, carol), client.Delivered()); err != nil {
		t.Fatal(err)
	}
	h.next(got)
	if err := a.Post(h.ctx, ping(alice, "hyperty://a.example/nobody")); fault.CodeOf(err) != fault.NotFound {
		t.Fatal(err)
	}
	h.until("the counts", func() bool {
		got := tallyOf(t, h.bus, outLocal)
		return got["accepted"] == 1 && got["delivered"] == 1
	})
	wantTally(t, h.bus, outLocal, map[string]float64{"accepted": 1, "delivered": 1})
	wantTally(t, h.bus, outNone, map[string]float64{"4xx": 1})
	for _, c := range []course{outDirect, outRelay, outBoth, inDirect, inRelay} {
		wantTally(t, h.bus, c, nil)
	}
}

func TestTallyOfRequests(t *testing.T) {
	h := newHouse(t, Limits{})
	a, c := h.app(), h.app()
	h.echo(c, carol)
	h.listen(c, alice+"/silent")
	if _, err := a.Request(h.ctx, ping(alice, carol)); err != nil {
		t.Fatal(err)
	}
	if n := read(t, h.bus.metrics.tally.messages[outLocal].roundTrip.(prometheus.Metric)).GetHistogram().GetSampleCount(); n != 1 {
		t.Errorf("%d round trips", n)
	}
	outcome, err := a.Start(h.ctx, ping(alice, alice+"/silent"), pb.Wait_WAIT_RESPONSE, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	_, err = outcome(h.ctx)
	if fault.CodeOf(err) != fault.Timeout {
		t.Fatal(err)
	}
	h.until("the counts", func() bool { return tallyOf(t, h.bus, outLocal)["late"] == 1 })
}

// The same conversation over each path is counted under its name at both ends.
func TestTallyOfPaths(t *testing.T) {
	for _, tc := range []struct {
		direct, doubt bool
		out           course
		in            []course
	}{
		{true, false, outDirect, []course{inDirect}},
		{false, false, outRelay, []course{inRelay}},
		{true, true, outBoth, []course{inDirect, inRelay}},
	} {
		t.Run(labels[tc.out][1], func(t *testing.T) {
			a, b := pair(t, quick())
			a.routesTo(tc.direct, tc.doubt)
			b.routesTo(tc.direct, tc.doubt)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			b.heard(b.app(), b.hyperty(1))
			app := a.app()
			posts := 0
			for tallyOf(t, a.bus, tc.out)["delivered"] < 5 { // some may go before the bus has been told of the path
				if err := app.Post(ctx, numbered(a.hyperty(1), b.hyperty(1), posts), client.Delivered()); err != nil {
					t.Fatal(err)
				}
				posts++
			}
			for outcome, over := range map[string][]course{
				"accepted":  {outNone, outDirect, outRelay, outBoth},
				"delivered": {outDirect, outRelay, outBoth},
			} {
				// What its receiver has dealt with may be noted as accepted a moment later.
				if !awaits(ctx, func() bool { return sumOf(t, a.bus, outcome, over...) == float64(posts) }) {
					t.Errorf("%v %s, want %d", sumOf(t, a.bus, outcome, over...), outcome, posts)
				}
			}
			if tallyOf(t, a.bus, tc.out)["bytes"] == 0 {
				t.Error("no bytes")
			}
			if sum := sumOf(t, b.bus, "delivered", inDirect, inRelay); sum != float64(posts) {
				t.Errorf("%v came in, want %d", sum, posts)
			}
			if sum := sumOf(t, b.bus, "delivered", tc.in...); sum < 5 {
				t.Errorf("%v came in by %v", sum, tc.in)
			}
		})
	}
}

// What is refused at the other side is refused here, a request included, whose
// refusal comes as a response.
func TestTallyOfRemoteRefusals(t *testing.T) {
	l := quick()
	l.ReturnTime = time.Millisecond
	a, b := pair(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	app := a.app()
	if err := app.Post(ctx, numbered(a.hyperty(1), b.hyperty(2), 1), client.Delivered()); err == nil {
		t.Fatal("delivered to nobody")
	}
	answer, err := app.Request(ctx, numbered(a.hyperty(1), b.hyperty(2), 2))
	if err == nil {
		_, err = message.Result(answer)
	}
	if err == nil {
		t.Fatal("answered by nobody")
	}
	var got map[string]float64
	if !awaits(ctx, func() bool { // a refusal is told before it is counted
		got = tallyOf(t, a.bus, outDirect)
		return got["4xx"]+got["5xx"] == 2
	}) || got["delivered"] != 0 {
		t.Errorf("counted %v", got)
	}
}

func TestQueuesAreMeasured(t *testing.T) {
	l := DefaultLimits()
	l.QueueMessages, l.FullTime = 4, time.Minute
	h := newHouse(t, l)
	release := make(chan struct{})
	_, err := h.app().Listen(h.ctx, carol, func(context.Context, *pb.Message) { <-release }, client.Window(1))
	if err != nil {
		t.Fatal(err)
	}
	defer close(release)
	app := h.app()
	for range 1 + l.QueueMessages { // the first is under way; what is sent together waits together
		if err := app.Post(h.ctx, ping(alice, carol)); err != nil {
			t.Fatal(err)
		}
	}
	_ = app.Send(h.ctx, ping(alice, carol))
	for name, least := range map[string]float64{
		"queue_messages": 4, "queue_bytes": 4, "overflow_messages": 1, "queue_fullest_ratio": 1,
	} {
		h.until(name, func() bool { return h.value(name, "application") >= least })
	}
	if n := h.value("queue_messages", "node_stub"); n != 0 {
		t.Errorf("node stubs have %v", n)
	}
}

// A rate needs the zero that a counter begins with.
func TestEverySeriesIsThereFromTheStart(t *testing.T) {
	h := newHouse(t, Limits{})
	families, err := h.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]int{}
	for _, f := range families {
		have[strings.TrimPrefix(f.GetName(), "peerbus_bus_")] = len(f.Metric)
	}
	for name, want := range map[string]int{
		"messages_total": int(courses) * 6, "bytes_total": int(courses), "request_seconds": int(inDirect),
		"refused_total": len(reasons), "requests_total": 4, "queue_messages": 5,
	} {
		if have[name] != want {
			t.Errorf("%s has %d series, want %d", name, have[name], want)
		}
	}
}

func TestWhatWaitsForAFlowIsMeasured(t *testing.T) {
	l := quick()
	l.Flow.Bytes, l.FullTime = 2<<10, time.Minute
	a, b := pair(t, l)
	a.cut[overDirect].Store(true)
	a.cut[overRelay].Store(true)
	app := a.app()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 40 {
		if err := app.Send(ctx, numbered(a.hyperty(1), b.hyperty(1), i)); err != nil {
			t.Fatal(err)
		}
	}
	if !awaits(ctx, func() bool { return a.bus.flows.waiting() > 0 }) {
		t.Fatal("nothing waits for a flow that is full")
	}
}

// awaits looks again and again whether a condition holds.
func awaits(ctx context.Context, holds func() bool) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// A refusal is counted once: also one of a request whose sender was told before that its time ran
// out, and one of which nobody listens to the word.
func TestARefusalIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{RequestTime: time.Second})
		defer a.finish()
		a.bus.table.grow()
		l := a.stream(t, carol, 0)
		request := newPost(a.by, numbered(alice, carol, 1))
		request.sequence, request.wait = 1, pb.Wait_WAIT_RESPONSE
		a.bus.post(request)
		tell(l)
		time.Sleep(time.Second)
		synctest.Wait()
		a.bus.refuseRemotely(request, refuse(reasonRemote, fault.Unavailable, "the bus of carol has lost it"))
		a.ours(alice) // who does not listen
		silent := newPost(a.by, numbered(alice, "hyperty://a.example/nobody", 2))
		a.bus.post(silent)
		a.ours(silent.m.To)
		a.ours(alice)
		for reason, want := range map[string]float64{reasonTimeout: 1, reasonRemote: 0, reasonNoListener: 1} {
			if got := a.refused(reason); got != want {
				t.Errorf("%s: %v are counted, want %v", reason, got, want)
			}
		}
		a.end(l)
	})
}
