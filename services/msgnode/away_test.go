package msgnode

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/peerbus/peerbus/internal/engine"
)

func TestComparison(t *testing.T) {
	var c comparison
	for i, step := range []struct {
		watch, seen, last uint64
		want              verdict
	}{
		{1, 5, 5, copyFresh},
		{1, 5, 7, copyBehind}, {1, 6, 8, copyStalled}, // 7 was there and is not here
		{1, 6, 8, copyBehind}, {2, 6, 8, copyBehind}, {2, 8, 9, copyBehind}, {2, 9, 9, copyFresh},
		{2, 9, 3, copyBehind}, {2, 9, 9, copyFresh},
	} {
		if got := c.next(step.watch, step.seen, step.last); got != step.want {
			t.Errorf("look %d, %d here and %d there: %v, want %v", i, step.seen, step.last, got, step.want)
		}
	}
	for i := 1; i < doubtedLooks; i++ {
		if got := c.next(2, 9, 3); got != copyBehind {
			t.Fatalf("look %d at what is less: %v", i, got)
		}
	}
	if got := c.next(2, 9, 3); got != copyForeign {
		t.Errorf("after %d looks at what is less: %v", doubtedLooks, got)
	}
}

// natsServer is one outside the node, which can be stopped and started again.
type natsServer struct {
	t    *testing.T
	opts server.Options
	srv  *server.Server
}

func startNATS(t *testing.T) *natsServer {
	t.Helper()
	n := &natsServer{t: t, opts: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		MaxPayload: engine.MaxPayload,
	}}
	n.start()
	n.opts.Port = n.srv.Addr().(*net.TCPAddr).Port
	t.Cleanup(n.stop)
	return n
}

func (n *natsServer) start() {
	n.t.Helper()
	opts := n.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		n.t.Fatal(err)
	}
	srv.Start()
	if n.srv = srv; !srv.ReadyForConnections(patience) {
		n.t.Fatal("NATS does not start")
	}
}

func (n *natsServer) stop() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

// replica is a node with a connection of its own to that server.
func (n *natsServer) replica(opts ...option) *bed {
	n.t.Helper()
	return n.replicaAt(n.srv.ClientURL(), opts...)
}

func (n *natsServer) replicaAt(url string, opts ...option) *bed {
	n.t.Helper()
	e, err := engine.Open(n.t.Context(), engine.Config{URL: url, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(e.Close)
	quick := limited(func(l *Limits) {
		l.StoreCheck, l.StoreAway, l.StoreAttempt, l.ReplicaTimeout = 10*time.Millisecond, 300*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
		l.StoreProbe, l.StoreUnwritable = 50*time.Millisecond, 300*time.Millisecond
	})
	return startOn(n.t, e, append([]option{quick}, opts...)...)
}

// until waits until a replica's /readyz gives a status.
func (b *bed) until(t *testing.T, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b.node.every(ctx, func() bool { return get(t, b.node.Handler(), "http://x/readyz").Code == status })
	if ctx.Err() != nil {
		t.Fatalf("/readyz does not become %d", status)
	}
}

// While NATS is away a replica that knows of no other keeps its clients, who reach one
// another. All is as it was when NATS is back, and the process has not ended.
func TestTheStoreGoesAwayAndComesBack(t *testing.T) {
	n := startNATS(t)
	b := n.replica()
	p, q := b.dial(t, "grpc").openFlow(), b.dial(t, "websocket").open()
	p.subscribe("before")
	n.stop()
	b.until(t, http.StatusServiceUnavailable)
	q.post("ping", q.runtime+"/x", "before", "")
	if m := p.receive(); m.To != "before" {
		t.Errorf("%+v", m)
	}
	opening := b.dial(t, "websocket")
	if m := opening.ask("open", newRuntime(), "mn:/session", ""); m.code() != 503 {
		t.Errorf("open without a store: %+v", m)
	}
	n.start()
	b.until(t, http.StatusOK)
	p.subscribe("after")
	q.post("ping", q.runtime+"/x", "after", "")
	if m := p.receive(); m.To != "after" {
		t.Errorf("%+v", m)
	}
	opening.open()
}

// Whoever is told whether the node is ready is told each change, and the log has it once.
func TestReadinessIsToldAtEachChange(t *testing.T) {
	told := make(chan bool, 16)
	log := &lines{Handler: slog.DiscardHandler, seen: map[string]int{}}
	n := startNATS(t)
	b := n.replica(logged(log), func(c *Config) { c.OnReady = func(ready bool) { told <- ready } }, limited(func(l *Limits) { l.SweepEvery = 10 * time.Millisecond }))
	want := func(ready bool) {
		t.Helper()
		select {
		case got := <-told:
			if got != ready {
				t.Fatalf("told %v, want %v", got, ready)
			}
		case <-time.After(patience):
			t.Fatalf("not told %v", ready)
		}
	}
	want(true)
	n.stop()
	want(false)
	n.start()
	want(true)
	b.until(t, http.StatusOK)
	b.stop()
	if log.count("not ready") != 1 || log.count("ready again") != 1 || len(told) > 0 {
		t.Errorf("told %d more, the log has %v", len(told), log.seen)
	}
}

// lines counts what is logged for people.
type lines struct {
	slog.Handler
	mu   sync.Mutex
	seen map[string]int
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[r.Message]++
	return nil
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[text]
}

// A sweep that fails is told once, however many follow that fail too.
func TestWhatIsNotNotedIsToldOnce(t *testing.T) {
	log := &lines{Handler: slog.DiscardHandler, seen: map[string]int{}}
	n := startNATS(t)
	b := n.replica(logged(log), limited(func(l *Limits) { l.StoreTimeout, l.StorePatience = time.Second/2, 50*time.Millisecond }))
	p := b.dial(t, "grpc").open()
	b.until(t, http.StatusOK)
	b.node.mu.Lock()
	s := b.node.directory.sessions[p.runtime]
	b.node.mu.Unlock()
	due := []event{{kind: evLost, runtime: s.Runtime, socket: s.Socket, now: b.node.now()}}
	n.stop()
	for range 2 {
		b.node.sweepSessions(t.Context(), due)
		b.node.sweepFailing.Store(b.node.sweepFails.Load())
	}
	if got := log.count("a session's change is not noted yet"); got != 1 || !b.node.sweepFailing.Load() {
		t.Errorf("told %d times", got)
	}
}

// A write that is under way when the store goes away is done when it is back.
func TestAWriteWaitsForTheStore(t *testing.T) {
	n := startNATS(t)
	b := n.replica(limited(func(l *Limits) { l.StoreTimeout, l.StorePatience = patience, patience }))
	p := b.dial(t, "grpc").open()
	n.stop()
	id := p.post("subscribe", p.runtime+"/ua", sm, `{"resources":["late"]}`)
	b.until(t, http.StatusServiceUnavailable)
	n.start()
	if m := p.receive(); string(m.ID) != id || m.code() != 200 {
		t.Errorf("%+v", m)
	}
}

// What needs the store does not hold up what its session sends next, and is refused at
// once when it is known that nothing is written. It is taken again when the store is back.
func TestWhatNeedsTheStoreIsRefusedAtOnceWithoutOne(t *testing.T) {
	n := startNATS(t)
	b := n.replica(limited(func(l *Limits) { l.StoreTimeout, l.StorePatience = time.Hour, 200*time.Millisecond }))
	p, q := b.dial(t, "grpc").open(), b.dial(t, "websocket").open()
	q.subscribe("there")
	n.stop()
	for range 3 { // the first before it is known
		p.post("subscribe", p.runtime+"/ua", sm, `{"resources":["late"]}`)
		p.post("ping", p.runtime+"/x", "there", "")
		if m := q.receive(); m.To != "there" {
			t.Errorf("%+v", m)
		}
		if m := p.receive(); m.code() != 503 || !strings.Contains(m.text(), "NATS does not answer") {
			t.Errorf("%+v", m)
		}
	}
	b.until(t, http.StatusServiceUnavailable)
	if m := b.dial(t, "grpc").ask("open", newRuntime(), "mn:/session", ""); m.code() != 503 {
		t.Errorf("open without a store: %+v", m)
	}
	n.start()
	b.until(t, http.StatusOK)
	p.subscribe("after")
}

// A replica that reaches neither NATS nor any other sends its clients away, who are at
// another one with all that they had, and takes clients again when it is back.
func TestAReplicaThatIsCutOffSendsItsClientsAway(t *testing.T) {
	n := startNATS(t)
	way := newWay(t, n.srv.Addr().String())
	patient := limited(func(l *Limits) { l.StoreAway, l.ReplicaTimeout = 3*time.Second, 2*time.Second }) // of a busy machine
	one, two := n.replicaAt(way.url(), patient), n.replica(patient)
	p, q := one.dial(t, "websocket").open(), two.dial(t, "grpc").open()
	p.subscribe("kept")
	q.post("ping", q.runtime+"/x", "kept", "")
	p.receive() // both know of the other
	way.cut()
	if err := p.waitEnded(); !strings.Contains(err.Error(), "cut off") {
		t.Errorf("the client is told %v", err)
	}
	for _, path := range []string{"/readyz", "/ws"} {
		if a := get(t, one.node.Handler(), "http://x"+path); a.Code != http.StatusServiceUnavailable || !strings.Contains(a.Body.String(), "cut off: NATS does not answer") {
			t.Errorf("%s: %d %s", path, a.Code, a.Body)
		}
	}
	back := two.dial(t, "websocket")
	if m := back.must(200, "re-open", p.runtime+"/"+p.token, "mn:/session", ""); m.Body["runtimeToken"] != nil {
		t.Errorf("%+v", m)
	}
	q.post("ping", q.runtime+"/x", "kept", `{"n":1}`)
	if m := back.receive(); m.Body["n"] != 1.0 {
		t.Errorf("%+v", m)
	}
	way.mend()
	one.until(t, http.StatusOK)
	r := one.dial(t, "grpc").open()
	r.post("ping", r.runtime+"/x", "kept", `{"n":2}`)
	if m := back.receive(); m.Body["n"] != 2.0 {
		t.Errorf("%+v", m)
	}
}

// way is the way of one replica to NATS, which can be cut.
type way struct {
	to   string
	lis  net.Listener
	mu   sync.Mutex
	open bool
	ends []net.Conn
	runs sync.WaitGroup
}

func newWay(t *testing.T, to string) *way {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{to: to, lis: lis, open: true}
	w.runs.Go(w.accept)
	t.Cleanup(func() {
		_ = lis.Close()
		w.cut()
		w.runs.Wait()
	})
	return w
}

func (w *way) url() string { return "nats://" + w.lis.Addr().String() }

func (w *way) accept() {
	for {
		a, err := w.lis.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", w.to)
		if err != nil || !w.keep(a, b) {
			_ = a.Close()
			continue
		}
		w.runs.Go(func() { join(a, b) })
		w.runs.Go(func() { join(b, a) })
	}
}

// keep notes both ends, unless the way is cut.
func (w *way) keep(ends ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open {
		for _, c := range ends {
			_ = c.Close()
		}
		return false
	}
	w.ends = append(w.ends, ends...)
	return true
}

func join(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = false
	for _, c := range w.ends {
		_ = c.Close()
	}
	w.ends = nil
}

func (w *way) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = true
}

// A replica that nobody listens for is given its time to come back.
func TestAReplicaIsNotGoneAtOnce(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.ReplicaGrace = time.Hour }))
	dead := event{kind: evOpen, runtime: newRuntime(), socket: "dead/1", fresh: "token"}
	if _, _, err := b.node.change(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if gone := b.node.goneReplicas(t.Context()); gone["dead"] || len(b.node.silent) != 1 {
			t.Fatalf("gone %v, silent %v", gone, b.node.silent)
		}
	}
	b.node.mu.Lock()
	b.node.silent["dead"] = time.Now().Add(-time.Hour)
	b.node.mu.Unlock()
	if gone := b.node.goneReplicas(t.Context()); !gone["dead"] {
		t.Errorf("gone %v", gone)
	}
}
