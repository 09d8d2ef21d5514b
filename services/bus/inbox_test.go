package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// posts collects the outcomes of a poster that is nobody's stream.
type posts struct {
	mu       sync.Mutex
	codes    map[uint64]int32
	over     map[uint64][]fault.Code // of settled posts
	charged  int
	sequence uint64
}

func (p *posts) component() pb.Component   { return pb.Component_COMPONENT_REGISTRY }
func (p *posts) sendBack(*post, ...string) {}
func (p *posts) settled(q *post, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over[q.sequence] = append(p.over[q.sequence], fault.CodeOf(err))
}

func (p *posts) charge(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.charged += n
}

func (p *posts) outcome(o *pb.Outcome, _ *burst) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[o.Sequence] = o.Code
}

func (p *posts) code(n uint64) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.codes[n]
}

// alone is a bus without gRPC, for what depends on time: its streams are
// written by the test.
type alone struct {
	bus *Bus
	by  *posts
}

func newAlone(t testing.TB, l Limits) *alone {
	b, err := New(Config{RuntimeURL: runtimeURL, Registry: noRegistry{}, Limits: l, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return &alone{b, &posts{codes: map[uint64]int32{}, over: map[uint64][]fault.Code{}}}
}

func (a *alone) stream(t *testing.T, address string, window uint32) *stream {
	s := newStream(a.bus, "test", pb.Component_COMPONENT_APPLICATION)
	if err := a.bus.addListener(s, &pb.ListenerChange{Address: address, Window: window}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (a *alone) end(s *stream) { a.bus.carryOut(a.bus.table.removeAll(s)) }

func (a *alone) post(to string) (sequence uint64) {
	a.by.sequence++
	p := newPost(a.by, numbered(alice, to, int(a.by.sequence)))
	p.sequence = a.by.sequence
	a.bus.post(p)
	return p.sequence
}

// taken gives what the writer would send now.
func taken(s *stream) (ids []string) {
	for f, _ := s.take(); f != nil; f, _ = s.take() {
		for _, d := range f.Deliveries {
			ids = append(ids, d.Message.Id)
		}
	}
	return ids
}

// The story of a listener that takes nothing for a while.
func TestAFullListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{QueueMessages: 4})
		s := a.stream(t, carol, 1)
		defer a.end(s)
		for range 5 {
			a.post(carol)
			taken(s) // the first uses up the window, four more fill the queue
		}
		sixth := a.post(carol)
		time.Sleep(4 * time.Second)
		seventh := a.post(carol)
		if a.by.code(5) != 200 || a.by.code(sixth) != 0 || a.by.charged == 0 {
			t.Fatalf("codes %v, %d charged", a.by.codes, a.by.charged)
		}
		s.credit(&pb.Credit{Listener: carol, Bytes: 1 << 20})
		if got := taken(s); len(got) != 1 || a.by.code(sixth) != 200 || a.by.code(seventh) != 0 {
			t.Fatalf("took %v, codes %v", got, a.by.codes)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if a.by.code(seventh) != 429 || a.by.charged != 0 {
			t.Fatalf("codes %v, %d charged", a.by.codes, a.by.charged)
		}
		if stuck := a.post(carol); a.by.code(stuck) != 429 {
			t.Fatal("a stuck listener takes more")
		}
		for range 2 { // half of the queue is free
			s.credit(&pb.Credit{Listener: carol, Bytes: 1 << 20})
			taken(s)
		}
		if again := a.post(carol); a.by.code(again) != 200 {
			t.Fatalf("codes %v", a.by.codes)
		}
	})
}

func TestAMessageIsAcceptedWhenAnyListenerHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{QueueMessages: 1})
		slow, quick := a.stream(t, carol, 1), a.stream(t, carol, 1<<20)
		defer a.end(slow)
		defer a.end(quick)
		var last uint64
		for range 3 {
			last = a.post(carol)
			taken(quick)
			if last == 1 {
				taken(slow)
			}
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if a.by.code(last) != 200 {
			t.Errorf("codes %v", a.by.codes)
		}
	})
}

// One has taken it and leaves, and then the other one refuses it: nobody has it.
func TestAMessageThatNobodyHasAnyMoreIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{QueueMessages: 1})
		slow, quick := a.stream(t, carol, 1), a.stream(t, carol, 1<<20)
		defer a.end(slow)
		var last uint64
		for range 3 { // one in its hands, one in the queue, one in the overflow
			last = a.post(carol)
			taken(slow)
			taken(quick)
		}
		a.end(quick)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		a.settledOnce(t, fault.TooMany, last)
		if a.by.code(last) != 429 {
			t.Errorf("codes %v", a.by.codes)
		}
	})
}

// What the bus says itself has room as far as the stream has any.
func TestRefusalsPassAFullQueue(t *testing.T) {
	a := newAlone(t, Limits{QueueMessages: 2, StreamBytes: 20 * overhead})
	s := a.stream(t, carol, 1)
	defer a.end(s)
	for n := range 50 {
		a.bus.deliver(a.bus.ownPost(numbered(alice, carol, n)))
	}
	var got []string
	for range 50 {
		got = append(got, taken(s)...)
		credit(s, carol)
	}
	if len(got) < 5 || len(got) > 20 {
		t.Errorf("%d came: %v", len(got), got)
	}
	for n, id := range got {
		if id != message.NumberID(int64(n)) {
			t.Errorf("%v came", got)
			break
		}
	}
}

func TestAListenersEndRefusesItsOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{QueueMessages: 1})
		s := a.stream(t, carol, 1)
		var last uint64
		for range 3 {
			last = a.post(carol)
			if last == 1 {
				taken(s)
			}
		}
		a.end(s)
		if a.by.code(last) != 503 || a.by.charged != 0 {
			t.Errorf("codes %v, %d charged", a.by.codes, a.by.charged)
		}
	})
}

func TestAStreamsQueuesAreBoundedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{StreamBytes: 2 * overhead})
		s := a.stream(t, carol, 0)
		defer a.end(s)
		a.post(carol)
		if second := a.post(carol); a.by.code(second) != 429 {
			t.Errorf("codes %v", a.by.codes)
		}
	})
}

// A message of any size goes through any window and any queue.
func TestALargeMessageGoesThroughASmallWindow(t *testing.T) {
	h := newHouse(t, Limits{QueueBytes: 1000})
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	r.listen(carol, 100)
	a := h.app()
	m := ping(alice, carol)
	m.Resource = &pb.Resource{Content: make([]byte, message.MaxSize-1000)}
	for range 3 {
		if err := a.Post(h.ctx, m); err != nil {
			t.Fatal(err)
		}
		d := r.delivery()
		r.send(&pb.AttachRequest{Credits: []*pb.Credit{{Listener: d.Listener, Bytes: message.MaxSize}}})
	}
}

func TestASlowReaderHoldsUpNobodyElse(t *testing.T) {
	h := newHouse(t, Limits{QueueMessages: 10, FullTime: time.Hour})
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	r.listen(carol, 1) // never gives credit
	r.listen(bob, 0)
	a := h.app()
	for i := range 100 { // most of them wait
		if err := a.Send(h.ctx, numbered(alice, carol, i)); err != nil {
			t.Fatal(err)
		}
	}
	if d := r.delivery(); d.Message.Id != "0" {
		t.Errorf("first came %v", d)
	}
	// Another listener of the same stream, from the same poster.
	for i := range 100 {
		if err := a.Post(h.ctx, numbered(alice, bob, i)); err != nil {
			t.Fatal(err)
		}
		if d := r.delivery(); d.Listener != bob || d.Message.Id != message.NumberID(int64(i)) {
			t.Fatalf("got %v", d)
		}
	}
	// The outcomes of the slow stream itself, and other streams.
	r.listen("hyperty://a.example/third", 0)
	h.echo(h.app(), "hyperty://a.example/dave")
	if _, err := a.Request(h.ctx, ping(alice, "hyperty://a.example/dave")); err != nil {
		t.Error(err)
	}
}

// The poster is not read from once it has overdrawn, and is again when the
// listener takes something.
func TestBackpressure(t *testing.T) {
	h := newHouse(t, Limits{QueueMessages: 10, HeldBytes: 10_000, FullTime: time.Hour})
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	r.listen(carol, 1)
	a := h.app()
	h.listen(a, alice)
	if err := a.Post(h.ctx, ping(alice, alice)); err != nil { // else all may come before its source is known
		t.Fatal(err)
	}
	const n = 5000
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := a.Send(h.ctx, numbered(alice, carol, i)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	h.until("the poster being held", func() bool { return h.value("holds_total", "") > 0 })
	for i := 0; i < n; {
		resp := r.recv()
		for _, d := range resp.Deliveries {
			if d.Message.Id != message.NumberID(int64(i)) {
				t.Fatalf("got %s, want %d", d.Message.Id, i)
			}
			i++
			r.send(&pb.AttachRequest{Credits: []*pb.Credit{{Listener: carol, Bytes: 1 << 20}}})
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// A stream that floods its own listener is refused rather than held, since its
// credit would be held too.
func TestAStreamThatFloodsItself(t *testing.T) {
	h := newHouse(t, Limits{QueueMessages: 10, HeldBytes: 10_000, FullTime: time.Hour})
	a := h.app()
	got := make(chan struct{}, 10_000)
	if _, err := a.Listen(h.ctx, carol, func(context.Context, *pb.Message) { got <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(h.ctx, numbered(alice, carol, -1)); err != nil { // so that nothing waits for its source or its route
		t.Fatal(err)
	}
	<-got
	const n = 5000
	for i := range n {
		if err := a.Send(h.ctx, numbered(alice, carol, i)); err != nil {
			t.Fatal(err)
		}
	}
	h.until("an end for each", func() bool {
		return len(got)+int(h.value("refused_total", reasonQueueFull)) == n
	})
}

// A client that takes nothing at all, with thousands of answers waiting for it,
// is not read from any more.
func TestAClientThatDoesNotRead(t *testing.T) {
	h := newHouse(t, Limits{HeldBytes: 10_000})
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	other := h.app()
	h.listen(other, carol)
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	posting := make(chan struct{})
	go func() {
		defer close(posting)
		for i := 0; ctx.Err() == nil; i++ {
			if r.call.Send(&pb.AttachRequest{Posts: []*pb.Post{{Sequence: uint64(i + 1), Message: numbered(alice, carol, i)}}}) != nil {
				return
			}
		}
	}()
	h.until("the poster being held", func() bool { return h.value("holds_total", "") > 0 })
	if err := other.Post(h.ctx, ping(alice, carol)); err != nil && fault.CodeOf(err) != fault.TooMany {
		t.Error(err)
	}
	cancel()
	go func() { // let it go
		for {
			if _, err := r.call.Recv(); err != nil {
				return
			}
		}
	}()
	<-posting
	_ = r.call.CloseSend()
	h.until("the end of the stream", func() bool { return h.value("streams", "") == 1 })
}

func TestFramesAreBatches(t *testing.T) {
	a := newAlone(t, Limits{})
	s := a.stream(t, carol, 1<<20)
	defer a.end(s)
	for range 2*message.MaxFrames + 1 {
		a.post(carol)
	}
	for _, want := range []int{message.MaxFrames, message.MaxFrames, 1} {
		if f, _ := s.take(); len(f.GetDeliveries()) != want {
			t.Errorf("a frame of %d, want %d", len(f.GetDeliveries()), want)
		}
	}
	for i, size := range []int{7 << 10, 7 << 10, 7 << 10, 20 << 10, 20 << 10, 20 << 10, 7 << 10, 70 << 10} {
		m := numbered(alice, carol, i)
		m.Resource = &pb.Resource{Content: make([]byte, size)}
		a.bus.post(newPost(a.by, m))
	}
	for i, want := range []int{2, 3, 1, 1, 1} { // 7 7, 7 20 20, 20, 7, 70
		if f, _ := s.take(); len(f.GetDeliveries()) != want {
			t.Errorf("frame %d of long messages has %d, want %d", i, len(f.GetDeliveries()), want)
		}
	}
	if f, _ := s.take(); f != nil {
		t.Error("a frame of nothing")
	}
}

// The events that tell the way of a message.
func TestTrace(t *testing.T) {
	var out syncBuffer
	h := newHouseLog(t, Limits{}, slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	h.registry.set(bob, nodeURL)
	got := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	if err := h.app().Post(h.ctx, ping(alice, bob)); err != nil {
		t.Fatal(err)
	}
	h.next(got)
	want := []map[string]string{
		{"msg": "listener added", "address": nodeURL, "leads_to": "", "component": "node_stub"},
		{"msg": "posted", "type": "ping", "from": alice, "to": bob, "component": "application"},
		{"msg": "route learned", "to": bob, "next": nodeURL, "reason": "message_node"},
		{"msg": "delivered", "type": "ping", "from": alice, "to": bob, "listener": nodeURL, "component": "node_stub"},
	}
	for line := range bytes.Lines(out.bytes()) {
		var event map[string]any
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatal(err)
		}
		if len(want) == 0 || event["msg"] != want[0]["msg"] {
			continue
		}
		for k, v := range want[0] {
			if event[k] != v {
				t.Errorf("%s: %s is %v, want %s", want[0]["msg"], k, event[k], v)
			}
		}
		want = want[1:]
	}
	if len(want) > 0 {
		t.Errorf("missing: %v in\n%s", want[0], out.bytes())
	}
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}
