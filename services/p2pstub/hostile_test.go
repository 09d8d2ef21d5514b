package p2pstub

import (
	"bytes"
	"context"
	"fmt"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/protocol/message"
)

// invitationOf gives one without a description, as an older peer sends it.
func invitationOf(runtimeURL string, object int) *pb.Message {
	return &pb.Message{
		Id: fmt.Sprint(object), Type: message.Create, From: fmt.Sprintf("connection://example/x%d/subscription", object),
		Body: message.MarshalBody(map[string]any{
			"source": address.Requester(runtimeURL, "1"), "value": map[string]string{"runtime": runtimeURL},
		}),
	}
}

// A flood of invitations leaves room for the connections that this runtime starts,
// and those that are over leave room for others.
func TestFloodOfInvitations(t *testing.T) {
	w := newWorld()
	limits := testLimits()
	limits.Invited, limits.SetUp = 3, 2*time.Second
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, limits)
	for i := range 10 {
		m := invitationOf(fmt.Sprintf("hyperty-runtime://example/m%d", i), i)
		m.To = b.handler
		want := fault.OK
		if i >= 3 {
			want = fault.TooMany
		}
		if code := b.ask(t, m); code != want {
			t.Errorf("invitation %d: %d, want %d", i, code, want)
		}
	}
	setUp(t, b, a)
	b.settled(t, "the flood is not over", func() bool {
		b.stub.mu.Lock()
		defer b.stub.mu.Unlock()
		return len(b.stub.all) == 1 && b.stub.invited == 0
	})
	m := invitationOf("hyperty-runtime://example/late", 99)
	m.To = b.handler
	if code := b.ask(t, m); code != fault.OK {
		t.Errorf("after the flood: %d", code)
	}
}

// A runtime that connects anew again and again leaves nothing of what was before,
// and those that were overtaken before they began do not begin.
func TestInvitedAnewAgainAndAgain(t *testing.T) {
	limits := testLimits()
	limits.SetUp = time.Hour // the last one stays
	b := newWorld().join(t, bob, limits)
	var first weak.Pointer[peer]
	for i := range 20 {
		m := invitationOf(alice, i)
		m.To = b.handler
		b.bus.deliver(m)
		b.settled(t, "the invitation is not taken", func() bool {
			b.stub.mu.Lock()
			defer b.stub.mu.Unlock()
			p := b.stub.peers[alice]
			if p == nil || p.now.object != fmt.Sprintf("connection://example/x%d", i) {
				return false
			}
			if i == 0 {
				first = weak.Make(p)
			}
			return true
		})
	}
	late, look := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for first.Value() != nil || b.total() != 1 {
		goruntime.GC()
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("the first one is kept by those that came after it; there are %d", b.total())
		}
	}
}

// total is how many peers there are, those that are being released among them.
func (r *runtime) total() int {
	r.stub.mu.Lock()
	defer r.stub.mu.Unlock()
	return len(r.stub.all)
}

// Only the runtime's own registry decides what leads over a connection.
func TestStrangersMeddleWithTheMiniBus(t *testing.T) {
	a, b := pair(t)
	setUp(t, a, b)
	var urls []string
	for i := range 1000 {
		urls = append(urls, fmt.Sprint("hyperty://example/", i))
	}
	m := &pb.Message{
		Id: "1", Type: message.Subscribe, From: address.Registry(alice), To: b.handler,
		Body: message.MarshalBody(map[string]any{"subscribe": urls, "resource": alice}),
	}
	if code := b.ask(t, m); code != fault.Forbidden {
		t.Errorf("subscribe: %d", code)
	}
	m.Type, m.Body = message.Unsubscribe, message.MarshalBody(map[string]any{"unsubscribe": []string{address.P2PConnectionURL(bob, "b")}})
	if code := b.ask(t, m); code != fault.Forbidden {
		t.Errorf("unsubscribe: %d", code)
	}
	b.stub.mu.Lock()
	defer b.stub.mu.Unlock()
	if len(b.stub.minibus) != 1 {
		t.Errorf("%d addresses", len(b.stub.minibus))
	}
}

// An address that comes for a connection that ends meanwhile is not kept.
func TestAddressForAConnectionThatIsOver(t *testing.T) {
	a, b := pair(t)
	setUp(t, a, b)
	b.stub.mu.Lock()
	p := b.stub.peers[alice]
	b.stub.mu.Unlock()
	if _, err := b.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: b.handler, RemoteRuntimeUrl: alice}); err != nil {
		t.Fatal(err)
	}
	b.settled(t, "a peer is left", b.empty)
	if err := b.stub.lead(t.Context(), "late", p); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("%v", err)
	}
	b.stub.mu.Lock()
	defer b.stub.mu.Unlock()
	if len(b.stub.minibus) != 0 {
		t.Errorf("%v", b.stub.minibus)
	}
}

// Only the object of a peer of ours tells of its own end; of an older peer it is that, its stub
// or its runtime.
func TestStrangersEndAConnection(t *testing.T) {
	for _, older := range []bool{false, true} {
		w := newWorld()
		w.meddle = func(m *pb.Message) bool {
			if older && m.Type == message.Create {
				m.Body = bytes.ReplaceAll(m.Body, []byte(`"atStub":true,`), nil)
			}
			return false
		}
		a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
		setUp(t, a, b)
		object := a.peerWith(t, bob).ours()
		ends := func(from, to string) fault.Code {
			return b.ask(t, &pb.Message{
				Id: "1", Type: message.Delete, From: from, To: to, Body: message.MarshalBody(map[string]any{"resource": object}),
			})
		}
		for _, mallory := range []string{
			"hyperty-runtime://example/mallory/sm", "hyperty://example/mallory", "mallory",
			"connection://example/mallory/subscription", "runtime://example/p2prequester/mallory",
		} {
			if code := ends(mallory, b.handler); code != fault.Forbidden {
				t.Errorf("older %v: %s: %d", older, mallory, code)
			}
			if older {
				b.untilRead(t, alice) // it listens there by then
				if code := ends(mallory, object+address.ChangesSuffix); code != fault.Forbidden {
					t.Errorf("at the object's changes: %s: %d", mallory, code)
				}
			}
		}
		if b.empty() {
			t.Errorf("older %v: the connection has ended", older)
		}
		if code := ends(a.url+"/sm", b.handler); older != (code == fault.OK) {
			t.Errorf("older %v: %d to itself", older, code)
		}
	}
}

// However many updates come behind a gap, the object is asked for once at a time.
func TestManyGaps(t *testing.T) {
	w := newWorld()
	var mu sync.Mutex
	reads := 0
	w.meddle = func(m *pb.Message) bool {
		mu.Lock()
		defer mu.Unlock()
		if m.Type == message.Read {
			reads++
			return true
		}
		return false
	}
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	a.stub.mu.Lock()
	object := a.stub.peers[bob].ours()
	a.stub.mu.Unlock()
	for i := range 100 {
		b.bus.deliver(&pb.Message{
			Id: fmt.Sprint(i), Type: message.Update, From: object, To: b.handler,
			Body: fmt.Appendf(nil, `{"version":%d,"attribute":"x","value":1}`, 1000+i),
		})
	}
	b.bus.deliver(&pb.Message{
		Id: "1", Type: message.Delete, From: object + address.SubscriptionSuffix, To: b.handler, Body: []byte(`{"resource":"` + object + `"}`),
	})
	b.settled(t, "a peer is left", b.empty)
	mu.Lock()
	defer mu.Unlock()
	if reads > 1 {
		t.Errorf("it was asked for %d times", reads)
	}
}

// A gap that the object does not fill when it is read keeps nobody busy.
func TestGapThatStays(t *testing.T) {
	w := newWorld()
	read := make(chan struct{}, 1)
	w.meddle = func(m *pb.Message) bool {
		if m.Type == message.Read {
			select {
			case read <- struct{}{}:
			default:
			}
		}
		return false
	}
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	b.bus.deliver(&pb.Message{
		Id: "1", Type: message.Update, From: a.peerWith(t, bob).ours(), To: b.handler,
		Body: []byte(`{"version":1000,"attribute":"x","value":1}`),
	})
	<-read
	b.untilRead(t, alice)
}

// untilRead waits until a runtime's object is not being read.
func (r *runtime) untilRead(t *testing.T, remote string) {
	t.Helper()
	p := r.peerWith(t, remote)
	late := time.After(patience)
	for reading := make(chan bool, 1); ; {
		p.post(func() { reading <- p.reading })
		select {
		case busy := <-reading:
			if !busy {
				return
			}
		case <-late:
			t.Fatal("the object is read again and again")
		}
	}
}

// A request to the stub itself, over the data channel, gets its refusal.
func TestRequestToTheStubOverTheChannel(t *testing.T) {
	a, b := pair(t)
	setUp(t, a, b)
	a.stub.mu.Lock()
	c := a.stub.peers[bob].out.Load()
	a.stub.mu.Unlock()
	if _, err := c.add(codec.Bare(text(7, "hyperty://example/a", b.handler, "x"))); err != nil {
		t.Fatal(err)
	}
	m := a.arrived(t)
	if code, _ := message.Result(m); code != fault.BadRequest || m.From != b.handler || m.Id != "7" {
		t.Errorf("%v", m)
	}
}

// What the bus refuses as its source is not the peer's has its refusal too: it goes to the
// peer that sent it, whosever address that is.
func TestRefusalOfASource(t *testing.T) {
	a, b := pair(t)
	setUp(t, a, b)
	request := text(7, "hyperty://example/unknown", "hyperty://example/b", "x")
	b.bus.deliverAs(b.handler, message.Answer(text(8, b.handler, "hyperty://example/b", "x"), 200, nil)) // to the stub itself
	for _, of := range []string{"hyperty-runtime://example/another", a.url} {
		refusal := message.Refuse(request, fault.New(fault.Forbidden, "of %s", of))
		refusal.Source = of
		b.bus.deliverAs(b.handler, refusal)
	}
	m := a.arrived(t)
	code, why := message.Result(m)
	if code != fault.Forbidden || fault.From(why).Description != "of "+a.url || m.To != request.From || m.Id != request.Id || m.Source != "" {
		t.Errorf("%v", m)
	}
}

// A request of an older peer that cannot be delivered has its refusal too.
func TestARequestThatIsWrongInTheOlderFraming(t *testing.T) {
	w := newWorld()
	w.meddle = func(m *pb.Message) bool {
		m.Body = bytes.ReplaceAll(m.Body, []byte(`"framing":["peerbus.v1"]`), []byte(`"framing":[]`))
		return false
	}
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	a.stub.mu.Lock()
	c := a.stub.peers[bob].out.Load()
	a.stub.mu.Unlock()
	for _, rest := range []string{`"type":"response","body":[]`, `"type":"ping","body":[]`} { // a response is not answered
		packet := fmt.Sprintf(`{"uuid":"u","data":{"dataSize":0,"textMessage":{"id":7,"from":"hyperty://example/a","to":"x",%s}}}`, rest)
		if err := c.raw.Write(framing.Packet{Text: true, Data: []byte(packet)}); err != nil {
			t.Fatal(err)
		}
	}
	m := a.arrived(t)
	if code, why := message.Result(m); code != fault.BadRequest || !strings.Contains(why.Error(), "body") || m.Id != "7" || m.From != "x" {
		t.Errorf("%v", m)
	}
}

// Every series is there before its first event.
func TestSeriesAreThereFromTheStart(t *testing.T) {
	_, b := pair(t)
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]int{}
	for _, f := range families {
		have[strings.TrimPrefix(f.GetName(), "peerbus_p2pstub_")] = len(f.GetMetric())
	}
	for name, want := range map[string]int{
		"peers": 10, "setups_total": 6, "setup_seconds": 2, "messages_total": 4, "bytes_total": 4,
		"drops_total": 7, "allocations_total": 2, "watchers_cut_total": 1,
	} {
		if have[name] != want {
			t.Errorf("%s has %d series, want %d", name, have[name], want)
		}
	}
}

// What the node is told to free while the stub stops is told again.
func TestAddressesAreFreedAcrossTheStop(t *testing.T) {
	a, _ := pair(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	one := a.stub.addresses
	one.release(objectAddress{url: "connection://example/77"})
	_ = one.giveBack(over)
	a.stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.freed["connection://example/77"] {
		t.Error("it is not freed")
	}
}

// An allocation whose answer is lost is repeated, and takes no more addresses. What could not be
// given back is given back later.
func TestAMessageNodeThatDoesNotAnswerLosesNoAddresses(t *testing.T) {
	limits := testLimits()
	limits.Request = 20 * time.Millisecond
	w := newWorld()
	w.lost = 2
	a := w.join(t, alice, limits)
	one := a.stub.addresses
	held, err := one.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	if n := w.number; n > limits.orDefaults().Pool+1 {
		t.Errorf("%d addresses are allocated", n)
	}
	w.deaf, w.full = 2, 2
	w.mu.Unlock()
	one.release(held)
	late, look := time.After(patience), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for freed := false; !freed; {
		select {
		case <-look.C:
			w.mu.Lock()
			freed = w.freed[held.url]
			w.mu.Unlock()
		case <-late:
			t.Fatal("it is not freed")
		}
	}
}

// An allocation may be done by half when it is refused for want of room, or when the stub stops
// before the answer is there: it is repeated, and what it gave is freed.
func TestAnAllocationWithoutAnAnswerIsFreed(t *testing.T) {
	limits := testLimits()
	w := newWorld()
	w.crowded, w.lost = 1, 1 // refused, then not answered
	a := w.join(t, alice, limits)
	late, look := time.After(patience), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for silent := false; !silent; {
		select {
		case <-look.C:
			w.mu.Lock()
			silent = w.crowded == 0 && w.lost == 0
			w.mu.Unlock()
		case <-late:
			t.Fatal("it is not asked for")
		}
	}
	a.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.given) != 1 || w.number == 0 {
		t.Errorf("%d allocations of %d addresses", len(w.given), w.number)
	}
	for n := range w.number {
		if url := fmt.Sprintf("connection://example/%d", n+1); !w.freed[url] {
			t.Errorf("%s is not freed", url)
		}
	}
}

// No more is kept to be given back than may be.
func TestWhatIsKeptToBeGivenBackIsBounded(t *testing.T) {
	limits := testLimits()
	limits.Request, limits.Allocate, limits.GiveBack = 20*time.Millisecond, 5, 10
	w := newWorld()
	a := w.join(t, alice, limits)
	w.mu.Lock()
	w.deaf = 1 << 20
	w.mu.Unlock()
	one := newAddresses(a.stub.bus, a.stub.runtime, limits.orDefaults(), a.stub.log, a.stub.metrics)
	for n := range 100 {
		one.done = append(one.done, fmt.Sprint("connection://example/many-", n))
	}
	_ = one.giveBack(t.Context())
	if n := len(one.done); n != limits.GiveBack {
		t.Errorf("%d are kept", n)
	}
}

// However many addresses are given back, no request has more than a node takes.
func TestManyAddressesAreFreedInParts(t *testing.T) {
	a, _ := pair(t)
	many := 3 * a.stub.addresses.limits.Allocate
	for n := range many {
		a.stub.addresses.release(objectAddress{url: fmt.Sprint("connection://example/many-", n)})
	}
	a.stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.freed) < many || a.largest > 2*a.stub.addresses.limits.Allocate {
		t.Errorf("%d addresses of %d are freed, %d at once", len(a.freed), many, a.largest)
	}
}

// Whatever comes over the heartbeat channel, and however much, the connection goes on.
func TestFloodOfHeartbeats(t *testing.T) {
	a, b := pair(t)
	overA, overB := setUp(t, a, b)
	for _, r := range []*runtime{a, b} {
		r.sees(t, "no round trip", func(p *pb.Peer) bool { return p.RoundTrip.AsDuration() > 0 })
	}
	a.stub.mu.Lock()
	raw := a.stub.peers[bob].pulse.Load().channel.Load()
	a.stub.mu.Unlock()
	for i := range 20_000 {
		frame := []byte{byte(i % 4), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, byte(i >> 8), byte(i)}
		if i%1000 == 0 {
			frame = make([]byte, 60_000)
		}
		if err := raw.Write(framing.Packet{Data: frame, Text: i%7 == 0}); err != nil {
			t.Fatal(err)
		}
	}
	a.through(t, overA, text(1, "hyperty://example/a", "hyperty://example/b", "there"))
	b.arrived(t)
	b.through(t, overB, text(2, "hyperty://example/b", "hyperty://example/a", "and back"))
	a.arrived(t)
}

// A wish for another restart of ICE has to wait; that of a requester less.
func TestHaste(t *testing.T) {
	for _, r := range []role{requester, handler} {
		p := &peer{role: r}
		if p.hasty() {
			t.Errorf("%v: before the first one", r)
		}
		if p.regenerated = time.Now(); !p.hasty() {
			t.Errorf("%v: right after one", r)
		}
		if p.regenerated = time.Now().Add(-repeatEvery); p.hasty() {
			t.Errorf("%v: when it is said again", r)
		}
	}
}
