package bus

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	parent  = "00-" + traceID + "-b7ad6b7169203331-01"
)

// recorded is a message whose hops are written down.
func recorded(from, to string) *pb.Message {
	m := ping(from, to)
	m.Trace = &pb.Trace{Traceparent: parent, Record: true}
	return m
}

// hopsOf gives the hops of a message, as in `a posted, b posted`.
func hopsOf(m *pb.Message) string {
	var all []string
	for _, h := range m.GetTrace().GetHops() {
		name := strings.TrimPrefix(h.At, "hyperty-runtime://")
		all = append(all, name[:1]+" "+h.Event)
	}
	return strings.Join(all, ", ")
}

// A message grows by its hops, and what its listener deals with is settled all the
// same; those who do not ask for hops get what was posted.
func TestHopsAreDealtWith(t *testing.T) {
	h := newHouse(t, Limits{})
	app := h.app()
	got := h.listen(app, carol)
	here := runtimeURL[len("hyperty-runtime://"):][:1]
	for range 50 {
		if err := app.Post(h.ctx, recorded(alice, carol), client.Delivered()); err != nil {
			t.Fatal(err)
		}
		if way := hopsOf(h.next(got)); way != here+" posted, "+here+" delivered" {
			t.Fatal(way)
		}
	}
	if err := app.Post(h.ctx, ping(alice, carol), client.Delivered()); err != nil {
		t.Fatal(err)
	}
	if m := h.next(got); m.Trace != nil {
		t.Errorf("%v", m)
	}
}

// Over a flow each bus writes down what it does, once, though a message comes twice;
// the answer goes on with the hops of its request.
func TestHopsThereAndBack(t *testing.T) {
	a, b := pair(t, Limits{})
	a.duplicate.Store(true)
	b.duplicate.Store(true)
	answers := b.app()
	if _, err := answers.Listen(t.Context(), b.hyperty(1), func(ctx context.Context, m *pb.Message) {
		_ = answers.Send(ctx, message.Answer(m, 200, nil))
	}); err != nil {
		t.Fatal(err)
	}
	app := a.app()
	const want = "a posted, b posted, b delivered, b posted, a posted, a delivered"
	for _, to := range []string{b.hyperty(1), b.url + "/bus"} {
		answer, err := app.Request(t.Context(), recorded(a.hyperty(1), to))
		if err != nil {
			t.Fatal(err)
		}
		if way := hopsOf(answer); way != want || answer.Trace.Traceparent != parent {
			t.Errorf("%s: %s, %v", to, way, answer)
		}
	}
}

// Whoever answers and knows nothing of traces has its answer in that of the request: a
// program here with the way there, a peer elsewhere without.
func TestAnAnswerWithoutATrace(t *testing.T) {
	h := newHouse(t, Limits{})
	here := runtimeURL[len("hyperty-runtime://"):][:1]
	app, stub := h.app(), h.stub(pb.Component_COMPONENT_NODE_STUB)
	h.registry.set(bob, nodeURL)
	for address, by := range map[string]*client.Bus{carol: app, nodeURL: stub} {
		if _, err := by.Listen(h.ctx, address, func(ctx context.Context, m *pb.Message) {
			answer := message.Answer(m, 200, nil)
			answer.Trace = nil
			if by == app {
				_ = by.Send(ctx, answer)
			} else {
				_ = by.Send(ctx, answer, client.From(&pb.Ingress{}))
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	for to, want := range map[string]string{
		carol: " posted, " + here + " delivered, " + here + " posted, " + here + " delivered",
		bob:   " posted, " + here + " delivered",
	} {
		answer, err := app.Request(h.ctx, recorded(alice, to))
		if err != nil || answer.GetTrace().GetTraceparent() != parent || hopsOf(answer) != here+want {
			t.Errorf("%s: %s, %v, %v", to, hopsOf(answer), answer, err)
		}
	}
	if h.bus.asked.some.Load() {
		t.Error("what is answered is known still")
	}
	answer, err := app.Request(h.ctx, ping(alice, carol))
	if err != nil || answer.Trace != nil {
		t.Errorf("%v, %v", answer, err)
	}
}

// An answer of the largest size arrives, though its request is in a trace: rather
// without that.
func TestALargeAnswerToATracedRequest(t *testing.T) {
	h := newHouse(t, Limits{})
	app := h.app()
	if _, err := app.Listen(h.ctx, carol, func(ctx context.Context, m *pb.Message) {
		answer := message.Answer(m, 200, nil)
		answer.Trace = nil // this program knows nothing of traces
		answer.Resource = &pb.Resource{Content: make([]byte, message.MaxSize-proto.Size(answer)-300)}
		_ = app.Send(ctx, answer)
	}); err != nil {
		t.Fatal(err)
	}
	m := recorded(alice, carol)
	m.Trace.Tracestate = "k=" + strings.Repeat("v", 500)
	answer, err := app.Request(h.ctx, m)
	if err != nil || proto.Size(answer) > message.MaxSize {
		t.Errorf("%d bytes, %v", proto.Size(answer), err)
	}
}

// Windows are counted in bytes as they were delivered: none of it is left over, however
// often messages grow on their way.
func TestWindowsDoNotLeakWithHops(t *testing.T) {
	h := newHouse(t, Limits{})
	app := h.app()
	got := h.listen(app, carol, client.Window(1<<10))
	for range 2000 {
		if err := app.Send(h.ctx, recorded(alice, carol)); err != nil {
			t.Fatal(err)
		}
		h.next(got)
	}
	in := func() *inbox {
		h.bus.table.mu.RLock()
		defer h.bus.table.mu.RUnlock()
		return h.bus.table.taker(carol)
	}()
	h.until("all credit", func() bool {
		in.stream.mu.Lock()
		defer in.stream.mu.Unlock()
		return in.underWay == 0 && in.given == 0 && in.sent.len() == 0 && in.bytes == 0
	})
}

func TestARefusalHasTheWay(t *testing.T) {
	var out syncBuffer
	h := newHouseLog(t, Limits{}, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	h.bus.table.grow()
	app := h.app()
	got := h.listen(app, alice)
	if err := app.Send(h.ctx, recorded(alice, carol)); err != nil {
		t.Fatal(err)
	}
	m := h.next(got)
	here := runtimeURL[len("hyperty-runtime://"):][:1]
	if way := hopsOf(m); m.Type != message.Response || way != here+" posted, "+here+" refused, "+here+" posted, "+here+" delivered" {
		t.Errorf("%s, %v", way, m)
	}
	if log := string(out.bytes()); !strings.Contains(log, "msg=refused") || strings.Count(log, "trace_id="+traceID) < 3 {
		t.Error(log)
	}
}

// What is wrong with a trace is told like anything else, with traces on or off.
func TestABadTraceIsRefused(t *testing.T) {
	h := newHouse(t, Limits{})
	m := ping(alice, carol)
	m.Trace = &pb.Trace{Traceparent: "x"}
	if err := h.app().Post(h.ctx, m); err == nil || !strings.Contains(err.Error(), "trace.traceparent") {
		t.Errorf("%v", err)
	}
}
