package p2pstub

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// Who invites in another runtime's name does nothing to the connection with that one, waits
// or not, and leaves nothing.
func TestInvitedInAnothersName(t *testing.T) {
	for _, turns := range []int{DefaultLimits().Turns, 1} {
		limits := testLimits()
		limits.SetUp, limits.Turns, limits.Turn, limits.TurnWait = time.Second, turns, time.Hour, time.Hour
		w := newWorld()
		a, b := w.join(t, alice, testLimits()), w.join(t, bob, limits)
		overA, overB := setUp(t, a, b)
		if turns == 1 {
			m := invitationOf("hyperty-runtime://example/other", 99)
			m.To = b.handler
			if code := b.ask(t, m); code != fault.OK {
				t.Errorf("the one that has the turn: %d", code)
			}
		}
		for i := range 5 {
			m := invitationOf(alice, i)
			m.To = b.handler
			b.bus.deliver(m)
		}
		b.hasNewcomer(t, alice)
		b.alone(t, b.handler)
		a.through(t, overA, text(1, "hyperty://example/a", "hyperty://example/b", "there"))
		b.arrived(t)
		b.through(t, overB, text(2, "hyperty://example/b", "hyperty://example/a", "and back"))
		a.arrived(t)
		if p := b.peers(); len(p) != 1 || p[0].State != pb.ConnectionState_CONNECTION_STATE_LIVE {
			t.Errorf("%d turns: %v", turns, p)
		}
		for len(b.bus.status) > 0 {
			if s := <-b.bus.status; s.Remote == alice {
				t.Errorf("%d turns: %v is told: %s", turns, s.State, s.Reason)
			}
		}
	}
}

// hasNewcomer waits until something is set up beside the connection with a runtime. No watcher
// is told of that, so it looks again and again.
func (r *runtime) hasNewcomer(t *testing.T, remote string) {
	t.Helper()
	late, look := time.After(patience), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		r.stub.mu.Lock()
		there := r.stub.newcomers[remote] != nil
		r.stub.mu.Unlock()
		if there {
			return
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("%s: nothing is set up beside the connection with %s", r.url, remote)
		}
	}
}

// A stranger may have the answer come to itself, at an address that names no runtime, and open a
// channel. That ends no connection with a peer of ours, whose stubs all name theirs.
func TestAStrangerThatOpensAChannel(t *testing.T) {
	const mallory = "hyperty-runtime://example/mallory"
	w := newWorld()
	a, b, m := w.join(t, alice, testLimits()), w.join(t, bob, testLimits()), w.join(t, mallory, testLimits())
	overA, _ := setUp(t, a, b)
	said := make(chan fault.Code, 1)
	w.mu.Lock()
	w.meddle = func(m *pb.Message) bool {
		switch {
		case m.Type == message.Create && m.To == b.handler:
			m.Body = bytes.ReplaceAll(m.Body, []byte(mallory+"/"), []byte("runtime://example/"))
			m.Body = bytes.ReplaceAll(m.Body, []byte(mallory), []byte(alice))
			m.Source = ""
		case m.Type == message.Create && strings.HasPrefix(m.To, "runtime://example/p2prequester/"):
			m.To = strings.Replace(m.To, "runtime://example", mallory, 1)
		case m.Type == message.Response && m.From == b.handler && strings.HasPrefix(m.To, "connection:"):
			code, _ := message.Result(m)
			select {
			case said <- code:
			default:
			}
		}
		return false
	}
	w.mu.Unlock()
	if _, err := m.connect(t, b); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-said:
		if code != fault.Forbidden {
			m.await(t, status.Live)
			t.Errorf("%d, and the stranger's channel is open", code)
		}
	case <-time.After(patience):
		t.Fatal("no answer")
	}
	b.alone(t, b.handler)
	a.through(t, overA, text(1, "hyperty://example/a", "hyperty://example/b", "there"))
	b.arrived(t)
}

// Nor does who knows the object of the connection, and says that it replaces that one.
func TestAStrangerThatReplaces(t *testing.T) {
	w := newWorld()
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	m := invitationOf(alice, 1)
	m.To = b.handler
	m.Body = message.MarshalBody(map[string]any{
		"source": "hyperty://example/lair", "value": map[string]any{"runtime": alice, "data": map[string]any{"replaces": b.peers()[0].Object}},
	})
	if code := b.ask(t, m); code != fault.Forbidden || b.total() != 1 {
		t.Errorf("%d, and %d peers", code, b.total())
	}
}

// A runtime that has restarted connects anew at once, though others invite in its name while
// its old connection is not known to be dead.
func TestWhoRestartsTakesTheStrangersPlace(t *testing.T) {
	w := newWorld()
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	a.killed()
	for i := range 5 {
		m := invitationOf(alice, i)
		m.To = b.handler
		b.bus.deliver(m)
	}
	b.hasNewcomer(t, alice)
	for len(b.bus.status) > 0 {
		<-b.bus.status
	}
	again := w.join(t, alice, testLimits())
	if _, err := again.connect(t, b); err != nil {
		t.Fatal(err)
	}
	if states, _ := b.await(t, status.Live); !slices.Contains(states, "disconnected "+connectsAnew) {
		t.Errorf("%v", states)
	}
	again.await(t, status.Live)
	b.alone(t, b.handler)
}

// A forged invitation holds up no replacement of the connection, by either side.
func TestReplacementBesideANewcomer(t *testing.T) {
	w := newWorld()
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	for i, ends := range [][2]*runtime{{a, b}, {b, a}} {
		m := invitationOf(alice, i)
		m.To = b.handler
		m.Body = bytes.ReplaceAll(m.Body, []byte(`"runtime"`), []byte(`"created":"2999-01-01T00:00:00Z","runtime"`))
		if code := b.ask(t, m); code != fault.OK {
			t.Errorf("forged: %d", code)
		}
		b.hasNewcomer(t, alice)
		ends[0].replace(t, ends[1], "replacement")
		if states, last := ends[0].await(t, status.Live); len(states) != 3 {
			t.Errorf("%v, %v", states, last)
		}
		for _, r := range ends { // the other side may be live a moment later
			r.settled(t, "the replacement is the connection", func() bool {
				r.stub.mu.Lock()
				defer r.stub.mu.Unlock()
				return len(r.stub.heirs) == 0
			})
		}
	}
}

// The other side restarts while this one sets up a replacement, which its new process does
// not know: it is connected all the same, whatever their names.
func TestRestartWhileAReplacementIsSetUp(t *testing.T) {
	for _, names := range [][2]string{{alice, bob}, {bob, alice}} {
		w := newWorld()
		a, b := w.join(t, names[0], testLimits()), w.join(t, names[1], testLimits())
		setUp(t, a, b)
		w.mu.Lock()
		w.meddle = func(m *pb.Message) bool {
			return m.Type == message.Delete || m.Type == message.Create && bytes.Contains(m.Body, []byte(`"replaces"`))
		}
		w.mu.Unlock()
		a.replace(t, b, "lost")
		b.world.leave(b.bus)
		again := w.join(t, names[1], testLimits())
		if _, err := again.connect(t, a); err != nil {
			t.Fatal(err)
		}
		again.await(t, status.Live)
	}
}

// An invitation that comes again begins nothing, though the connection that was there when
// it came first has ended meanwhile.
func TestInvitationRepeatedWhenTheOldOneHasEnded(t *testing.T) {
	w := newWorld()
	limits := testLimits()
	limits.SetUp = time.Hour
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, limits)
	setUp(t, a, b)
	m := invitationOf(alice, 1)
	m.To = b.handler
	if code := b.ask(t, m); code != fault.OK {
		t.Errorf("%d", code)
	}
	b.hasNewcomer(t, alice)
	a.stub.close(t.Context(), a.peers()[0].StubUrl, "", "enough")
	b.await(t, status.Disconnected)
	b.settled(t, "the old one is left", func() bool { return b.total() == 1 })
	m.Id = "2"
	if code := b.ask(t, m); code != fault.OK || b.total() != 1 {
		t.Errorf("%d, and %d peers", code, b.total())
	}
}

// Watchers are told of a restarted peer what the registry is told over the bus.
func TestWatchersSeeARestart(t *testing.T) {
	w := newWorld()
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
	setUp(t, a, b)
	watch, err := a.api.Watch(t.Context(), &pb.P2PStubWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	b.killed()
	again := w.join(t, bob, testLimits())
	if _, err := again.connect(t, a); err != nil {
		t.Fatal(err)
	}
	told := []string{status.Live.String()} // which may be told once more
	for !slices.Contains(told, status.InProgress.String()) || told[len(told)-1] != status.Live.String() {
		resp, err := watch.Recv()
		if err != nil {
			t.Fatalf("%v after %v", err, told)
		}
		for _, p := range resp.Peers {
			if state := status.FromProto(p.State).String(); !resp.Snapshot && !p.Gone && told[len(told)-1] != state {
				told = append(told, state)
			}
		}
	}
	if got := strings.Join(told, " "); got != "live disconnected created in-progress live" {
		t.Errorf("%s", got)
	}
}
