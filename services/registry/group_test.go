package registry

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/internal/rpc"
)

// bed is a world with replicas: registries, which are real, and P2P stubs, which the
// test plays.
type bed struct {
	*world
	engine *engine.Engine
	conn   *grpc.ClientConn // to the world's bus and Message Node stub

	mu      sync.Mutex
	serving map[string]*rpc.Memory // by address
}

// quick finds out soon who is gone.
var quick = members.Limits{Beat: 20 * time.Millisecond, Misses: 25}

func newBed(t *testing.T) *bed {
	w := newWorld(t)
	conn, stop := w.serve()
	t.Cleanup(stop)
	return &bed{world: w, engine: openEngine(t), conn: conn, serving: map[string]*rpc.Memory{}}
}

// join makes a member of the runtime, until stop.
func (b *bed) join(kind, name string) (g *members.Group, stop func()) {
	b.t.Helper()
	g, err := members.New(members.Config{
		Engine: b.engine, RuntimeURL: runtimeA, Limits: quick, Log: slog.New(slog.DiscardHandler),
		Self: members.Member{Kind: kind, ID: name, Addr: name + ":1"},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return g, b.run(g.Run)
}

// run runs something until stop, or the end of the test.
func (b *bed) run(part func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := part(ctx); err != nil {
			b.t.Errorf("Run: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	b.t.Cleanup(stop)
	return stop
}

// serveAt serves at an address that Dial finds, until stop.
func (b *bed) serveAt(addr string, register func(grpc.ServiceRegistrar)) (stop func()) {
	srv, lis := grpc.NewServer(), rpc.NewMemory()
	register(srv)
	b.mu.Lock()
	b.serving[addr] = lis
	b.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(lis)
	}()
	stop = func() {
		srv.Stop()
		<-done
	}
	b.t.Cleanup(stop)
	return stop
}

func (b *bed) dial(m members.Member) (grpc.ClientConnInterface, func(), error) {
	b.mu.Lock()
	lis := b.serving[m.Addr]
	b.mu.Unlock()
	if lis == nil {
		lis = rpc.NewMemory() // nobody listens
		_ = lis.Close()
	}
	conn, err := lis.Dial()
	if err != nil {
		return nil, nil, err
	}
	return conn, func() { _ = conn.Close() }, nil
}

// stub is a replica of p2pstub that the test plays.
type stubReplica struct {
	pb.UnimplementedP2PStubServer
	w    *world
	name string

	// guarded by the world's mutex
	term     uint64
	mistaken int // for another replica
	away     bool
	deaf     bool // it takes no Close
	hangs    bool // it does not answer a Take
	stubs    map[string]*pb.P2PStubDeployRequest
	peers    map[string]*pb.Peer // by remote runtime
	watches  map[chan *pb.P2PStubWatchResponse]struct{}

	stop func() // its server, and its membership with it
	halt func() // its server alone
}

func (b *bed) stub(name string) *stubReplica {
	b.t.Helper()
	s := &stubReplica{
		w: b.world, name: name, stubs: map[string]*pb.P2PStubDeployRequest{}, peers: map[string]*pb.Peer{},
		watches: map[chan *pb.P2PStubWatchResponse]struct{}{},
	}
	s.halt = b.serveAt(name+":1", func(r grpc.ServiceRegistrar) { pb.RegisterP2PStubServer(r, s) })
	_, leave := b.join(KindP2PStub, name)
	s.stop = func() {
		s.halt()
		leave()
	}
	return s
}

func (s *stubReplica) heed(term uint64) error {
	if term < s.term {
		return fault.New(fault.Conflict, "another registry leads").In("term")
	}
	s.term = term
	return nil
}

func (s *stubReplica) Deploy(_ context.Context, req *pb.P2PStubDeployRequest) (*pb.P2PStubDeployResponse, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if err := s.heed(req.Term); err != nil {
		return nil, err
	}
	s.stubs[req.StubUrl] = req
	s.w.stubs[req.StubUrl] = req
	s.w.noteLocked(s.name + " deploy " + roleName(req.Role) + " " + req.RemoteRuntimeUrl)
	return &pb.P2PStubDeployResponse{}, nil
}

func (s *stubReplica) Close(_ context.Context, req *pb.P2PStubCloseRequest) (*pb.P2PStubCloseResponse, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if err := s.heed(req.Term); err != nil {
		return nil, err
	}
	if s.deaf {
		s.w.noteLocked(s.name + " does not close " + req.StubUrl)
		return nil, fault.New(fault.Unavailable, "away")
	}
	s.w.noteLocked(s.name + " close " + req.StubUrl + " " + req.RemoteRuntimeUrl)
	return &pb.P2PStubCloseResponse{}, nil
}

func (s *stubReplica) Take(ctx context.Context, req *pb.P2PStubTakeRequest) (*pb.P2PStubTakeResponse, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.hangs {
		s.w.noteLocked(s.name + " does not answer")
		s.w.mu.Unlock()
		<-ctx.Done()
		s.w.mu.Lock()
		return nil, ctx.Err()
	}
	if err := s.heed(req.Term); err != nil {
		return nil, err
	}
	if s.stubs[req.StubUrl] == nil {
		return nil, fault.New(fault.NotFound, "no such stub")
	}
	s.w.noteLocked(s.name + " take " + req.Message.Type + " " + req.Message.From)
	return &pb.P2PStubTakeResponse{}, nil
}

func (s *stubReplica) Watch(req *pb.P2PStubWatchRequest, stream grpc.ServerStreamingServer[pb.P2PStubWatchResponse]) error {
	ch := make(chan *pb.P2PStubWatchResponse, 64)
	snapshot := &pb.P2PStubWatchResponse{Snapshot: true}
	s.w.mu.Lock()
	if err := s.heed(req.Term); err != nil {
		s.w.mu.Unlock()
		return err
	}
	if s.away {
		s.w.noteLocked(s.name + " is away")
		s.w.mu.Unlock()
		return fault.New(fault.Unavailable, "away")
	}
	if req.Replica != s.name {
		s.mistaken++
		s.w.noteLocked(s.name + " is taken for " + req.Replica)
		s.w.mu.Unlock()
		return fault.New(fault.Unavailable, "this is the replica %s", s.name)
	}
	for url := range s.stubs {
		snapshot.Stubs = append(snapshot.Stubs, url)
	}
	for _, p := range s.peers {
		snapshot.Peers = append(snapshot.Peers, p)
	}
	ch <- snapshot
	s.watches[ch] = struct{}{}
	s.w.noteLocked(s.name + " watched")
	s.w.mu.Unlock()
	defer func() {
		s.w.mu.Lock()
		delete(s.watches, ch)
		s.w.mu.Unlock()
	}()
	for {
		select {
		case r := <-ch:
			if r == nil {
				return fault.New(fault.Unavailable, "the stream breaks")
			}
			if err := stream.Send(r); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// goAway breaks its streams, and refuses others until it is back.
func (s *stubReplica) goAway(away bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.away = away
	for ch := range s.watches {
		ch <- nil
	}
}

func (s *stubReplica) tell(r *pb.P2PStubWatchResponse) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, p := range r.Peers {
		s.peers[p.RemoteRuntimeUrl] = p
	}
	for ch := range s.watches {
		ch <- r
	}
}

// says tells of a peer connection of the replica.
func (s *stubReplica) says(stub string, role pb.ConnectionRole, remote string, state pb.ConnectionState) {
	s.tell(&pb.P2PStubWatchResponse{Peers: []*pb.Peer{{StubUrl: stub, Role: role, RemoteRuntimeUrl: remote, State: state}}})
}

// has waits until the replica has a stub of a role, and gives its address.
func (s *stubReplica) has(role pb.ConnectionRole, remote string) string {
	s.w.t.Helper()
	var url string
	s.w.until(s.name+" has "+roleName(role)+" "+remote, func() bool {
		for u, d := range s.stubs {
			if d.Role == role && d.RemoteRuntimeUrl == remote {
				url = u
			}
		}
		return url != ""
	})
	return url
}

// registryReplica is a registry among others, and its API.
type registryReplica struct {
	*Replica
	api  pb.RegistryClient
	stop func()
}

// registry makes a replica; what makes it lead or stand by is run.
func (b *bed) registry(name string, life func(*Replica) func(context.Context) error, change func(*Config)) *registryReplica {
	b.t.Helper()
	group, leave := b.join(Kind, name)
	cfg := Config{
		RuntimeURL: runtimeA, NodeStub: pb.NewNodeStubClient(b.conn), Bus: b.conn, Engine: b.engine, Log: testLog(b.t),
		Group: group, Dial: b.dial, Limits: Limits{Tick: 20 * time.Millisecond},
	}
	if change != nil {
		change(&cfg)
	}
	r, err := NewReplica(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	halt := b.serveAt(name+":1", r.Serve)
	end := b.run(life(r))
	conn, hangUp, err := b.dial(group.Self())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(hangUp)
	return &registryReplica{Replica: r, api: pb.NewRegistryClient(conn), stop: func() {
		end()
		halt()
		leave()
	}}
}

func mayLead(r *Replica) func(context.Context) error    { return r.Run }
func onlyStands(r *Replica) func(context.Context) error { return r.standBy }

// leads waits until a replica is in office.
func (r *registryReplica) leads(t *testing.T) *running {
	t.Helper()
	late := time.After(patience)
	for {
		own, _, changed := r.who()
		if own != nil {
			return &running{Registry: own, api: r.api}
		}
		select {
		case <-changed:
		case <-late:
			t.Fatal("it does not lead")
		}
	}
}
