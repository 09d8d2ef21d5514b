package registry

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// world is a registry among fakes of all that it talks to. The fakes only note
// what comes, and answer; a test plays the rest.
type world struct {
	pb.UnimplementedMessageBusServer
	pb.UnimplementedP2PStubServer
	pb.UnimplementedNodeStubServer
	t *testing.T

	mu       sync.Mutex
	history  []string                                 // all that happened, in order
	log      []string                                 // what of it no test has taken yet
	changed  chan struct{}                            // closed and made anew at each of it
	answers  map[string]func(*pb.Message) *pb.Message // by `to` of a request
	attached map[*attachedStream]struct{}
	watches  map[chan *pb.P2PStubWatchResponse]struct{}
	nodes    map[chan *pb.NodeStubWatchResponse]struct{}
	stubs    map[string]*pb.P2PStubDeployRequest
	domains  map[string]string
	refuse   error // what Deploy of the Message Node stub says
}

// attachedStream is a fake bus's side of one Attach.
type attachedStream struct {
	mu        sync.Mutex
	stream    grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]
	listeners map[[2]string]bool // address, leads_to
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, changed: make(chan struct{}), answers: map[string]func(*pb.Message) *pb.Message{},
		attached: map[*attachedStream]struct{}{}, watches: map[chan *pb.P2PStubWatchResponse]struct{}{},
		nodes: map[chan *pb.NodeStubWatchResponse]struct{}{},
		stubs: map[string]*pb.P2PStubDeployRequest{}, domains: map[string]string{},
	}
	for _, service := range []string{
		address.SubscriptionManager("a.example"), address.DomainRegistry("a.example"), address.AddressAllocation("a.example"),
	} {
		w.answer(service, ok)
	}
	return w
}

func ok(m *pb.Message) *pb.Message { return message.Answer(m, 200, nil) }

// noteLocked writes into the log of what happened.
func (w *world) noteLocked(what string) {
	w.log = append(w.log, what)
	w.history = append(w.history, what)
	close(w.changed)
	w.changed = make(chan struct{})
}

// answer sets what answers requests to an address.
func (w *world) answer(to string, f func(*pb.Message) *pb.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[to] = f
}

// until waits for a condition on the world.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	late := time.After(patience)
	for {
		w.mu.Lock()
		done, changed := holds(), w.changed
		w.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late:
			w.mu.Lock()
			defer w.mu.Unlock()
			w.t.Fatalf("%s: did not happen; this did:\n%s", what, lines(w.log))
		}
	}
}

// saw waits until something was noted, and takes the log up to it.
func (w *world) saw(what string) {
	w.t.Helper()
	w.until(what, func() bool {
		for i, l := range w.log {
			if l == what {
				w.log = append(w.log[:i:i], w.log[i+1:]...)
				return true
			}
		}
		return false
	})
}

// order checks that what begins so happened in this order.
func (w *world) order(prefixes ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := w.history
	for _, p := range prefixes {
		i := slices.IndexFunc(rest, func(l string) bool { return strings.HasPrefix(l, p) })
		if i < 0 {
			w.t.Errorf("%s: not after what goes before it; this happened:\n%s", p, lines(w.history))
			return
		}
		rest = rest[i+1:]
	}
}

func lines(all []string) string {
	var s string
	for _, l := range all {
		s += "  " + l + "\n"
	}
	return s
}

// Attach is the fake bus: it keeps listeners and aliases, notes every post, and
// answers requests.
func (w *world) Attach(s grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]) error {
	a := &attachedStream{stream: s, listeners: map[[2]string]bool{}}
	if _, err := s.Recv(); err != nil {
		return err
	}
	a.send(&pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: runtimeA}})
	w.mu.Lock()
	w.attached[a] = struct{}{}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.attached, a)
		w.mu.Unlock()
	}()
	for {
		req, err := s.Recv()
		if err != nil {
			return nil
		}
		for _, l := range req.Listeners {
			w.change(a, l)
		}
		for _, p := range req.Posts {
			w.post(a, p)
		}
	}
}

func (a *attachedStream) send(r *pb.AttachResponse) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.stream.Send(r)
}

func (w *world) change(a *attachedStream, l *pb.ListenerChange) {
	key := [2]string{l.Address, l.LeadsTo}
	w.mu.Lock()
	what := "listen " + l.Address
	if l.Remove {
		what = "unlisten " + l.Address
		delete(a.listeners, key)
	} else {
		a.listeners[key] = true
	}
	if l.LeadsTo != "" {
		what += " -> " + l.LeadsTo
	}
	w.noteLocked(what)
	w.mu.Unlock()
	a.send(&pb.AttachResponse{Outcomes: []*pb.Outcome{{Sequence: l.Sequence, Code: 200}}})
}

func (w *world) post(a *attachedStream, p *pb.Post) {
	m := p.Message
	w.mu.Lock()
	answer := w.answers[m.To]
	w.noteLocked(m.Type + " " + m.From + " -> " + m.To + " " + string(m.Body))
	w.mu.Unlock()
	if p.Sequence == 0 {
		return
	}
	o := &pb.Outcome{Sequence: p.Sequence, Code: 200}
	if p.Wait == pb.Wait_WAIT_RESPONSE {
		if answer != nil {
			o.Response = answer(m)
		} else {
			o.Code, o.Description = 404, "nobody has "+m.To
		}
	}
	if o.Code == 200 && p.Wait == pb.Wait_WAIT_RESPONSE && o.Response == nil {
		return // it never answers
	}
	a.send(&pb.AttachResponse{Outcomes: []*pb.Outcome{o}})
}

// deliver brings a message to the registry's listener of its address.
func (w *world) deliver(m *pb.Message) {
	w.t.Helper()
	if m.Id == "" {
		m.Id = `"x"`
	}
	var to *attachedStream
	w.until("a listener of "+m.To, func() bool {
		for a := range w.attached {
			if a.listeners[[2]string{m.To, ""}] {
				to = a
			}
		}
		return to != nil
	})
	to.send(&pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: m.To, Message: m}}})
}

// publish is a stub's status on the bus.
func (w *world) publish(stub, remote string, s status.State, reason string) {
	w.t.Helper()
	w.deliver(status.NewMessage(stub, `"s"`, status.Body{State: s, Remote: remote, Reason: reason}))
}

// The fake P2P stub.

type p2pServer struct {
	pb.UnimplementedP2PStubServer
	w *world
}

func (s p2pServer) Deploy(_ context.Context, req *pb.P2PStubDeployRequest) (*pb.P2PStubDeployResponse, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.stubs[req.StubUrl] = req
	s.w.noteLocked("deploy " + roleName(req.Role) + " " + req.RemoteRuntimeUrl)
	return &pb.P2PStubDeployResponse{}, nil
}

func (s p2pServer) Close(_ context.Context, req *pb.P2PStubCloseRequest) (*pb.P2PStubCloseResponse, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if req.RemoteRuntimeUrl == "" {
		delete(s.w.stubs, req.StubUrl)
	}
	s.w.noteLocked("close " + req.StubUrl + " " + req.RemoteRuntimeUrl)
	return &pb.P2PStubCloseResponse{}, nil
}

func (s p2pServer) Watch(_ *pb.P2PStubWatchRequest, stream grpc.ServerStreamingServer[pb.P2PStubWatchResponse]) error {
	ch := make(chan *pb.P2PStubWatchResponse, 64)
	s.w.mu.Lock()
	s.w.watches[ch] = struct{}{}
	s.w.noteLocked("watch p2pstub")
	s.w.mu.Unlock()
	defer func() {
		s.w.mu.Lock()
		delete(s.w.watches, ch)
		s.w.mu.Unlock()
	}()
	for {
		select {
		case r := <-ch:
			if r == nil {
				return nil // the stream breaks
			}
			if err := stream.Send(r); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// tell sends what the P2P stub's Watch says; nil breaks the stream.
func (w *world) tell(r *pb.P2PStubWatchResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.watches {
		ch <- r
	}
}

// The fake Message Node stub.

type nodeServer struct {
	pb.UnimplementedNodeStubServer
	w *world
}

func (s nodeServer) Deploy(_ context.Context, req *pb.NodeStubDeployRequest) (*pb.NodeStubDeployResponse, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.noteLocked("deploy node " + req.Domain)
	if s.w.refuse != nil {
		return nil, s.w.refuse
	}
	s.w.domains[req.Domain] = req.StubUrl
	return &pb.NodeStubDeployResponse{}, nil
}

func (s nodeServer) Watch(_ *pb.NodeStubWatchRequest, stream grpc.ServerStreamingServer[pb.NodeStubWatchResponse]) error {
	ch := make(chan *pb.NodeStubWatchResponse, 64)
	ch <- &pb.NodeStubWatchResponse{Snapshot: true}
	s.w.mu.Lock()
	s.w.nodes[ch] = struct{}{}
	s.w.noteLocked("watch nodestub")
	s.w.mu.Unlock()
	defer func() {
		s.w.mu.Lock()
		delete(s.w.nodes, ch)
		s.w.mu.Unlock()
	}()
	for {
		select {
		case r := <-ch:
			if err := stream.Send(r); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// tellNodes is what the Message Node stub says to those who watch it.
func (w *world) tellNodes(r *pb.NodeStubWatchResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.nodes {
		ch <- r
	}
}

// served is the world's services over one connection in memory.
func (w *world) serve() (conn *grpc.ClientConn, stop func()) {
	w.t.Helper()
	srv := grpc.NewServer()
	pb.RegisterMessageBusServer(srv, w)
	pb.RegisterP2PStubServer(srv, p2pServer{w: w})
	pb.RegisterNodeStubServer(srv, nodeServer{w: w})
	lis := rpc.NewMemory()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(lis)
	}()
	conn, err := lis.Dial()
	if err != nil {
		w.t.Fatal(err)
	}
	return conn, func() {
		_ = conn.Close()
		srv.Stop()
		<-done
	}
}

// running is a registry that runs, and its API.
type running struct {
	*Registry
	api  pb.RegistryClient
	stop func()
}

// start runs a registry; stop ends it, and everything that it has started.
func (w *world) start(e *engine.Engine, change func(*Config)) *running {
	w.t.Helper()
	conn, stopFakes := w.serve()
	cfg := Config{
		RuntimeURL: runtimeA, P2PStub: pb.NewP2PStubClient(conn), NodeStub: pb.NewNodeStubClient(conn), Bus: conn,
		Engine: e, Log: testLog(w.t), Limits: Limits{Tick: 20 * time.Millisecond},
	}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	srv := grpc.NewServer()
	r.Serve(srv)
	lis := rpc.NewMemory()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := r.Run(ctx); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	all.Go(func() { _ = srv.Serve(lis) })
	if err := r.untilLoaded(w.t.Context()); err != nil { // the tests call it past the server, which waits
		w.t.Fatal(err)
	}
	api, err := lis.Dial()
	if err != nil {
		w.t.Fatal(err)
	}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			_ = api.Close()
			srv.Stop()
			all.Wait()
			stopFakes()
		})
	}
	w.t.Cleanup(stop)
	return &running{Registry: r, api: pb.NewRegistryClient(api), stop: stop}
}

// routes is a bus's stream of which the test is the bus.
type routes struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[pb.RoutesRequest, pb.RoutesResponse]
	seq    uint64
	seen   []*pb.RoutesResponse
	again  bool // it knows Route.again
}

func (r *running) routes(t *testing.T) *routes {
	t.Helper()
	s, err := r.api.Routes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &routes{t: t, stream: s}
}

// ask gives the route of an address.
func (r *routes) ask(to string) *pb.Route {
	r.t.Helper()
	r.seq++
	if err := r.stream.Send(&pb.RoutesRequest{Queries: []*pb.RouteQuery{{Sequence: r.seq, To: to, Again: r.again}}}); err != nil {
		r.t.Fatal(err)
	}
	var route *pb.Route
	r.read(func(resp *pb.RoutesResponse) bool {
		for _, a := range resp.Answers {
			if a.Sequence == r.seq {
				route = a.Route
			}
		}
		return route != nil
	})
	return route
}

// source gives the answer for a `from`.
func (r *routes) source(q *pb.SourceQuery) *pb.SourceAnswer {
	r.t.Helper()
	r.seq++
	q.Sequence = r.seq
	if err := r.stream.Send(&pb.RoutesRequest{Sources: []*pb.SourceQuery{q}}); err != nil {
		r.t.Fatal(err)
	}
	var answer *pb.SourceAnswer
	r.read(func(resp *pb.RoutesResponse) bool {
		for _, a := range resp.Sources {
			if a.Sequence == r.seq {
				answer = a
			}
		}
		return answer != nil
	})
	return answer
}

// pushed waits for a change of a route.
func (r *routes) pushed(to string) *pb.Route {
	r.t.Helper()
	var route *pb.Route
	find := func(resp *pb.RoutesResponse) bool {
		for i, c := range resp.Changes {
			if c.To == to {
				route = c
				resp.Changes = append(resp.Changes[:i:i], resp.Changes[i+1:]...)
				return true
			}
		}
		return false
	}
	if slices.ContainsFunc(r.seen, find) {
		return route
	}
	r.read(find)
	return route
}

// leads waits for the change with which a route leads somewhere; the others on
// the way there are left out.
func (r *routes) leads(to, next string) *pb.Route {
	r.t.Helper()
	for {
		if route := r.pushed(to); route.Next == next {
			return route
		}
	}
}

// stale waits until a source is to be verified again.
func (r *routes) stale(from string) {
	r.t.Helper()
	find := func(resp *pb.RoutesResponse) bool {
		for i, s := range resp.StaleSources {
			if s == from {
				resp.StaleSources = append(resp.StaleSources[:i:i], resp.StaleSources[i+1:]...)
				return true
			}
		}
		return false
	}
	if slices.ContainsFunc(r.seen, find) {
		return
	}
	r.read(find)
}

// read takes responses until one is what the test waits for; all are kept.
// wasStale tells whether a source was to be verified again among what has been read.
func (r *routes) wasStale(from string) bool {
	return slices.ContainsFunc(r.seen, func(old *pb.RoutesResponse) bool { return slices.Contains(old.StaleSources, from) })
}

func (r *routes) read(done func(*pb.RoutesResponse) bool) {
	r.t.Helper()
	for {
		resp, err := r.stream.Recv()
		if err != nil {
			r.t.Fatal(err)
		}
		resp = proto.CloneOf(resp)
		r.seen = append(r.seen, resp)
		if done(resp) {
			return
		}
	}
}
