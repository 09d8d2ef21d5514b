package nodestub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	runtimeURL = "hyperty-runtime://a.example/r1"
	stubURL    = runtimeURL + "/protostub/b.example"
	alice      = "hyperty://a.example/alice"
	bob        = "hyperty://b.example/bob"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v, ok := <-from:
		if !ok {
			t.Fatalf("%s: the channel is closed", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// serveMemory runs a gRPC server without a socket until the test is over.
func serveMemory(t *testing.T, register func(grpc.ServiceRegistrar)) *rpc.Memory {
	t.Helper()
	lis := rpc.NewMemory()
	srv, err := rpc.NewServer(rpc.Security{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	register(srv)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(lis)
	}()
	t.Cleanup(func() {
		srv.Stop()
		<-done
	})
	return lis
}

// fakeBus is a bus to which one component attaches.
type fakeBus struct {
	pb.UnimplementedMessageBusServer
	posts     chan *pb.Post
	deliver   chan *pb.Delivery
	listeners chan *pb.ListenerChange
}

func newFakeBus() *fakeBus {
	return &fakeBus{
		posts: make(chan *pb.Post, 10000), deliver: make(chan *pb.Delivery), listeners: make(chan *pb.ListenerChange, 100),
	}
}

func (b *fakeBus) Attach(stream grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]) error {
	outcomes := make(chan *pb.Outcome, 100)
	var writer sync.WaitGroup
	defer writer.Wait()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	hello, err := stream.Recv()
	if err != nil || hello.GetHello().GetComponent() != pb.Component_COMPONENT_NODE_STUB {
		return fmt.Errorf("no hello of a node stub: %v", err)
	}
	if err := stream.Send(&pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: runtimeURL}}); err != nil {
		return err
	}
	writer.Go(func() {
		for {
			resp := &pb.AttachResponse{}
			select {
			case o := <-outcomes:
				resp.Outcomes = []*pb.Outcome{o}
			case d := <-b.deliver:
				resp.Deliveries = []*pb.Delivery{d}
			case <-ctx.Done():
				return
			}
			if stream.Send(resp) != nil {
				return
			}
		}
	})
	for {
		req, err := stream.Recv()
		if err != nil {
			return nil
		}
		for _, c := range req.Listeners {
			b.listeners <- c
			outcomes <- &pb.Outcome{Sequence: c.Sequence, Code: 200}
		}
		for _, p := range req.Posts {
			b.posts <- p
		}
	}
}

// send has the bus deliver a message to the stub.
func (b *fakeBus) send(t *testing.T, m *pb.Message) {
	t.Helper()
	select {
	case b.deliver <- &pb.Delivery{Listener: stubURL, Message: m}:
	case <-time.After(patience):
		t.Fatal("the stub does not take deliveries")
	}
}

// socket is one connection of a fake node.
type socket struct {
	read  func() ([]*pb.Message, error)
	write func(*pb.Message) error
	end   func()
}

// fakeNode keeps sessions as section 3 of the wire contract says.
type fakeNode struct {
	pb.UnimplementedMessageNodeServer
	got   chan *pb.Message // all but the session messages
	asked chan *pb.Message // session messages

	mu      sync.Mutex
	tokens  map[string]string // by runtime
	current *socket
	opens   int
	refuse  int  // code with which open is refused; 0 for none
	deaf    bool // does not answer open
}

func newFakeNode() *fakeNode {
	return &fakeNode{
		got: make(chan *pb.Message, 10000), asked: make(chan *pb.Message, 1000), tokens: map[string]string{},
	}
}

func (n *fakeNode) Connect(stream grpc.BidiStreamingServer[pb.MessageNodeConnectRequest, pb.MessageNodeConnectResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	var mu sync.Mutex
	s := &socket{
		read: func() ([]*pb.Message, error) {
			req, err := stream.Recv()
			return req.GetMessages(), err
		},
		write: func(m *pb.Message) error {
			mu.Lock()
			defer mu.Unlock()
			return stream.Send(&pb.MessageNodeConnectResponse{Messages: []*pb.Message{m}})
		},
		end: cancel,
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		n.serve(s)
		cancel()
	}()
	<-ctx.Done()
	return nil // ends Recv too; serve is waited for by the test's leak check
}

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	c.SetReadLimit(8 << 20)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	defer func() { _ = c.CloseNow() }()
	n.serve(&socket{
		read: func() ([]*pb.Message, error) {
			_, frame, err := c.Read(ctx)
			if err != nil {
				return nil, err
			}
			m, err := message.ParseJSON(frame)
			return []*pb.Message{m}, err
		},
		write: func(m *pb.Message) error {
			frame, err := message.JSON(m)
			if err != nil {
				return err
			}
			return c.Write(ctx, websocket.MessageText, frame)
		},
		end: cancel,
	})
}

func (n *fakeNode) serve(s *socket) {
	for {
		batch, err := s.read()
		if err != nil {
			return
		}
		for _, m := range batch {
			if m.To != address.Session {
				n.got <- m
				continue
			}
			if !n.session(s, m) {
				return
			}
		}
	}
}

// session answers open, re-open and close; it tells whether the socket stays.
func (n *fakeNode) session(s *socket, m *pb.Message) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked <- m
	runtime := m.From
	if m.Type != "open" {
		runtime = m.From[:strings.LastIndexByte(m.From, '/')]
	}
	switch {
	case m.Type == "close":
		delete(n.tokens, runtime)
		return false
	case n.deaf:
		return true
	case n.refuse != 0:
		_ = s.write(message.Answer(m, 503, map[string]string{"description": "not now"}))
		return true
	}
	token := n.tokens[runtime]
	if token == "" || m.Type == "re-open" && m.From != runtime+"/"+token {
		n.opens++
		token = fmt.Sprintf("token-%d", n.opens)
		n.tokens[runtime] = token
	}
	n.current = s
	_ = s.write(message.Answer(m, 200, map[string]string{"runtimeToken": token}))
	return true
}

func (n *fakeNode) set(change func(*fakeNode)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// breakOff ends the connection that there is.
func (n *fakeNode) breakOff() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.current.end()
}

func (n *fakeNode) send(t *testing.T, m *pb.Message) {
	t.Helper()
	n.mu.Lock()
	s := n.current
	n.mu.Unlock()
	if err := s.write(m); err != nil {
		t.Fatalf("sending from the node: %v", err)
	}
}

// world is a stub between a fake bus and a fake node.
type world struct {
	bus     *fakeBus
	node    *fakeNode
	stub    *Stub
	metrics *prometheus.Registry
	down    func(bool) // whether the node cannot be reached
	stop    func()     // and waits
}

// newWorld starts one; transport is "grpc" or "websocket".
func newWorld(t *testing.T, transport string, limits Limits) *world {
	t.Helper()
	w := &world{bus: newFakeBus(), node: newFakeNode(), metrics: prometheus.NewRegistry()}
	busLis := serveMemory(t, func(r grpc.ServiceRegistrar) { pb.RegisterMessageBusServer(r, w.bus) })
	busConn, err := busLis.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busConn.Close() })
	limits.RetryMin, limits.RetryMax = time.Millisecond, 2*time.Millisecond
	cfg := Config{
		RuntimeURL: runtimeURL, Bus: busConn, Limits: limits, Metrics: w.metrics, Log: slog.New(slog.DiscardHandler),
	}
	var mu sync.Mutex
	down := false
	isDown := func() bool { mu.Lock(); defer mu.Unlock(); return down }
	w.down = func(v bool) { mu.Lock(); defer mu.Unlock(); down = v }
	switch transport {
	case "grpc":
		nodeLis := serveMemory(t, func(r grpc.ServiceRegistrar) { pb.RegisterMessageNodeServer(r, w.node) })
		cfg.Nodes = map[string][]string{"b.example": {"node"}}
		cfg.Dial = func(string, string) (grpc.ClientConnInterface, error) {
			if isDown() {
				return nil, errors.New("connection refused")
			}
			return nodeLis.Dial()
		}
	case "websocket":
		cfg.HTTPClient = webSite(t, w.node, isDown)
		cfg.AllowPlain = true
	}
	w.stub, err = New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.stop = start(t, w.stub.Run)
	return w
}

// webSite serves a node's descriptor and WebSocket to the client given back,
// whatever host it asks for.
func webSite(t *testing.T, node *fakeNode, isDown func() bool) *http.Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+DescriptorPath, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "b.example" {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"configuration": map[string]string{"url": "ws://" + r.Host + "/ws"}})
	})
	mux.Handle("/ws", node)
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if isDown() || r.URL.Scheme == "https" {
			return nil, errors.New("connection refused")
		}
		r = r.Clone(r.Context())
		r.Host = r.URL.Host
		r.URL.Host = strings.TrimPrefix(site.URL, "http://")
		return transport.RoundTrip(r)
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// start runs a part until the test is over, or until the function given back.
func start(t *testing.T, part func(context.Context) error) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// deploy makes the stub of b.example.
func (w *world) deploy(t *testing.T) {
	t.Helper()
	if err := w.stub.Deploy(within(t), "b.example", stubURL); err != nil {
		t.Fatal(err)
	}
}

// watchUntil reads changes until one is as wanted, and gives it.
func (w *world) watchUntil(t *testing.T, wt *watcher, state string) *pb.NodeStubWatchResponse {
	t.Helper()
	for {
		change := receive(t, wt.changes, "state "+state)
		for _, s := range change.Sessions {
			if s.State == state {
				return change
			}
		}
	}
}

func (w *world) watch(t *testing.T) *watcher {
	t.Helper()
	wt, err := w.stub.watch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.stub.unwatch(wt) })
	return wt
}

// live deploys the stub and waits for its session.
func (w *world) live(t *testing.T) *watcher {
	t.Helper()
	wt := w.watch(t)
	w.deploy(t)
	w.watchUntil(t, wt, "live")
	receive(t, w.node.asked, "open")
	return wt
}

// metric gives a value, by name and the values of its labels in order of their
// names.
func (w *world) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "peerbus_nodestub_"+name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for i, l := range m.GetLabel() {
				if l.GetValue() != labels[i] {
					continue series
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s %v", name, labels)
	return 0
}

// numbered is a request with its number in the id.
func numbered(n int, from, to string) *pb.Message {
	return &pb.Message{Id: message.NumberID(int64(n)), Type: "ping", From: from, To: to}
}
