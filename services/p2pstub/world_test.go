package p2pstub

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

const patience = time.Minute // of a test, for something that must happen

// world is a relay between the buses of some runtimes, in one process: what no
// listener of a bus has goes to the bus that has it. It stands for the Message
// Nodes, and answers as they do.
type world struct {
	mu      sync.Mutex
	buses   []*fakeBus
	number  int
	freed   map[string]bool
	largest int                 // how many addresses were freed by one request
	given   map[string][]string // by the id of the allocation
	lost    int                 // so many answers to allocations do not arrive
	crowded int                 // so many are refused when they are done
	deaf    int                 // so many requests to free addresses do not arrive
	full    int                 // so many of the next are refused, as there is no room on the way
	left    map[string]bool
	asked   map[string]bool // subscribed at the Message Node
	foreign bool            // that is not one of ours
	rows    bool            // the buses take posts with sequels
	// meddle sees every message that is relayed between buses, and may change
	// it or have it lost.
	meddle func(m *pb.Message) (lost bool)
	// configure changes the configuration of those that join.
	configure func(*Config)
}

func newWorld() *world {
	return &world{given: map[string][]string{}, freed: map[string]bool{}, left: map[string]bool{}, asked: map[string]bool{}}
}

// runtime is a p2pstub with a bus that the world is behind.
type runtime struct {
	*world
	url     string
	handler string
	bus     *fakeBus
	stub    *Stub
	api     pb.P2PStubClient
	stop    func()
	halt    func() // the stub alone
	metrics *prometheus.Registry
}

// fakeBus is the bus of one runtime.
type fakeBus struct {
	pb.UnimplementedMessageBusServer
	world   *world
	url     string
	mu      sync.Mutex
	streams map[*fakeStream]bool
	pending map[message.Key]func(*pb.Message)
	status  chan status.Body
	peer    chan *pb.Message // what came over a data channel
	gate    sync.RWMutex     // held by who wants the bus to stand still
	rolled  atomic.Int64     // sequels that were posted
	credits atomic.Int64     // times that credit was given for one byte
	local   chan *pb.Message // what is for this runtime and not for the stub
}

// fakeStream is one attachment. What is sent waits in a queue, so that neither
// direction holds up the other.
type fakeStream struct {
	listeners map[string]bool

	mu     sync.Mutex
	queue  []*pb.AttachResponse
	wake   sync.Cond
	closed bool
}

func (s *fakeStream) send(r *pb.AttachResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, r)
	s.wake.Signal()
}

func (s *fakeStream) write(g grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]) {
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.closed {
			s.wake.Wait()
		}
		queue, closed := s.queue, s.closed
		s.queue = nil
		s.mu.Unlock()
		for _, r := range queue {
			if g.Send(r) != nil {
				return
			}
		}
		if closed {
			return
		}
	}
}

func (s *fakeStream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake.Signal()
}

func (b *fakeBus) Attach(g grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]) error {
	s := &fakeStream{listeners: map[string]bool{}}
	s.wake.L = &s.mu
	var writer sync.WaitGroup
	writer.Go(func() { s.write(g) })
	defer writer.Wait()
	defer s.close()
	b.mu.Lock()
	b.streams[s] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.streams, s)
		b.mu.Unlock()
	}()
	for {
		req, err := g.Recv()
		b.pass()
		if err != nil {
			return nil // the stub has gone
		}
		if req.Hello != nil {
			s.send(&pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: b.url, FlowSequels: b.world.rows}})
		}
		for _, c := range req.Listeners {
			b.mu.Lock()
			if c.Remove {
				delete(s.listeners, c.Address)
			} else {
				s.listeners[c.Address] = true
			}
			b.mu.Unlock()
			s.send(outcome(c.Sequence, nil, nil))
		}
		for _, c := range req.Credits {
			if c.Bytes == 1 {
				b.credits.Add(1)
			}
		}
		for _, p := range req.Posts {
			b.post(s, p)
			for i, sequel := range p.Sequels {
				b.rolled.Add(1)
				b.post(s, &pb.Post{Message: follows(p.Message, sequel, i), Ingress: p.Ingress})
			}
		}
	}
}

// follows is the i-th that follows a message in its flow.
func follows(first, sequel *pb.Message, i int) *pb.Message {
	m := proto.CloneOf(first)
	m.Id, m.Body = sequel.Id, sequel.Body
	m.Number += uint64(i) + 1        // a place
	m.Flow.Sequence += uint64(i) + 1 // likewise
	return m
}

// deliverRow brings messages of a flow that follow each other to the stub, for a connection.
func (b *fakeBus) deliverRow(connection string, all []*pb.Message) {
	d := &pb.Delivery{Listener: connection, Message: all[0]}
	for _, m := range all[1:] {
		d.Sequels = append(d.Sequels, &pb.Message{Id: m.Id, Body: m.Body})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.streams {
		s.send(&pb.AttachResponse{Deliveries: []*pb.Delivery{d}})
	}
}

// pass waits while someone wants the bus to stand still.
func (b *fakeBus) pass() {
	b.gate.RLock()
	defer b.gate.RUnlock()
}

func outcome(sequence uint64, err error, resp *pb.Message) *pb.AttachResponse {
	o := &pb.Outcome{Sequence: sequence, Code: int32(fault.CodeOf(err)), Response: resp}
	if err != nil {
		o.Description = fault.From(err).Description
	}
	return &pb.AttachResponse{Outcomes: []*pb.Outcome{o}}
}

func (b *fakeBus) post(s *fakeStream, p *pb.Post) {
	m := p.Message
	if p.Wait == pb.Wait_WAIT_RESPONSE {
		b.mu.Lock()
		b.pending[message.KeyOf(m)] = func(resp *pb.Message) { s.send(outcome(p.Sequence, nil, resp)) }
		b.mu.Unlock()
		time.AfterFunc(p.Timeout.AsDuration(), func() {
			b.answered(message.Refuse(m, fault.New(fault.Timeout, "no answer")))
		})
	}
	err := b.route(p)
	switch {
	case p.Wait == pb.Wait_WAIT_RESPONSE:
		if err != nil {
			b.mu.Lock()
			delete(b.pending, message.KeyOf(m))
			b.mu.Unlock()
			s.send(outcome(p.Sequence, err, nil))
		}
	case p.Sequence != 0:
		s.send(outcome(p.Sequence, err, nil))
	case err != nil && !message.IsResponse(m):
		_ = b.route(&pb.Post{Message: message.Refuse(m, err)})
	}
}

func (b *fakeBus) answered(m *pb.Message) bool {
	b.mu.Lock()
	f := b.pending[message.AnswerKey(m)]
	delete(b.pending, message.AnswerKey(m))
	b.mu.Unlock()
	if f != nil {
		f(m)
	}
	return f != nil
}

// route brings a message to where it belongs.
func (b *fakeBus) route(p *pb.Post) error {
	m := p.Message
	switch {
	case p.Ingress != nil:
		if m.Via == "" || p.Ingress.RemoteRuntimeUrl == "" {
			return fault.New(fault.Forbidden, "no via or no runtime")
		}
		b.peer <- m
		return nil
	case strings.HasSuffix(m.To, address.StatusSuffix):
		body, err := status.Decode(m)
		if err == nil {
			b.status <- body
			b.answered(message.Answer(m, fault.OK, nil))
		}
		return err
	case strings.HasPrefix(m.To, "domain://"):
		b.world.node(b, m)
		return nil
	}
	return b.world.relay(b, m)
}

// node answers for the Message Node.
func (w *world) node(b *fakeBus, m *pb.Message) {
	var body struct {
		Value struct {
			Number int `json:"number"`
		} `json:"value"`
		Resources         []string `json:"resources"`
		ChildrenResources []string `json:"childrenResources"`
	}
	_ = message.UnmarshalBody(m, &body)
	var value any
	w.mu.Lock()
	silent, code := false, fault.OK
	switch m.Type {
	case message.Create:
		got := w.given[m.Id]
		for len(got) < body.Value.Number {
			w.number++
			got = append(got, fmt.Sprintf("connection://example/%d", w.number))
		}
		w.given[m.Id] = got
		if w.crowded > 0 {
			w.crowded--
			code = fault.TooMany
			break
		}
		silent, w.lost = w.lost > 0, max(w.lost-1, 0)
		value = map[string]any{"value": map[string]any{"allocated": got, "subscription": !w.foreign}}
	case message.Delete:
		if silent, w.deaf = w.deaf > 0, max(w.deaf-1, 0); silent {
			break
		}
		if w.full > 0 {
			w.full--
			code = fault.TooMany
			break
		}
		w.largest = max(w.largest, len(body.ChildrenResources))
		for _, url := range body.ChildrenResources {
			w.freed[url] = true
		}
	case message.Subscribe:
		for _, url := range body.Resources {
			w.asked[url] = true
		}
	case message.Unsubscribe:
		for _, url := range body.Resources {
			w.left[url] = true
		}
	}
	w.mu.Unlock()
	if silent {
		return
	}
	resp := message.Answer(m, code, value)
	if !b.answered(resp) {
		_ = b.deliver(resp)
	}
}

// relay brings a message to the bus that has a listener for it.
func (w *world) relay(from *fakeBus, m *pb.Message) error {
	if from.answered(m) || from.deliver(m) {
		return nil
	}
	w.mu.Lock()
	buses, meddle := w.buses, w.meddle
	w.mu.Unlock()
	if meddle != nil {
		m = message.Clone(m)
		if meddle(m) {
			return nil
		}
	}
	for _, b := range buses {
		if b != from && (b.answered(m) || b.deliver(m)) {
			return nil
		}
	}
	if strings.HasPrefix(m.To, from.url+"/") || m.To == "app" {
		from.local <- m
		return nil
	}
	return fault.New(fault.NotFound, "no one has %s", m.To)
}

// deliver brings a message to a listener of this bus.
func (b *fakeBus) deliver(m *pb.Message) bool { return b.deliverAs(m.To, m) }

func (b *fakeBus) deliverAs(listener string, m *pb.Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.streams {
		if s.listeners[m.To] || listener != m.To {
			s.send(&pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: listener, Message: m}}})
			return true
		}
	}
	return false
}

func testLimits() Limits { return Limits{Patience: 2 * time.Second} }

// join adds a runtime to the world.
func (w *world) join(t testing.TB, url string, limits Limits) *runtime {
	t.Helper()
	r := &runtime{world: w, url: url, handler: address.Handler(url, "1"), metrics: prometheus.NewRegistry()}
	r.bus = &fakeBus{
		world: w, url: url, streams: map[*fakeStream]bool{}, pending: map[message.Key]func(*pb.Message){},
		status: make(chan status.Body, 100_000), peer: make(chan *pb.Message, 100_000), local: make(chan *pb.Message, 1000),
	}
	w.mu.Lock()
	w.buses = append(w.buses, r.bus)
	w.mu.Unlock()
	log := slog.New(slog.DiscardHandler)
	memory := rpc.NewMemory()
	srv, err := rpc.NewServer(rpc.Security{Insecure: true}, log)
	if err != nil {
		t.Fatal(err)
	}
	pb.RegisterMessageBusServer(srv, r.bus)
	conn, err := memory.Dial()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		RuntimeURL: url, Bus: conn, AdvertiseIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Limits: limits, Log: log, Metrics: r.metrics,
	}
	if w.configure != nil {
		w.configure(&cfg)
	}
	r.stub, err = New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.stub.Register(srv)
	ctx, cancel := context.WithCancel(context.Background())
	served, ran := make(chan error, 1), make(chan error, 1)
	serving, stopServing := context.WithCancel(context.Background())
	go func() { served <- rpc.Serve(serving, srv, memory) }()
	go func() { ran <- r.stub.Run(ctx) }()
	var once sync.Once
	var halted sync.Once
	r.halt = func() {
		halted.Do(func() {
			cancel()
			if err := <-ran; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	r.stop = func() {
		once.Do(func() {
			r.halt()
			_ = conn.Close()
			stopServing()
			if err := <-served; err != nil {
				t.Errorf("serve: %v", err)
			}
			w.leave(r.bus)
		})
	}
	t.Cleanup(r.stop)
	r.api = pb.NewP2PStubClient(conn)
	r.deployHandler(t)
	return r
}

func (w *world) leave(b *fakeBus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, one := range w.buses {
		if one == b {
			w.buses = append(w.buses[:i:i], w.buses[i+1:]...)
		}
	}
}

func (r *runtime) deployHandler(t testing.TB) {
	t.Helper()
	_, err := r.api.Deploy(t.Context(), &pb.P2PStubDeployRequest{
		RuntimeUrl: r.url, StubUrl: r.handler, Role: pb.ConnectionRole_CONNECTION_ROLE_HANDLER,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// connect deploys a requester and gives its address.
func (r *runtime) connect(t testing.TB, to *runtime) (string, error) {
	t.Helper()
	r.mu.Lock()
	r.number++
	url := address.Requester(r.url, fmt.Sprint(r.number))
	r.mu.Unlock()
	return url, r.deploy(t, to, url, false)
}

func (r *runtime) deploy(t testing.TB, to *runtime, url string, replace bool) error {
	t.Helper()
	_, err := r.api.Deploy(t.Context(), &pb.P2PStubDeployRequest{
		RuntimeUrl: r.url, StubUrl: url, Role: pb.ConnectionRole_CONNECTION_ROLE_REQUESTER,
		RemoteRuntimeUrl: to.url, P2PHandler: to.handler, Replace: replace,
	})
	return err
}

// killed takes a runtime out of the world. What would say goodbye for it is lost.
func (r *runtime) killed() {
	r.world.mu.Lock()
	r.world.meddle = func(m *pb.Message) bool { return m.Type == message.Delete }
	r.world.mu.Unlock()
	r.world.leave(r.bus)
}

// await reads the states that a runtime's stubs publish until one comes, and
// gives them all.
func (r *runtime) await(t testing.TB, want status.State) (states []string, last status.Body) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case b := <-r.bus.status:
			states = append(states, strings.TrimSpace(b.State.String()+" "+b.Reason))
			if b.State == want {
				return states, b
			}
		case <-late:
			t.Fatalf("%s is not %v; it was %v", r.url, want, states)
		}
	}
}

// register is what the registry does when a connection is live: it gives the
// stub the p2p connection's address.
func (r *runtime) register(t testing.TB, stub, remote, id string) string {
	t.Helper()
	url := address.P2PConnectionURL(r.url, id)
	m := &pb.Message{
		Id: `"` + id + `"`, Type: message.Subscribe, From: address.Registry(r.url), To: stub,
		Body: message.MarshalBody(map[string]any{"subscribe": []string{url}, "source": stub, "resource": remote}),
	}
	if code := r.ask(t, m); code != fault.OK {
		t.Fatalf("subscribe of %s: %d", url, code)
	}
	return url
}

// ask posts a message as a local listener, and gives the code of its answer.
func (r *runtime) ask(t testing.TB, m *pb.Message) fault.Code {
	t.Helper()
	answer := make(chan *pb.Message, 1)
	r.bus.mu.Lock()
	r.bus.pending[message.KeyOf(m)] = func(resp *pb.Message) { answer <- resp }
	r.bus.mu.Unlock()
	if !r.bus.deliver(m) {
		t.Fatalf("no one listens to %s", m.To)
	}
	select {
	case resp := <-answer:
		code, _ := message.Result(resp)
		return code
	case <-time.After(patience):
		t.Fatalf("no answer to %v", m)
		return 0
	}
}

// through sends a message over a connection.
func (r *runtime) through(t testing.TB, connection string, m *pb.Message) {
	t.Helper()
	if !r.bus.deliverAs(connection, m) {
		t.Fatal("the stub is not attached")
	}
}

// arrived waits for what comes over a connection.
func (r *runtime) arrived(t testing.TB) *pb.Message {
	t.Helper()
	select {
	case m := <-r.bus.peer:
		return m
	case <-time.After(patience):
		t.Fatalf("nothing comes to %s", r.url)
		return nil
	}
}

// peers are the peers that a watcher sees.
func (r *runtime) peers() []*pb.Peer {
	s, w, err := r.stub.watch()
	if err != nil {
		return nil
	}
	r.stub.unwatch(w)
	return s.Peers
}

// settled waits until a condition holds; it looks again at each change of the
// stub.
func (r *runtime) settled(t testing.TB, what string, holds func() bool) {
	t.Helper()
	_, w, err := r.stub.watch()
	if err != nil {
		t.Fatal(err)
	}
	defer r.stub.unwatch(w)
	late := time.After(patience)
	for !holds() {
		select {
		case <-w.changes:
		case <-late:
			t.Fatalf("%s: %s", r.url, what)
		}
	}
}

// counted reads a metric with these label values.
func (r *runtime) counted(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "peerbus_p2pstub_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			if slices.Equal(have, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

func body(t testing.TB, m *pb.Message) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(m.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
