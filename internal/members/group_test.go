package members_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const runtimeURL = "hyperty-runtime://example.org/a"

var quick = members.Limits{Beat: 10 * time.Millisecond, Misses: 20}

func open(t *testing.T) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{DataDir: t.TempDir(), Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// replica is a group that runs, until stop.
type replica struct {
	*members.Group
	ctx  context.Context
	stop func()
}

func join(t *testing.T, e *engine.Engine, kind, id string) *replica {
	t.Helper()
	g, err := members.New(members.Config{
		Engine: e, RuntimeURL: runtimeURL, Limits: quick, Log: slog.New(slog.DiscardHandler),
		Self: members.Member{Kind: kind, ID: id, Addr: "127.0.0.1:1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stopped := false
	r := &replica{Group: g, ctx: ctx, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}}
	t.Cleanup(r.stop)
	return r
}

// until waits until the members of a kind have these ids.
func (r *replica) until(t *testing.T, kind string, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	if err := r.Watch(ctx, kind, func(all []members.Member) {
		got = got[:0]
		for _, m := range all {
			got = append(got, m.ID)
		}
		if len(got) == len(want) {
			for i := range got {
				if got[i] != want[i] {
					return
				}
			}
			cancel()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != context.Canceled {
		t.Fatalf("members %v, want %v", got, want)
	}
}

func TestAMemberThatIsToldToStopWhileItOpensTheBucketHasNotFailed(t *testing.T) {
	g, err := members.New(members.Config{
		Engine: open(t), RuntimeURL: runtimeURL, Log: slog.New(slog.DiscardHandler),
		Self: members.Member{Kind: "bus", ID: "a", Addr: "127.0.0.1:1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestMembersComeAndGo(t *testing.T) {
	e := open(t)
	a := join(t, e, "bus", "a")
	b := join(t, e, "bus", "b")
	join(t, e, "p2pstub", "p")
	a.until(t, "bus", "a", "b")
	b.until(t, "p2pstub", "p")
	b.stop()
	a.until(t, "bus", "a")
}

func TestALeavingMemberSaysSo(t *testing.T) {
	e := open(t)
	a, b := join(t, e, "bus", "a"), join(t, e, "bus", "b")
	b.Leave()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_ = a.Watch(ctx, "bus", func(all []members.Member) {
		if len(all) == 2 && all[1].Leaving {
			cancel()
		}
	})
	if ctx.Err() != context.Canceled {
		t.Error("nobody heard that b leaves")
	}
}

// bucket is that of the runtime, as a member finds it which was killed before.
func bucket(t *testing.T, e *engine.Engine) jetstream.KeyValue {
	t.Helper()
	sum := sha256.Sum256([]byte(runtimeURL))
	kv, err := e.JetStream().KeyValue(t.Context(), "peerbus_members_"+hex.EncodeToString(sum[:10]))
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func TestAKilledMemberIsFoundGoneAndRemoved(t *testing.T) {
	e := open(t)
	a := join(t, e, "bus", "a")
	a.until(t, "bus", "a")
	kv := bucket(t, e)
	if _, err := kv.PutString(t.Context(), "m.bus.dead", `{"kind":"bus","id":"dead","addr":"127.0.0.1:1"}`); err != nil {
		t.Fatal(err)
	}
	a.until(t, "bus", "a", "dead")
	w, err := kv.Watch(t.Context(), "m.bus.dead", jetstream.UpdatesOnly())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Stop() }()
	a.until(t, "bus", "a")
	for e := range w.Updates() {
		if e != nil && e.Operation() == jetstream.KeyValuePurge {
			return
		}
	}
}

// A bucket that was removed is made anew by whoever comes, and followed by those that were
// there: they see one another and who comes, and one of them leads.
func TestABucketThatIsAnotherOne(t *testing.T) {
	for name, again := range map[string]bool{"removed": false, "made anew by another": true} {
		t.Run(name, func(t *testing.T) {
			e := open(t)
			a, b := join(t, e, "bus", "a"), join(t, e, "bus", "b")
			began, _ := a.campaign(t)
			leading := <-began
			b.until(t, "bus", "a", "b")
			old := bucket(t, e)
			if err := e.JetStream().DeleteKeyValue(t.Context(), old.Bucket()); err != nil {
				t.Fatal(err)
			}
			if again {
				join(t, e, "bus", "c")
				a.until(t, "bus", "a", "b", "c")
				b.until(t, "bus", "a", "b", "c")
			}
			<-leading.Done()
			<-began
			if !again {
				join(t, e, "bus", "c").until(t, "bus", "a", "b", "c")
				a.until(t, "bus", "a", "b", "c")
			}
		})
	}
}

func TestSomethingUnreadableIsPassedOver(t *testing.T) {
	e := open(t)
	a := join(t, e, "bus", "a")
	a.until(t, "bus", "a")
	if _, err := bucket(t, e).PutString(t.Context(), "m.bus.x", "no JSON"); err != nil {
		t.Fatal(err)
	}
	join(t, e, "bus", "b")
	a.until(t, "bus", "a", "b")
}

// campaign has a replica lead. The channel gets each time that it begins.
func (r *replica) campaign(t *testing.T) (began chan context.Context, stop func()) {
	t.Helper()
	began = make(chan context.Context)
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	go func() {
		done <- r.Lead(ctx, func(ctx context.Context) error {
			select {
			case began <- ctx:
			case <-ctx.Done():
			}
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return began, stop
}

func TestOneLeadsAndTheNextFollows(t *testing.T) {
	e := open(t)
	a, b := join(t, e, "registry", "a"), join(t, e, "registry", "b")
	beganA, stopA := a.campaign(t)
	beganB, stopB := b.campaign(t)
	stops := map[string]func(){"a": stopA, "b": stopB}
	first, other := "a", beganB
	select {
	case <-beganA:
	case <-beganB:
		first, other = "b", beganA
	}
	select {
	case <-other:
		t.Fatal("two lead")
	default:
	}
	stops[first]()
	<-other
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_ = a.WatchLeader(ctx, "registry", func(m members.Member, ok bool) {
		if ok && m.ID != first {
			cancel()
		}
	})
	if ctx.Err() != context.Canceled {
		t.Error("the others do not see who leads")
	}
}

func TestAKilledLeaderIsFollowed(t *testing.T) {
	e := open(t)
	a := join(t, e, "registry", "a")
	a.until(t, "registry", "a")
	if _, err := bucket(t, e).PutString(t.Context(), "lead.registry", `{"kind":"registry","id":"dead","addr":"127.0.0.1:1"}`); err != nil {
		t.Fatal(err)
	}
	began, _ := a.campaign(t)
	<-began
}

func TestADeposedLeaderStops(t *testing.T) {
	e := open(t)
	a := join(t, e, "registry", "a")
	began, _ := a.campaign(t)
	leading := <-began
	if _, err := bucket(t, e).PutString(t.Context(), "lead.registry", `{"kind":"registry","id":"usurper","addr":"127.0.0.1:1"}`); err != nil {
		t.Fatal(err)
	}
	<-leading.Done()
	<-began // the usurper never beats
}

func TestBadMembersAreRefused(t *testing.T) {
	e := open(t)
	for _, m := range []members.Member{
		{Kind: "", ID: "a", Addr: "127.0.0.1:1"},
		{Kind: "bus", ID: "a.b", Addr: "127.0.0.1:1"},
		{Kind: "bus", ID: "a", Addr: "nowhere"},
	} {
		if _, err := members.New(members.Config{Engine: e, RuntimeURL: runtimeURL, Self: m}); fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("%v: %v", m, err)
		}
	}
	if _, err := members.New(members.Config{Self: members.Member{Kind: "bus", ID: "a", Addr: "127.0.0.1:1"}}); fault.CodeOf(err) != fault.BadRequest {
		t.Errorf("no engine: %v", err)
	}
}
