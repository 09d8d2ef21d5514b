package bus

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		codec.Buffers = spoiled{codec.Buffers}
	}
	goleak.VerifyTestMain(m)
}

var spoil = bytes.Repeat([]byte{0xff}, 64<<10)

// spoiled overwrites what is given back, so that who reads it still is found out.
type spoiled struct{ mem.BufferPool }

func (s spoiled) Put(b *[]byte) {
	all := (*b)[:cap(*b)]
	for len(all) > 0 {
		all = all[copy(all, spoil):]
	}
	s.BufferPool.Put(b)
}

const (
	runtimeURL = "hyperty-runtime://a.example/r1"
	alice      = "hyperty://a.example/alice"
	carol      = "hyperty://a.example/carol"
	bob        = "hyperty://b.example/bob"
	remote     = "hyperty-runtime://b.example/r2"
	nodeURL    = runtimeURL + "/protostub/b.example"
	stubURL    = runtimeURL + "/p2prequester/1"
	connURL    = runtimeURL + "/p2pconnection/1"
)

// door is where a service can be reached while it is there: it can be stopped
// and started again behind the same connection.
type door struct {
	t    testing.TB
	mu   sync.Mutex
	mem  *rpc.Memory
	stop func()
}

func (d *door) open(register func(*grpc.Server)) {
	srv, err := rpc.NewServer(rpc.Security{}, quiet())
	if err != nil {
		d.t.Fatal(err)
	}
	register(srv.Server)
	mem, served := rpc.NewMemory(), make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(mem)
	}()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mem, d.stop = mem, func() {
		srv.Stop()
		<-served
	}
}

func (d *door) close() {
	d.mu.Lock()
	stop := d.stop
	d.mem, d.stop = nil, nil
	d.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (d *door) dial(ctx context.Context, _ string) (net.Conn, error) {
	d.mu.Lock()
	mem := d.mem
	d.mu.Unlock()
	if mem == nil {
		return nil, io.ErrClosedPipe
	}
	return mem.DialContext(ctx)
}

func (d *door) conn() *grpc.ClientConn { return d.connOver(d.dial) }

func (d *door) connOver(dial func(context.Context, string) (net.Conn, error)) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///door", grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true),
			grpc.MaxCallRecvMsgSize(rpc.MaxFrame), grpc.MaxCallSendMsgSize(rpc.MaxFrame)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: time.Millisecond},
			MinConnectTimeout: 5 * time.Second,
		}))
	if err != nil {
		d.t.Fatal(err)
	}
	return conn
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// house is a bus with the registry of the test, and clients attached to it.
type house struct {
	t        testing.TB
	bus      *Bus
	registry *registry
	busDoor  door
	regDoor  door
	metrics  *prometheus.Registry
	ctx      context.Context
	end      func() // ends Run, and waits for it
}

func newHouse(t testing.TB, l Limits) *house { return newHouseLog(t, l, quiet()) }

func newHouseLog(t testing.TB, l Limits, log *slog.Logger) *house {
	return newHouseOf(t, l, log, nil)
}

// newHouseOf is newHouse of a replica, when it has a seat.
func newHouseOf(t testing.TB, l Limits, log *slog.Logger, s *seat) *house {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	h := &house{t: t, registry: newRegistry(), metrics: prometheus.NewRegistry(), ctx: ctx}
	h.busDoor.t, h.regDoor.t = t, t
	h.regDoor.open(func(s *grpc.Server) { pb.RegisterRegistryServer(s, h.registry) })
	conn := h.regDoor.conn()
	var err error
	cfg := Config{RuntimeURL: runtimeURL, Registry: conn, Limits: l, Log: log, Metrics: h.metrics}
	if s != nil {
		cfg.Replicas, cfg.Dial = s, s.dial
		s.take(&h.busDoor)
	}
	h.bus, err = New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.busDoor.open(func(srv *grpc.Server) {
		if s != nil && s.tap != nil {
			pb.RegisterMessageBusServer(srv, s.tap(h.bus))
			return
		}
		h.bus.Register(srv)
	})
	life, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := h.bus.Run(life); err != nil {
			t.Errorf("Run gave %v", err)
		}
	}()
	h.end = func() {
		end()
		<-done
	}
	t.Cleanup(func() {
		h.end()
		h.busDoor.close()
		_ = conn.Close()
		h.regDoor.close()
		cancel()
	})
	return h
}

func (h *house) conn() *grpc.ClientConn {
	conn := h.busDoor.conn()
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// attach attaches a client; stop ends it.
func (h *house) attach(component pb.Component) (c *client.Bus, stop func()) {
	conn := h.busDoor.conn()
	c, err := client.New(client.Config{Conn: conn, Name: "test", Component: component, Log: quiet()})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx)
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			<-done
			_ = conn.Close()
		})
	}
	h.t.Cleanup(stop)
	if url, err := c.Ready(h.ctx); err != nil || url != runtimeURL {
		h.t.Fatalf("attached to %q, %v", url, err)
	}
	return c, stop
}

func (h *house) app() *client.Bus {
	c, _ := h.attach(pb.Component_COMPONENT_APPLICATION)
	return c
}

// listen collects what comes for an address.
func (h *house) listen(c *client.Bus, address string, opts ...client.ListenOption) chan *pb.Message {
	got := make(chan *pb.Message, 100_000)
	_, err := c.Listen(h.ctx, address, func(_ context.Context, m *pb.Message) { got <- m }, opts...)
	if err != nil {
		h.t.Fatal(err)
	}
	return got
}

// echo answers what comes for an address.
func (h *house) echo(c *client.Bus, address string) {
	_, err := c.Listen(h.ctx, address, func(ctx context.Context, m *pb.Message) {
		if err := c.Send(ctx, message.Answer(m, 200, nil)); err != nil {
			h.t.Errorf("answering: %v", err)
		}
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) next(got chan *pb.Message) *pb.Message {
	h.t.Helper()
	select {
	case m := <-got:
		return m
	case <-h.ctx.Done():
		h.t.Fatal("no message came")
		return nil
	}
}

// value reads a metric; label is a value of its only label, or empty.
func (h *house) value(name, label string) float64 {
	h.t.Helper()
	families, err := h.metrics.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "peerbus_bus_"+name })
	if i < 0 {
		return 0
	}
	for _, m := range families[i].Metric {
		if label == "" || m.Label[0].GetValue() == label {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return 0
}

// until waits for something that has no event of its own.
func (h *house) until(what string, is func() bool) {
	h.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-h.ctx.Done():
			h.t.Fatalf("%s did not happen", what)
		}
	}
}

func ping(from, to string) *pb.Message { return &pb.Message{Type: "ping", From: from, To: to} }

func numbered(from, to string, n int) *pb.Message {
	m := ping(from, to)
	m.Id = message.NumberID(int64(n))
	return m
}

// registry is the registry of a test: it answers from its tables at once,
// except for addresses that it holds.
type registry struct {
	pb.UnimplementedRegistryServer
	mu      sync.Mutex
	routes  map[string]*pb.Route
	refused map[string]bool // sources
	held    map[string]bool // addresses and sources not answered yet
	asked   []*pb.RouteQuery
	checked []*pb.SourceQuery
	later   []func()
	call    pb.Registry_RoutesServer
	streams int
}

func newRegistry() *registry {
	return &registry{routes: map[string]*pb.Route{}, refused: map[string]bool{}, held: map[string]bool{}}
}

func (r *registry) Routes(call pb.Registry_RoutesServer) error {
	r.mu.Lock()
	if call.Context().Err() == nil { // else its bus was stopped at once, and the next one may be here already
		r.call, r.later = call, nil
	}
	r.streams++
	r.mu.Unlock()
	for {
		req, err := call.Recv()
		if err != nil {
			return nil
		}
		r.mu.Lock()
		for _, q := range req.Queries {
			r.asked = append(r.asked, q)
			r.answer(call, q.To, func() *pb.RoutesResponse {
				return &pb.RoutesResponse{Answers: []*pb.RouteAnswer{{Sequence: q.Sequence, Route: r.routeTo(q.To)}}}
			})
		}
		for _, q := range req.Sources {
			r.checked = append(r.checked, q)
			r.answer(call, q.From, func() *pb.RoutesResponse {
				return &pb.RoutesResponse{Sources: []*pb.SourceAnswer{r.judge(q)}}
			})
		}
		r.mu.Unlock()
	}
}

func (r *registry) answer(call pb.Registry_RoutesServer, about string, with func() *pb.RoutesResponse) {
	say := func() { _ = call.Send(with()) }
	if r.held[about] {
		r.later = append(r.later, say)
		return
	}
	say()
}

func (r *registry) routeTo(to string) *pb.Route {
	if route := r.routes[to]; route != nil {
		return route
	}
	return &pb.Route{To: to, Reason: pb.RouteReason_ROUTE_REASON_LOCAL}
}

func (r *registry) judge(q *pb.SourceQuery) *pb.SourceAnswer {
	if r.refused[q.From] {
		return &pb.SourceAnswer{Sequence: q.Sequence, Code: 403, Description: "not from there"}
	}
	return &pb.SourceAnswer{Sequence: q.Sequence, Code: 200}
}

// with changes its tables.
func (r *registry) with(change func(*registry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *registry) set(to, next string) {
	r.with(func(r *registry) {
		r.routes[to] = &pb.Route{To: to, Next: next, Reason: pb.RouteReason_ROUTE_REASON_MESSAGE_NODE}
	})
}

func (r *registry) hold(about string) { r.with(func(r *registry) { r.held[about] = true }) }

// release answers all that was held.
func (r *registry) release() {
	r.with(func(r *registry) {
		r.held = map[string]bool{}
		for _, say := range r.later {
			say()
		}
		r.later = nil
	})
}

func (r *registry) push(resp *pb.RoutesResponse) {
	r.with(func(r *registry) {
		if r.call != nil {
			_ = r.call.Send(resp)
		}
	})
}

// questions counts those about a route.
func (r *registry) questions(to string) (n int) {
	r.with(func(r *registry) {
		for _, q := range r.asked {
			if q.To == to {
				n++
			}
		}
	})
	return n
}

func (r *registry) checks(from string) (n int) {
	r.with(func(r *registry) {
		for _, q := range r.checked {
			if q.From == from {
				n++
			}
		}
	})
	return n
}
