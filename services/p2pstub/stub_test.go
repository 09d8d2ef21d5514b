package p2pstub

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

var (
	churn = flag.Int("churn", 30, "connections that TestChurn sets up one after another")
	burst = flag.Int("burst", 20, "connections that TestChurnAtOnce sets up")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	alice = "hyperty-runtime://example/alice"
	bob   = "hyperty-runtime://example/bob"
)

func pair(t testing.TB) (a, b *runtime) {
	t.Helper()
	w := newWorld()
	return w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
}

// setUp connects a to b, and gives the p2p connection URLs of both.
func setUp(t testing.TB, a, b *runtime) (overA, overB string) {
	t.Helper()
	stub, err := a.connect(t, b)
	if err != nil {
		t.Fatal(err)
	}
	a.await(t, status.Live)
	b.await(t, status.Live)
	return a.register(t, stub, b.url, "a"), b.register(t, b.handler, a.url, "b")
}

func text(id int, from, to, content string) *pb.Message {
	return &pb.Message{
		Id: fmt.Sprint(id), Type: "create", From: from, To: to,
		Body: message.MarshalBody(map[string]string{"value": content}),
	}
}

func TestSetUp(t *testing.T) {
	a, b := pair(t)
	if _, err := a.connect(t, b); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*runtime{a, b} {
		states, last := r.await(t, status.Live)
		if got := strings.Join(states, " "); got != "created in-progress live" {
			t.Errorf("%s: %s", r.url, got)
		}
		if want := map[string]string{alice: bob, bob: alice}[r.url]; last.Remote != want {
			t.Errorf("%s: remote %s", r.url, last.Remote)
		}
	}
	for r, role := range map[*runtime]string{a: "requester", b: "handler"} {
		for phase := range setupPhases {
			if n := r.counted(t, "setup_phase_seconds", phase.String(), role); n != 1 {
				t.Errorf("%s: phase %s of a %s has %v observations", r.url, phase, role, n)
			}
		}
		for _, direction := range []string{"in", "out"} {
			for _, kind := range []string{"stun", "dtls"} {
				if r.counted(t, "udp_datagrams_total", direction, kind) == 0 || r.counted(t, "udp_bytes_total", direction, kind) < 20 {
					t.Errorf("%s: no %s %s at the socket", r.url, kind, direction)
				}
			}
		}
	}
	a.settled(t, "no peer with a pair", func() bool {
		p := a.peers()
		return len(p) == 1 && p[0].Framing == framing.PeerBus && strings.HasPrefix(p[0].Object, "connection://") && p[0].CandidatePair != "" &&
			p[0].State == pb.ConnectionState_CONNECTION_STATE_LIVE
	})
}

func TestMessagesBothWays(t *testing.T) {
	a, b := pair(t)
	overA, overB := setUp(t, a, b)
	sizes := []int{1, 1000, 16 << 10, 100_000, 3 << 20}
	for i, size := range sizes {
		content := strings.Repeat("x", size)
		a.through(t, overA, text(i, "hyperty://example/a", "hyperty://example/b", content))
		if m := b.arrived(t); body(t, m)["value"] != content || m.Via != b.handler || m.Id != fmt.Sprint(i) {
			t.Fatalf("%d bytes: id %s, via %s", size, m.Id, m.Via)
		}
		reply := text(i, "hyperty://example/b", "hyperty://example/a", content)
		reply.Resource = &pb.Resource{Content: bytes.Repeat([]byte{1, 0, 255}, size/3), MimeType: "image/png"}
		reply.Via = "somewhere else"
		if size < 1<<20 {
			b.through(t, overB, reply)
			m := a.arrived(t)
			if !bytes.Equal(m.Resource.Content, reply.Resource.Content) || m.Via == "" || m.Via == reply.Via {
				t.Fatalf("%d bytes back: %d, via %s", size, len(m.Resource.Content), m.Via)
			}
		}
	}
	const many = 5000
	for i := range many {
		a.through(t, overA, text(i, "hyperty://example/a", "hyperty://example/b", "y"))
	}
	seen := map[string]bool{}
	for range many {
		seen[b.arrived(t).Id] = true
	}
	if len(seen) != many {
		t.Errorf("%d of %d arrived", len(seen), many)
	}
	want := float64(len(sizes) + many)
	if got := a.counted(t, "messages_total", "out", framing.PeerBus); got != want {
		t.Errorf("%v messages counted out, want %v", got, want)
	}
	if got := b.counted(t, "messages_total", "in", framing.PeerBus); got != want {
		t.Errorf("%v messages counted in, want %v", got, want)
	}
}

func TestWhatIsNotPassedOn(t *testing.T) {
	a, b := pair(t)
	overA, _ := setUp(t, a, b)
	stub := a.peers()[0].StubUrl
	loop := text(1, "hyperty://example/b", "hyperty://example/b2", "round")
	loop.Via = stub
	a.through(t, overA, loop)
	b.stub.mu.Lock()
	changes := b.stub.peers[alice].ours() + address.ChangesSuffix
	b.stub.mu.Unlock()
	a.through(t, overA, text(2, "hyperty://example/a", changes, "an older observer's copy"))
	a.through(t, overA, text(3, "hyperty://example/a", b.handler, "for the stub"))
	a.through(t, overA, text(4, "hyperty://example/a", "hyperty://example/b", "this one"))
	if m := b.arrived(t); m.Id != "4" {
		t.Errorf("%v arrived", m)
	}
	for reason, r := range map[string]*runtime{dropLoop: a, dropChanges: b, dropStub: b} {
		if got := r.counted(t, "drops_total", reason); got != 1 {
			t.Errorf("%v dropped as %s", got, reason)
		}
	}
}

func TestNameThatLeadsNowhere(t *testing.T) {
	a, b := pair(t)
	setUp(t, a, b)
	m := text(1, "app", "hyperty://example/b", "x")
	a.through(t, alice+"/p2pconnection/unknown", m)
	select {
	case resp := <-a.bus.local:
		if code, _ := message.Result(resp); code != fault.Unavailable || resp.Id != "1" {
			t.Errorf("%v", resp)
		}
	case <-time.After(patience):
		t.Error("no refusal")
	}
}

func TestCloseFromEitherSide(t *testing.T) {
	for _, closer := range []string{alice, bob} {
		t.Run(closer, func(t *testing.T) {
			w := newWorld()
			w.foreign = closer == bob
			a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
			overA, _ := setUp(t, a, b)
			r, req := a, &pb.P2PStubCloseRequest{StubUrl: a.peers()[0].StubUrl, Reason: "enough"}
			if closer == bob {
				r, req = b, &pb.P2PStubCloseRequest{StubUrl: b.handler, RemoteRuntimeUrl: alice, Reason: "enough"}
			}
			a.stub.mu.Lock()
			objects := []string{a.stub.peers[bob].ours(), a.stub.peers[bob].now.object}
			a.stub.mu.Unlock()
			if _, err := r.api.Close(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			if _, last := r.await(t, status.Disconnected); last.Reason != "enough" {
				t.Errorf("reason %q", last.Reason)
			}
			for _, r := range []*runtime{a, b} {
				r.settled(t, "a peer is left", func() bool { return len(r.peers()) == 0 })
			}
			a.through(t, overA, text(9, "app", "hyperty://example/b", "too late"))
			if resp := <-a.bus.local; resp.Id != "9" {
				t.Errorf("%v", resp)
			}
			a.stop()
			b.stop()
			a.mu.Lock()
			defer a.mu.Unlock()
			for _, o := range objects {
				below := o + address.SubscriptionSuffix
				if !a.freed[o] || a.freed[below] == w.foreign || a.left[below] != w.foreign || a.asked[below] != w.foreign {
					t.Errorf("%s: freed %v %v, subscribed %v, left %v", o, a.freed[o], a.freed[below], a.asked[below], a.left[below])
				}
				if a.asked[o+address.ChangesSuffix] {
					t.Errorf("changes of %s are subscribed", o)
				}
			}
			want := a.number - 1 // one number went to the requester
			if !w.foreign {
				want *= 2
			}
			if len(a.freed) != want {
				t.Errorf("%d of %d addresses freed", len(a.freed), want)
			}
		})
	}
}

// Both at once: one connection is left, and it is that of the runtime whose URL
// sorts first.
func TestGlare(t *testing.T) {
	a, b := pair(t)
	for i := range 10 {
		var wg sync.WaitGroup
		for _, ends := range [][2]*runtime{{a, b}, {b, a}} {
			wg.Go(func() {
				_, err := ends[0].connect(t, ends[1])
				if code := grpcstatus.Code(err); code != codes.OK && code != codes.AlreadyExists {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		for _, r := range []*runtime{a, b} {
			r.settled(t, fmt.Sprint("round ", i, ": no one live peer"), func() bool {
				p := r.peers()
				return len(p) == 1 && p[0].State == pb.ConnectionState_CONNECTION_STATE_LIVE
			})
		}
		pa, pb0 := a.peers()[0], b.peers()[0]
		if pa.Role == pb0.Role {
			t.Fatalf("round %d: both are %v", i, pa.Role)
		}
		if _, err := a.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: pa.StubUrl, RemoteRuntimeUrl: bob, Reason: "next"}); err != nil {
			t.Fatal(err)
		}
		for _, r := range []*runtime{a, b} {
			r.settled(t, "a peer is left", func() bool {
				r.stub.mu.Lock()
				defer r.stub.mu.Unlock()
				return len(r.stub.all) == 0
			})
		}
	}
}

// A p2pstub that has restarted connects anew, while the other side still holds
// the old connection; the same when it is the handler's that restarts.
func TestRestart(t *testing.T) {
	w := newWorld()
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	old := b.stub
	old.mu.Lock()
	lingering := old.peers[alice]
	old.mu.Unlock()
	b.killed()
	again := w.join(t, bob, testLimits())
	if _, err := again.connect(t, a); err != nil {
		t.Fatal(err)
	}
	states, _ := a.await(t, status.Live)
	if got := strings.Join(states, ", "); got != "disconnected the other side connects anew, created, in-progress, live" {
		t.Errorf("%s", got)
	}
	again.await(t, status.Live)
	overB, overA := again.register(t, again.peers()[0].StubUrl, alice, "b"), a.register(t, a.handler, bob, "a")
	a.through(t, overA, text(1, "hyperty://example/a", "hyperty://example/b", "there"))
	again.arrived(t)
	again.through(t, overB, text(2, "hyperty://example/b", "hyperty://example/a", "and back"))
	a.arrived(t)
	if p := a.peers(); len(p) != 1 || p[0].Role != pb.ConnectionRole_CONNECTION_ROLE_HANDLER {
		t.Errorf("%v", p)
	}
	<-lingering.done // its channel was closed by the replacement
}

func TestInvitationRepeated(t *testing.T) {
	w := newWorld()
	var mu sync.Mutex
	var invitation *pb.Message
	w.meddle = func(m *pb.Message) bool {
		mu.Lock()
		defer mu.Unlock()
		if m.Type == message.Create && strings.HasPrefix(m.To, bob) {
			invitation = m
		}
		return false
	}
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	mu.Lock()
	m := message.Clone(invitation)
	mu.Unlock()
	if code := b.ask(t, m); code != fault.OK {
		t.Errorf("the same invitation: %d", code)
	}
	m.Body = bytes.ReplaceAll(m.Body, []byte(`"resource":"connection://example/`), []byte(`"resource":"connection://example/x`))
	m.Body = bytes.Replace(m.Body, []byte(`"created":"2`), []byte(`"created":"1`), 1)
	if code := b.ask(t, m); code != fault.Conflict {
		t.Errorf("an older invitation: %d", code)
	}
	if p := b.peers(); len(p) != 1 || p[0].State != pb.ConnectionState_CONNECTION_STATE_LIVE {
		t.Errorf("%v", p)
	}
}

func TestBadInvitations(t *testing.T) {
	_, b := pair(t)
	for content, want := range map[string]fault.Code{
		`{}`:           fault.BadRequest,
		`{"value":{}}`: fault.BadRequest,
		`{"source":"s","value":{"runtime":"nonsense"}}`:                                                         fault.BadRequest,
		`{"source":"hyperty-runtime://example/bob/p2prequester/1","value":{"runtime":"` + bob + `"}}`:           fault.BadRequest,
		`{"source":"hyperty-runtime://example/mallory/p2prequester/1","value":{"runtime":"` + alice + `"}}`:     fault.Forbidden,
		`{"source":"s","resource":"comm://example/room","value":{"runtime":"` + alice + `"}}`:                   fault.BadRequest,
		`{"source":"` + strings.Repeat("s", 3000) + `","value":{"runtime":"` + alice + `","data":{"owner":3}}}`: fault.BadRequest,
	} {
		m := &pb.Message{Id: "1", Type: "create", From: "connection://example/9/subscription", To: b.handler, Body: []byte(content)}
		if code := b.ask(t, m); code != want {
			t.Errorf("%.80s: %d, want %d", content, code, want)
		}
	}
	for from, codes := range map[string]map[string]fault.Code{
		"x":                   {"read": 400, "subscribe": 403, "delete": 400, "unsubscribe": 403},
		address.Registry(bob): {"read": 400, "subscribe": 400, "delete": 400, "unsubscribe": 200},
	} {
		for typ, want := range codes {
			if code := b.ask(t, &pb.Message{Id: "1", Type: typ, From: from, To: b.handler}); code != want {
				t.Errorf("%s from %s: %d, want %d", typ, from, code, want)
			}
		}
	}
	// A description that cannot be used fails its set-up, with the reason.
	m := &pb.Message{Id: "1", Type: "create", From: "connection://example/9/subscription", To: b.handler, Body: []byte(
		`{"source":"r","value":{"runtime":"` + alice + `","data":{"connectionDescription":{"sdp":"nonsense","type":"offer"}}}}`)}
	if code := b.ask(t, m); code != fault.OK {
		t.Errorf("%d", code)
	}
	if _, last := b.await(t, status.Failed); !strings.Contains(last.Reason, "description") {
		t.Errorf("reason %q", last.Reason)
	}
}

func TestDeadline(t *testing.T) {
	w := newWorld()
	w.meddle = func(m *pb.Message) bool { return m.Type == message.Create }
	limits := testLimits()
	limits.SetUp = 300 * time.Millisecond
	a, b := w.join(t, alice, limits), w.join(t, bob, limits)
	if _, err := a.connect(t, b); err != nil {
		t.Fatal(err)
	}
	states, last := a.await(t, status.Failed)
	if want := "the set-up took longer than 300ms, waiting for the answer to the invitation"; last.Reason != want || len(states) != 2 {
		t.Errorf("%v: %s", states, last.Reason)
	}
	if n := a.counted(t, "setup_failures_total", "remote", "requester"); n != 1 {
		t.Errorf("%v failures while the other side's description was waited for", n)
	}
	a.settled(t, "a peer is left", func() bool { return len(a.peers()) == 0 })
}

// No candidate can be reached: failed, with its reason, and nothing is left.
func TestICEFails(t *testing.T) {
	w := newWorld()
	w.meddle = func(m *pb.Message) bool {
		m.Body = bytes.ReplaceAll(m.Body, []byte("127.0.0.1"), []byte("192.0.2.77"))
		return false
	}
	limits := testLimits()
	limits.Patience = 200 * time.Millisecond
	a, b := w.join(t, alice, limits), w.join(t, bob, limits)
	if _, err := a.connect(t, b); err != nil {
		t.Fatal(err)
	}
	if _, last := a.await(t, status.Failed); !strings.Contains(last.Reason, "ICE failed: no path between 1 local") {
		t.Errorf("reason %q", last.Reason)
	}
	b.await(t, status.Failed)
	for r, role := range map[*runtime]string{a: "requester", b: "handler"} {
		if n := r.counted(t, "setup_failures_total", "ice", role); n != 1 {
			t.Errorf("%s: %v failures in ICE", r.url, n)
		}
		r.settled(t, "a peer is left", func() bool { return len(r.peers()) == 0 })
	}
}

// Garbage on the data channel is counted, and the channel goes on.
func TestGarbageOnTheChannel(t *testing.T) {
	a, b := pair(t)
	overA, _ := setUp(t, a, b)
	a.stub.mu.Lock()
	raw := a.stub.peers[bob].out.Load().raw
	a.stub.mu.Unlock()
	garbage := []framing.Packet{
		{Text: true, Data: []byte("hello")}, {Data: []byte{0xff, 0xff}}, {Data: nil},
		{Data: bytes.Repeat([]byte("x"), 60_000)},
		{Data: []byte("\x12\x06\x08\x01\x10\xff\xff\xff\x7f")}, // a fragment of 256 MiB
		{Data: []byte("\x0a\x03\x12\x01x")},                    // a message without an id
	}
	for _, p := range garbage {
		if err := raw.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	a.through(t, overA, text(1, "hyperty://example/a", "hyperty://example/b", "after it"))
	if m := b.arrived(t); m.Id != "1" {
		t.Errorf("%v", m)
	}
	drops := b.counted(t, "drops_total", dropInvalid) +
		b.counted(t, "drops_total", dropTooLarge)
	if drops < 4 {
		t.Errorf("%v packets counted", drops)
	}
}

func TestDeployAgain(t *testing.T) {
	a, b := pair(t)
	a.deployHandler(t)
	stub, err := a.connect(t, b)
	if err != nil {
		t.Fatal(err)
	}
	a.await(t, status.Live)
	req := &pb.P2PStubDeployRequest{
		RuntimeUrl: alice, StubUrl: stub, Role: pb.ConnectionRole_CONNECTION_ROLE_REQUESTER,
		RemoteRuntimeUrl: bob, P2PHandler: b.handler,
	}
	if _, err := a.api.Deploy(t.Context(), req); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if _, err := a.connect(t, b); grpcstatus.Code(err) != codes.AlreadyExists {
		t.Errorf("another while it is live: %v", err)
	}
	for _, change := range []func(*pb.P2PStubDeployRequest){
		func(r *pb.P2PStubDeployRequest) { r.Role = 0 },
		func(r *pb.P2PStubDeployRequest) { r.StubUrl = "" },
		func(r *pb.P2PStubDeployRequest) { r.RemoteRuntimeUrl = "x" },
		func(r *pb.P2PStubDeployRequest) { r.P2PHandler = "" },
		func(r *pb.P2PStubDeployRequest) { r.RuntimeUrl = bob },
	} {
		bad := &pb.P2PStubDeployRequest{
			RuntimeUrl: alice, StubUrl: "x", Role: pb.ConnectionRole_CONNECTION_ROLE_REQUESTER, RemoteRuntimeUrl: bob, P2PHandler: "h",
		}
		change(bad)
		if _, err := a.api.Deploy(t.Context(), bad); err == nil {
			t.Errorf("%v was deployed", bad)
		}
	}
	if _, err := a.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: "unknown"}); err != nil {
		t.Errorf("what is gone: %v", err)
	}
}

func TestWatch(t *testing.T) {
	a, b := pair(t)
	stream, err := a.api.Watch(t.Context(), &pb.P2PStubWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil || !first.Snapshot || len(first.Stubs) != 1 || first.Stubs[0] != a.handler || len(first.Peers) != 0 {
		t.Fatalf("%v, %v", first, err)
	}
	stub, err := a.connect(t, b)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for closing := false; ; {
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		p := resp.Peers[0]
		if s := p.State.String(); len(seen) == 0 || seen[len(seen)-1] != s {
			seen = append(seen, s)
		}
		if p.State == pb.ConnectionState_CONNECTION_STATE_LIVE && !closing {
			closing = true
			if _, err := a.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: stub}); err != nil {
				t.Fatal(err)
			}
		}
		if p.Gone {
			break
		}
	}
	if got := strings.ReplaceAll(strings.Join(seen, " "), "CONNECTION_STATE_", ""); got != "CREATED IN_PROGRESS LIVE DISCONNECTED" {
		t.Errorf("%s", got)
	}
}

func TestSlowWatcherIsCut(t *testing.T) {
	w := newWorld()
	limits := testLimits()
	limits.WatchQueue, limits.Watchers = 1, 1
	a, b := w.join(t, alice, limits), w.join(t, bob, testLimits())
	_, slow, err := a.stub.watch()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.stub.watch(); fault.CodeOf(err) != fault.TooMany {
		t.Errorf("one watcher too many: %v", err)
	}
	if _, err := a.connect(t, b); err != nil {
		t.Fatal(err)
	}
	a.await(t, status.Live)
	<-slow.changes
	if _, open := <-slow.changes; open {
		t.Error("it was not cut")
	}
	a.stub.unwatch(slow)
}

// TestChurn sets connections up and closes them, one after another; nothing may
// be left of them. `-churn 1000` takes some minutes.
func TestChurn(t *testing.T) {
	a, b := pair(t)
	cycle(t, a, b)
	before := measure()
	for range *churn {
		cycle(t, a, b)
	}
	before.compare(t)
	for _, r := range []*runtime{a, b} {
		r.stub.mu.Lock()
		if n := len(r.stub.all) + len(r.stub.peers) + len(r.stub.minibus) + len(r.stub.stubs); n != 1 { // the handler
			t.Errorf("%s: %d entries are left", r.url, n)
		}
		r.stub.mu.Unlock()
	}
}

func cycle(t *testing.T, a, b *runtime) {
	t.Helper()
	overA, _ := setUp(t, a, b)
	a.through(t, overA, text(1, "hyperty://example/a", "hyperty://example/b", "x"))
	b.arrived(t)
	if _, err := a.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: a.peers()[0].StubUrl}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*runtime{a, b} {
		r.settled(t, "a peer is left", r.empty)
	}
}

func (r *runtime) empty() bool {
	r.stub.mu.Lock()
	defer r.stub.mu.Unlock()
	return len(r.stub.all) == 0
}

// TestChurnAtOnce sets many connections up at once in one p2pstub, each with another
// runtime, and closes them.
func TestChurnAtOnce(t *testing.T) {
	w := newWorld()
	limits := Limits{Patience: 10 * time.Second, SetUp: time.Minute} // the machine may be busy with the others
	a := w.join(t, alice, limits)
	before := measure()
	var wg sync.WaitGroup
	for i := range *burst {
		wg.Go(func() {
			b := w.join(t, fmt.Sprintf("%s-%d", bob, i), limits)
			defer b.stop()
			stub, err := a.connect(t, b)
			if err != nil {
				t.Error(err)
				return
			}
			b.await(t, status.Live)
			if _, err := a.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: stub}); err != nil {
				t.Error(err)
			}
			b.await(t, status.Disconnected)
		})
	}
	wg.Wait()
	a.settled(t, "a peer is left", a.empty)
	before.compare(t)
}

// usage is what a leak would grow.
type usage struct{ goroutines, descriptors int }

func measure() usage {
	goruntime.GC()
	fds, _ := os.ReadDir("/proc/self/fd")
	return usage{goruntime.NumGoroutine(), len(fds)}
}

// compare waits until as little is used as before: what is being closed may
// take a moment.
func (before usage) compare(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		now := measure()
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%+v became %+v", before, now)
		}
	}
}
