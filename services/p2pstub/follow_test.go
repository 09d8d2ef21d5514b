package p2pstub

import (
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

func TestWhereChangesGo(t *testing.T) {
	const stub, changes = "the stub", "the changes"
	ours, older := datasync.Connection{Runtime: "r", AtStub: true}, datasync.Connection{Runtime: "r"}
	change := func() *pb.Message { return &pb.Message{To: changes} }
	for name, c := range map[string]struct {
		tell func(f *followers) []*pb.Message
		due  int // of two that wait
		to   string
	}{
		"nobody has said anything": {func(*followers) []*pb.Message { return nil }, 0, ""},
		"an object without data":   {func(f *followers) []*pb.Message { return f.meet(datasync.Connection{}, stub, true) }, 0, ""},
		"a peer of ours":           {func(f *followers) []*pb.Message { return f.meet(ours, stub, true) }, 2, stub},
		"ours, not invited yet":    {func(f *followers) []*pb.Message { return f.meet(ours, stub, false) }, 0, ""},
		"ours, invited by then": {func(f *followers) []*pb.Message {
			return append(f.meet(ours, stub, false), f.meet(ours, stub, true)...)
		}, 2, stub},
		"an older one":              {func(f *followers) []*pb.Message { return f.meet(older, stub, false) }, 2, changes},
		"one that has subscribed":   {func(f *followers) []*pb.Message { f.subscribed(); return f.meet(older, stub, false) }, 0, changes},
		"ours, and a late follower": {func(f *followers) []*pb.Message { due := f.meet(ours, stub, true); f.subscribed(); return due }, 2, stub},
	} {
		t.Run(name, func(t *testing.T) {
			f := &followers{}
			for range 2 {
				if m := f.take(change()); m != nil {
					t.Fatalf("%v does not wait", m)
				}
			}
			due := c.tell(f)
			if len(due) != c.due {
				t.Errorf("%d of what waited are sent, want %d", len(due), c.due)
			}
			for _, m := range append(due, change()) {
				if got := f.take(m); got.GetTo() != c.to {
					t.Errorf("goes to %q, want %q", got.GetTo(), c.to)
				}
			}
		})
	}
}

// What a handler finds while its invitation has not arrived is told once it has.
func TestCandidateBeforeTheInvitationArrives(t *testing.T) {
	w := newWorld()
	lost, offered := make(chan struct{}), make(chan struct{})
	var once, twice sync.Once
	w.meddle = func(m *pb.Message) bool {
		first := false
		if m.Type == message.Create && m.Source == w.buses[1].url+"/p2phandler/1" {
			once.Do(func() { first = true; close(lost) })
			if !first {
				twice.Do(func() { <-offered })
			}
		}
		return first
	}
	limits := testLimits()
	limits.Request = time.Second / 2 // until it is sent again
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, limits)
	if _, err := a.connect(t, b); err != nil {
		t.Fatal(err)
	}
	<-lost
	p := b.peerWith(t, alice)
	said := make(chan struct{})
	p.post(func() {
		p.report(datasync.Candidate{Type: "candidate", Candidate: "candidate:9 1 udp 1 127.0.0.1 9 typ srflx raddr 0.0.0.0 rport 0"})
		close(said)
	})
	<-said
	close(offered)
	a.await(t, status.Live)
	q := a.peerWith(t, bob)
	late, look := time.After(patience/4), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for version := 0; version == 0; {
		got := make(chan int)
		q.post(func() { got <- q.observer.Object().Version })
		version = <-got
		select {
		case <-look.C:
		case <-late:
			t.Fatal("the candidate does not arrive")
		}
	}
}

// A requester that ends before it knows how its object is followed says so to the handler.
func TestGoodbyeBeforeTheHandlerIsKnown(t *testing.T) {
	w := newWorld()
	invited := make(chan struct{})
	var once sync.Once
	w.meddle = func(m *pb.Message) bool {
		if m.Type != message.Create || m.Source != w.buses[1].url+"/p2phandler/1" {
			return false
		}
		once.Do(func() { close(invited) })
		return true
	}
	limits := testLimits()
	limits.SetUp = time.Hour
	a, b := w.join(t, alice, limits), w.join(t, bob, limits)
	stub, err := a.connect(t, b)
	if err != nil {
		t.Fatal(err)
	}
	<-invited
	if _, err := a.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: stub, Reason: "enough"}); err != nil {
		t.Fatal(err)
	}
	if _, last := b.await(t, status.Failed); last.Reason != "closed by the other side: enough" {
		t.Errorf("the handler gives up: %s", last.Reason)
	}
}

// A Message Node that is not ours knows the requester's address before anyone is invited.
func TestRequesterAtAForeignNode(t *testing.T) {
	w := newWorld()
	w.foreign = true
	early := make(chan string, 10)
	w.meddle = func(m *pb.Message) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if m.Type == message.Create && strings.HasPrefix(m.Source, alice) && !w.asked[m.Source] {
			early <- m.Source
		}
		return false
	}
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	if len(early) > 0 {
		t.Errorf("%s is not subscribed", <-early)
	}
}

// peerWith is the peer that there is with a runtime.
func (r *runtime) peerWith(t *testing.T, remote string) *peer {
	t.Helper()
	r.stub.mu.Lock()
	defer r.stub.mu.Unlock()
	p := r.stub.peers[remote]
	if p == nil {
		t.Fatalf("%s has no peer with %s", r.url, remote)
	}
	return p
}
