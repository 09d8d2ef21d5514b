package p2pstub

import (
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// asReplica makes a runtime's p2pstub one of several: its handler has an address of its
// own, and what comes to the public one is handed to it. leaked has what of the own one
// has been seen outside.
func (r *runtime) asReplica(t *testing.T) (public string, leaked *atomic.Pointer[string]) {
	t.Helper()
	public, own := r.handler, r.handler+"-x"
	if _, err := r.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: r.handler}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.api.Deploy(t.Context(), &pb.P2PStubDeployRequest{
		RuntimeUrl: r.url, StubUrl: own, PublicUrl: public, Role: pb.ConnectionRole_CONNECTION_ROLE_HANDLER,
	}); err != nil {
		t.Fatal(err)
	}
	leaked = &atomic.Pointer[string]{}
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	r.handler = own
	r.meddle = func(m *pb.Message) (lost bool) {
		if text := protojson.Format(m) + string(m.Body); strings.Contains(text, own) {
			leaked.Store(&text)
		}
		if m.To != public {
			return false
		}
		go func() { _, _ = r.api.Take(t.Context(), &pb.P2PStubTakeRequest{StubUrl: own, Message: m}) }()
		return true
	}
	return public, leaked
}

// A replica's handler goes by the public address outside, and by its own inside.
func TestAReplicaSpeaksForThePublicHandler(t *testing.T) {
	a, b := pair(t)
	public, leaked := b.asReplica(t)
	stub := address.Requester(a.url, "r")
	if _, err := a.api.Deploy(t.Context(), &pb.P2PStubDeployRequest{
		RuntimeUrl: a.url, StubUrl: stub, Role: pb.ConnectionRole_CONNECTION_ROLE_REQUESTER, RemoteRuntimeUrl: b.url, P2PHandler: public,
	}); err != nil {
		t.Fatal(err)
	}
	a.await(t, status.Live)
	b.await(t, status.Live)
	if p := b.peers(); len(p) != 1 || p[0].StubUrl != b.handler {
		t.Errorf("its peers are %v", p)
	}
	overA := a.register(t, stub, b.url, "a")
	b.register(t, b.handler, a.url, "b")
	a.through(t, overA, text(1, a.url+"/x", b.url+"/y", "hello"))
	if m := b.arrived(t); m.Via != b.handler {
		t.Errorf("it came in by %s", m.Via)
	}
	a.through(t, overA, text(2, a.url+"/x", public, "for the stub"))
	if resp := a.arrived(t); !message.IsResponse(resp) || resp.From != public {
		t.Errorf("what is for the stub itself is answered with %v", resp)
	}
	if text := leaked.Load(); text != nil {
		t.Errorf("the replica's own address is seen outside: %s", *text)
	}
}

// Take refuses what is none of its handler's.
func TestTakeRefuses(t *testing.T) {
	a, _ := pair(t)
	m := text(1, "connection://b.example/1/subscription", a.handler, "x")
	for _, c := range []struct {
		stub string
		m    *pb.Message
		code fault.Code
		in   string
	}{
		{a.handler + "-y", m, fault.NotFound, "stub_url"},
		{a.handler, nil, fault.BadRequest, "message"},
		{a.handler, &pb.Message{Id: "1", Type: "create", From: "x"}, fault.BadRequest, "to"},
	} {
		_, err := a.api.Take(t.Context(), &pb.P2PStubTakeRequest{StubUrl: c.stub, Message: c.m})
		if f := fault.From(err); f.Code != c.code || f.Field != c.in {
			t.Errorf("%v: %v, field %q", c, err, f.Field)
		}
	}
}

// A registry whose term is over is not heeded, whatever it wants.
func TestAnOlderTermIsNotHeeded(t *testing.T) {
	a, b := pair(t)
	deploy := func(term uint64, url string) error {
		_, err := a.api.Deploy(t.Context(), &pb.P2PStubDeployRequest{
			RuntimeUrl: a.url, StubUrl: url, Role: pb.ConnectionRole_CONNECTION_ROLE_REQUESTER,
			RemoteRuntimeUrl: b.url, P2PHandler: b.handler, Term: term,
		})
		return err
	}
	if err := deploy(5, address.Requester(a.url, "new")); err != nil {
		t.Fatal(err)
	}
	a.await(t, status.Live)
	refused := func(what string, err error) {
		t.Helper()
		if f := fault.From(err); err == nil || f.Code != fault.Conflict || f.Field != "term" {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("Deploy", deploy(4, address.Requester(a.url, "old")))
	_, err := a.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: address.Requester(a.url, "new"), Term: 4})
	refused("Close", err)
	_, err = a.api.Take(t.Context(), &pb.P2PStubTakeRequest{StubUrl: a.handler, Message: text(1, "x", a.handler, "y"), Term: 4})
	refused("Take", err)
	stream, err := a.api.Watch(t.Context(), &pb.P2PStubWatchRequest{Term: 4})
	if err == nil {
		_, err = stream.Recv()
	}
	refused("Watch", err)
	if p := a.peers(); len(p) != 1 || p[0].State != pb.ConnectionState_CONNECTION_STATE_LIVE {
		t.Errorf("its peers are %v", p)
	}
}

// One that leaves says so before it closes anything, and takes nothing new.
func TestLeave(t *testing.T) {
	a, b := pair(t)
	setUp(t, a, b)
	stream, err := b.api.Watch(t.Context(), &pb.P2PStubWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil { // the snapshot
		t.Fatal(err)
	}
	b.stub.Leave()
	for left := false; ; {
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if !left && !resp.Leaving {
			for _, p := range resp.Peers {
				if p.State != pb.ConnectionState_CONNECTION_STATE_LIVE {
					t.Fatalf("before it says that it leaves: %v", resp)
				}
			}
		}
		left = left || resp.Leaving
		if len(resp.Peers) == 1 && resp.Peers[0].Gone {
			if !left {
				t.Error("it has not said that it leaves")
			}
			break
		}
	}
	a.await(t, status.Disconnected)
	if _, err := b.connect(t, a); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Deploy: %v", err)
	}
	_, err = b.api.Take(t.Context(), &pb.P2PStubTakeRequest{StubUrl: b.handler, Message: text(1, "x", b.handler, "y")})
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Take: %v", err)
	}
}

// A registry that looks for another replica at this one's address is told so.
func TestWatchOfAnotherReplica(t *testing.T) {
	w := newWorld()
	w.configure = func(c *Config) { c.Replica = "one" }
	a := w.join(t, alice, testLimits())
	for replica, want := range map[string]fault.Code{"two": fault.Unavailable, "one": fault.OK, "": fault.OK} {
		stream, err := a.api.Watch(t.Context(), &pb.P2PStubWatchRequest{Replica: replica})
		if err == nil {
			_, err = stream.Recv()
		}
		if fault.CodeOf(err) != want {
			t.Errorf("%q: %v", replica, err)
		}
	}
}
