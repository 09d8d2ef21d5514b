package registry

import (
	"context"
	"fmt"
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
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// bed is a world with replicas: registries, which are real, and P2P stubs, which the
// test plays.
type bed struct {
	*world
	engine *engine.Engine
	conn   *grpc.ClientConn // to the world's bus and Message Node stub

	mu      sync.Mutex
	serving map[string]*rpc.Memory // by address
	dead    map[string]bool        // replicas that have died
}

// quick finds out soon who is gone.
var quick = members.Limits{Beat: 20 * time.Millisecond, Misses: 25}

func newBed(t *testing.T) *bed { return newBedOver(t, openEngine(t)) }

func newBedOver(t *testing.T, e *engine.Engine) *bed {
	w := newWorld(t)
	conn, stop := w.serve()
	t.Cleanup(stop)
	return &bed{world: w, engine: e, conn: conn, serving: map[string]*rpc.Memory{}, dead: map[string]bool{}}
}

// join makes a member of the runtime, until stop.
func (b *bed) join(kind, name string) (g *members.Group, stop func()) {
	b.t.Helper()
	return b.joinOver(b.engine, kind, name)
}

func (b *bed) joinOver(e *engine.Engine, kind, name string) (g *members.Group, stop func()) {
	b.t.Helper()
	g, err := members.New(members.Config{
		Engine: e, RuntimeURL: runtimeA, Limits: quick, Log: slog.New(slog.DiscardHandler),
		Self: members.Member{Kind: kind, ID: name, Addr: name + ":1"},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return g, b.runOf(name, g.Run)
}

// run runs something until stop, or the end of the test.
func (b *bed) run(part func(context.Context) error) (stop func()) { return b.runOf("", part) }

// runOf runs a part of a replica, which may fail once that has died.
func (b *bed) runOf(replica string, part func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := part(ctx); err != nil && !b.isDead(replica) {
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

func (b *bed) isDead(replica string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dead[replica]
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
	return b.registryOver(b.engine, name, life, change)
}

func (b *bed) registryOver(e *engine.Engine, name string, life func(*Replica) func(context.Context) error, change func(*Config)) *registryReplica {
	b.t.Helper()
	group, leave := b.joinOver(e, Kind, name)
	cfg := Config{
		RuntimeURL: runtimeA, NodeStub: pb.NewNodeStubClient(b.conn), Bus: b.conn, Engine: e, Log: testLog(b.t),
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
	end := b.runOf(name, life(r))
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

const (
	createdState = pb.ConnectionState_CONNECTION_STATE_CREATED
	liveState    = pb.ConnectionState_CONNECTION_STATE_LIVE
)

// owned gives a runtime, with an address in it, that belongs to a P2P stub.
func owned(b *bed, by string, among ...string) (remote, addr string) {
	var all []members.Member
	for _, name := range among {
		all = append(all, members.Member{ID: name})
	}
	for i := 0; ; i++ {
		remote = fmt.Sprintf("hyperty-runtime://b.example/%d", i)
		if m, _ := members.Owner(all, remote); m.ID == by {
			b.answer(address.DomainRegistry("b.example"), found(remote, remote+"/p2phandler/1"))
			return remote, fmt.Sprintf("hyperty://b.example/%s-%d", by, i)
		}
	}
}

// live plays a set-up by a requester until its connection is live.
func (b *bed) live(t *testing.T, r *running, s *stubReplica, remote string) (stub string) {
	t.Helper()
	stub = s.has(requester, remote)
	b.answer(stub, ok)
	s.says(stub, requester, remote, createdState)
	s.says(stub, requester, remote, liveState)
	r.state(t, remote, status.Live)
	return stub
}

func connect(t *testing.T, api pb.RegistryClient, addr string) *pb.Connection {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := api.Connect(ctx, &pb.ConnectRequest{Address: addr})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Connection
}
