package msgnode

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "a.example"

// patience bounds every wait of a test. It is reached only by a failing one.
const patience = 30 * time.Second

// transports under test: everything holds for both.
var transports = []string{"websocket", "grpc"}

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bed is one replica with both transports.
type bed struct {
	node     *Node
	clock    *clock
	registry *prometheus.Registry
	engine   *engine.Engine
	http     *httptest.Server
	memory   *rpc.Memory
	stop     func()
}

type option func(*Config)

func limited(change func(*Limits)) option { return func(c *Config) { change(&c.Limits) } }

func logged(h slog.Handler) option { return func(c *Config) { c.Log = slog.New(h) } }

func openEngine(t *testing.T, dir string) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{DataDir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// start gives a running node with an engine of its own.
func start(t *testing.T, opts ...option) *bed {
	t.Helper()
	e := openEngine(t, "")
	t.Cleanup(e.Close)
	return startOn(t, e, opts...)
}

// startOn gives a running node on an engine. No sweep comes by itself, and a replica that
// nobody listens for is gone at once.
func startOn(t *testing.T, e *engine.Engine, opts ...option) *bed {
	t.Helper()
	b := &bed{
		engine: e, clock: &clock{t: time.UnixMilli(1_700_000_000_000)},
		registry: prometheus.NewRegistry(), memory: rpc.NewMemory(),
	}
	cfg := Config{
		Domain: domain, Engine: e, Limits: DefaultLimits(), Metrics: b.registry, Now: b.clock.now,
		Log: slog.New(slog.DiscardHandler), GRPCAddr: "127.0.0.1:7400",
	}
	cfg.Limits.SweepEvery, cfg.Limits.ReplicaGrace = time.Hour, 0
	for _, o := range opts {
		o(&cfg)
	}
	var err error
	if b.node, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	b.run(t)
	return b
}

func (b *bed) run(t *testing.T) {
	t.Helper()
	srv, err := rpc.NewServer(rpc.Security{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b.node.Register(srv)
	b.http = httptest.NewServer(b.node.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	serving, stopServing := context.WithCancel(context.Background())
	parts.Go(func() {
		if err := rpc.Serve(serving, srv, b.memory); err != nil {
			t.Errorf("gRPC server: %v", err)
		}
	})
	node := make(chan error, 1)
	go func() { node <- b.node.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-node; err != nil {
			t.Errorf("Run: %v", err)
		}
		stopServing()
		parts.Wait()
		b.http.Close()
	})
	t.Cleanup(b.stop)
	ready, done := context.WithTimeout(t.Context(), patience)
	defer done()
	if err := b.node.Ready(ready); err != nil {
		t.Fatal(err)
	}
}

// peer is a client, which sees every message in its JSON form.
type peer struct {
	t       *testing.T
	send    func(frame string)
	in      chan msg
	ended   chan struct{} // closed at the end of the connection
	closing error         // how it ended; after ended
	drop    func()        // cuts the connection
	runtime string
	token   string
	next    int
}

// msg is a message as it came.
type msg struct {
	ID    json.RawMessage
	Type  string
	From  string
	To    string
	Body  map[string]any
	Flow  map[string]any
	Trace map[string]any
}

func (m msg) code() int {
	code, _ := m.Body["code"].(float64)
	return int(code)
}

func (m msg) text() string {
	s, _ := m.Body["description"].(string)
	return s
}

func (b *bed) dial(t *testing.T, transport string) *peer {
	t.Helper()
	p := &peer{t: t, in: make(chan msg, 10_000), ended: make(chan struct{})}
	if transport == "grpc" {
		b.dialGRPC(p)
	} else {
		b.dialWebSocket(p)
	}
	t.Cleanup(func() { p.drop(); <-p.ended })
	return p
}

func (b *bed) dialWebSocket(p *peer) {
	ctx, cancel := context.WithCancel(context.Background())
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(b.http.URL, "http")+"/ws", nil)
	if err != nil {
		cancel()
		p.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	p.drop = func() { cancel(); _ = conn.CloseNow() }
	p.send = func(frame string) {
		if err := conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
			p.t.Logf("write: %v", err)
		}
	}
	go p.pump(func() ([]string, error) {
		_, frame, err := conn.Read(ctx)
		return []string{string(frame)}, err
	})
}

func (b *bed) dialGRPC(p *peer) {
	conn, err := b.memory.Dial()
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := pb.NewMessageNodeClient(conn).Connect(ctx)
	if err != nil {
		cancel()
		p.t.Fatal(err)
	}
	p.drop = func() { cancel(); _ = conn.Close() }
	p.send = func(frame string) {
		m, _ := message.ParseJSON([]byte(frame)) // a bad one is for the node to refuse
		if err := stream.Send(&pb.MessageNodeConnectRequest{Messages: []*pb.Message{m}}); err != nil {
			p.t.Logf("send: %v", err)
		}
	}
	go p.pump(func() ([]string, error) {
		resp, err := stream.Recv()
		var frames []string
		for _, m := range resp.GetMessages() {
			frame, err := message.JSON(m)
			if err != nil {
				return nil, err
			}
			frames = append(frames, string(frame))
		}
		return frames, err
	})
}

func (p *peer) pump(read func() ([]string, error)) {
	defer close(p.ended)
	for {
		frames, err := read()
		if err != nil {
			p.closing = err
			return
		}
		for _, f := range frames {
			var m msg
			if err := json.Unmarshal([]byte(f), &m); err != nil {
				p.t.Errorf("the node sent %q: %v", f, err)
			}
			p.in <- m
		}
	}
}

// receive waits for the next message.
func (p *peer) receive() msg {
	p.t.Helper()
	select {
	case m := <-p.in:
		return m
	case <-time.After(patience):
		p.t.Fatal("nothing comes")
	case <-p.ended:
		select {
		case m := <-p.in:
			return m
		default:
			p.t.Fatalf("the connection ended: %v", p.closing)
		}
	}
	panic("unreachable")
}

// post sends a message with an id of its own, and gives the id.
func (p *peer) post(kind, from, to, body string) string {
	p.next++
	id := fmt.Sprintf(`"%d"`, p.next)
	p.send(frame(id, kind, from, to, body))
	return id
}

func frame(id, kind, from, to, body string) string {
	if body == "" {
		body = "{}"
	}
	return fmt.Sprintf(`{"id":%s,"type":%q,"from":%q,"to":%q,"body":%s}`, id, kind, from, to, body)
}

// ask sends a request and waits for its response, which must be the next
// message.
func (p *peer) ask(kind, from, to, body string) msg {
	p.t.Helper()
	id := p.post(kind, from, to, body)
	m := p.receive()
	if m.Type != "response" || string(m.ID) != id {
		p.t.Fatalf("%s to %s is answered with %+v", kind, to, m)
	}
	return m
}

// must is ask with the wanted code.
func (p *peer) must(want int, kind, from, to, body string) msg {
	p.t.Helper()
	m := p.ask(kind, from, to, body)
	if m.code() != want {
		p.t.Fatalf("%s to %s: code %d (%s), want %d", kind, to, m.code(), m.text(), want)
	}
	return m
}

var runtimes atomic.Int64

func newRuntime() string {
	return fmt.Sprintf("hyperty-runtime://%s/r%d", domain, runtimes.Add(1))
}

// open opens the session of a new runtime.
func (p *peer) open() *peer {
	p.t.Helper()
	return p.openAs(newRuntime())
}

func (p *peer) openAs(runtime string) *peer {
	p.t.Helper()
	return p.openWith(runtime, "")
}

// openFlow opens the session of a new runtime that announces flows.
func (p *peer) openFlow() *peer {
	p.t.Helper()
	return p.openWith(newRuntime(), `{"flow":["peerbus.v1"]}`)
}

func (p *peer) openWith(runtime, body string) *peer {
	p.t.Helper()
	m := p.must(200, "open", runtime, "mn:/session", body)
	p.runtime = runtime
	p.token, _ = m.Body["runtimeToken"].(string)
	return p
}

func (p *peer) subscribe(addresses ...string) {
	p.t.Helper()
	list, _ := json.Marshal(addresses)
	p.must(200, "subscribe", p.runtime+"/ua", sm, fmt.Sprintf(`{"resources":%s,"source":%q}`, list, p.runtime))
}

// nothing proves that no message is on its way to p: what p sends to itself
// comes next.
func (p *peer) nothing() {
	p.t.Helper()
	marker := "marker-" + p.runtime
	p.subscribe(marker)
	p.post("event", p.runtime+"/x", marker, "")
	if m := p.receive(); m.To != marker {
		p.t.Fatalf("unexpected: %+v", m)
	}
}

func (p *peer) waitEnded() error {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.closing
	case <-time.After(patience):
		p.t.Fatal("the connection does not end")
		return nil
	}
}

const (
	sm       = "domain://msg-node." + domain + "/sm"
	alloc    = "domain://msg-node." + domain + "/address-allocation"
	registry = "domain://registry." + domain
)

// eventually waits until ok, looking again at every change of the state bucket.
func (b *bed) eventually(t *testing.T, what string, ok func(*directory) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := b.node.state.await(ctx, func() bool {
		b.node.mu.RLock()
		defer b.node.mu.RUnlock()
		return ok(b.node.directory)
	})
	if err != nil {
		t.Fatalf("%s does not happen", what)
	}
}

// both runs a test over each transport, on one node.
func both(t *testing.T, test func(t *testing.T, b *bed, dial func(t *testing.T) *peer), opts ...option) {
	t.Helper()
	b := start(t, opts...)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			test(t, b, func(t *testing.T) *peer { return b.dial(t, transport) })
		})
	}
}

// relay has the node itself send a message.
func (b *bed) relay(m *pb.Message) error {
	return b.node.relay([]received{{Carried: codec.Bare(m)}}, "", b.node.wayTo(m)).at(0)
}

// silence lets nothing of others out to a peer, as if its client took nothing,
// until goLive.
func (b *bed) silence(p *peer) *queue {
	p.t.Helper()
	p.nothing() // what its opening has let out is out
	q := b.socketOf(p).queue
	q.leave()
	return q
}

// socketOf is the node's end of a peer's session.
func (b *bed) socketOf(p *peer) *socket {
	b.node.mu.RLock()
	defer b.node.mu.RUnlock()
	return b.node.sockets[b.node.directory.sessions[p.runtime].Socket]
}

func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.Counter.GetValue()
}
