package bus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/message"
)

// roster is who is a member, and behind which door.
type roster struct {
	mu      sync.Mutex
	seats   []*seat // in the order in which they came
	changed chan struct{}
	cut     map[[2]string]bool // who does not reach whom
	lines   map[[2]string][]net.Conn
}

func newRoster() *roster {
	return &roster{changed: make(chan struct{}), cut: map[[2]string]bool{}, lines: map[[2]string][]net.Conn{}}
}

// seat is one member: what a bus has for its Replicas.
type seat struct {
	roster *roster
	self   members.Member
	door   *door
	tap    func(*Bus) pb.MessageBusServer // what serves in the place of the bus itself; nil for that
}

var starts atomic.Uint64

func (r *roster) seat(id string) *seat {
	return &seat{roster: r, self: members.Member{
		Kind: Kind, ID: id, Addr: id + ".example:1",
	}}
}

// take makes a seat that of a bus that is behind a door.
func (s *seat) take(d *door) {
	s.door = d
	s.roster.change(func() { s.roster.seats = append(s.roster.seats, s) })
}

func (r *roster) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

// drop takes a member away.
func (r *roster) drop(s *seat) {
	r.change(func() {
		for i, one := range r.seats {
			if one == s {
				r.seats = append(r.seats[:i:i], r.seats[i+1:]...)
				return
			}
		}
	})
}

func (s *seat) Self() members.Member { return s.self }

func (s *seat) Leave() { s.roster.change(func() { s.self.Leaving = true }) }

func (s *seat) Watch(ctx context.Context, kind string, f func([]members.Member)) error {
	for {
		s.roster.mu.Lock()
		var all []members.Member
		for _, one := range s.roster.seats {
			if one.self.Kind == kind {
				all = append(all, one.self)
			}
		}
		changed := s.roster.changed
		s.roster.mu.Unlock()
		f(all)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *seat) dial(m members.Member) (*grpc.ClientConn, error) {
	s.roster.mu.Lock()
	defer s.roster.mu.Unlock()
	for _, one := range s.roster.seats {
		if one.self.ID == m.ID {
			return one.door.connOver(func(ctx context.Context, addr string) (net.Conn, error) {
				return s.roster.line([2]string{s.self.ID, m.ID}, func() (net.Conn, error) { return one.door.dial(ctx, addr) })
			}), nil
		}
	}
	return nil, fault.New(fault.NotFound, "%s is not there", m.ID)
}

// line is a connection from one replica to another, unless it is cut.
func (r *roster) line(way [2]string, dial func() (net.Conn, error)) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut[way] {
		return nil, fault.New(fault.Unavailable, "%s does not reach %s", way[0], way[1])
	}
	conn, err := dial()
	if err == nil {
		r.lines[way] = append(r.lines[way], conn)
	}
	return conn, err
}

// part has two replicas reach one another no more, or again.
func (r *roster) part(a, b *seat, cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, way := range [][2]string{{a.self.ID, b.self.ID}, {b.self.ID, a.self.ID}} {
		if r.cut[way] = cut; !cut {
			continue
		}
		for _, conn := range r.lines[way] {
			_ = conn.Close()
		}
		r.lines[way] = nil
	}
}

// cluster is the replicas of the bus of one runtime.
type cluster struct {
	t      testing.TB
	limits Limits
	roster *roster
	all    []*replicaHouse
	count  int
	log    *slog.Logger                                     // of those that are added
	tap    func(replica string, b *Bus) pb.MessageBusServer // likewise; see seat
}

type replicaHouse struct {
	*house
	seat *seat
}

func newCluster(t testing.TB, l Limits, n int) *cluster {
	c := &cluster{t: t, limits: l, roster: newRoster(), log: quiet()}
	for range n {
		c.add()
	}
	return c
}

// add starts one more replica, and waits until all are linked.
func (c *cluster) add() *replicaHouse {
	c.count++
	s := c.roster.seat(fmt.Sprint("bus-", c.count))
	if c.tap != nil {
		s.tap = func(b *Bus) pb.MessageBusServer { return c.tap(s.self.ID, b) }
	}
	h := &replicaHouse{newHouseOf(c.t, c.limits, c.log, s), s}
	c.all = append(c.all, h)
	c.linked()
	return h
}

func (c *cluster) linked() {
	for _, h := range c.all {
		h.until("the links of "+h.seat.self.ID, func() bool { return h.bus.mesh.connected() == len(c.all)-1 })
	}
}

// kill ends a replica without a word; others notice by its streams first.
func (c *cluster) kill(i int) {
	h := c.all[i]
	c.all = append(c.all[:i:i], c.all[i+1:]...)
	for _, other := range c.all {
		c.roster.part(h.seat, other.seat, true)
	}
	h.busDoor.close()
	h.end()
	c.roster.drop(h.seat)
}

// roamer is a client that can be moved from one replica to another.
type roamer struct {
	*client.Bus
	at   atomic.Pointer[replicaHouse]
	mu   sync.Mutex
	conn net.Conn
}

func (c *cluster) roam(h *replicaHouse) *roamer { return c.roamAs("roamer", h) }

func (c *cluster) roamAs(name string, h *replicaHouse) *roamer {
	r := &roamer{}
	r.at.Store(h)
	conn, err := grpc.NewClient("passthrough:///roamer", grpc.WithContextDialer(r.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(rpc.MaxFrame), grpc.MaxCallSendMsgSize(rpc.MaxFrame)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: time.Millisecond},
			MinConnectTimeout: 5 * time.Second,
		}))
	if err != nil {
		c.t.Fatal(err)
	}
	if r.Bus, err = client.New(client.Config{Conn: conn, Name: name, Log: quiet()}); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx)
	}()
	c.t.Cleanup(func() {
		cancel()
		<-done
		_ = conn.Close()
	})
	if _, err := r.Ready(h.ctx); err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (r *roamer) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := r.at.Load().busDoor.dial(ctx, addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = conn
	return conn, err
}

// move has it lose its connection, and attach to another replica.
func (r *roamer) move(h *replicaHouse) {
	r.at.Store(h)
	r.mu.Lock()
	conn := r.conn
	r.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}

// ids checks that numbered messages come once each, and in order.
func ids(t testing.TB, ctx context.Context, got chan *pb.Message, n int) {
	t.Helper()
	for i := range n {
		select {
		case m := <-got:
			if want := message.NumberID(int64(i)); m.Id != want {
				t.Fatalf("message %s came, want %s", m.Id, want)
			}
		case <-ctx.Done():
			t.Fatalf("message %d did not come", i)
		}
	}
}

func nothingElse(t testing.TB, got chan *pb.Message) {
	t.Helper()
	select {
	case m := <-got:
		t.Errorf("message %s came besides", m.Id)
	default:
	}
}

func TestAListenerAtAnotherReplicaGetsAllInOrder(t *testing.T) {
	c := newCluster(t, Limits{}, 2)
	a, b := c.all[0], c.all[1]
	got := b.listen(b.app(), carol)
	app := a.app()
	const n = 5000
	for i := range n {
		if err := app.Send(a.ctx, numbered(alice, carol, i)); err != nil {
			t.Fatal(err)
		}
	}
	ids(t, a.ctx, got, n)
	if err := app.Post(a.ctx, numbered(alice, carol, n), client.Delivered()); err != nil {
		t.Fatal(err)
	}
	if m := b.next(got); m.Id != message.NumberID(n) {
		t.Errorf("got %s", m.Id)
	}
	if _, err := pb.NewMessageBusClient(a.conn()).Post(a.ctx, &pb.PostRequest{Message: ping(alice, carol), Wait: pb.Wait_WAIT_DELIVERED}); err != nil {
		t.Error(err)
	}
}

func TestWhoListensIsKnownEverywhereOnceItIsTold(t *testing.T) {
	c := newCluster(t, Limits{}, 3)
	a, b := c.all[0], c.all[1]
	one, two := a.app(), b.app()
	for i := range 200 {
		address := fmt.Sprintf("hyperty://a.example/%d", i)
		l, err := two.Listen(b.ctx, address, func(context.Context, *pb.Message) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := one.Post(a.ctx, ping(alice, address)); err != nil {
			t.Fatalf("listener %d: %v", i, err)
		}
		if err := l.Close(b.ctx); err != nil {
			t.Fatal(err)
		}
	}
	a.until("the listeners are gone", func() bool { return a.bus.table.size().listeners == 0 })
}

func TestAllReplicasListenersGetEachMessageOnce(t *testing.T) {
	c := newCluster(t, Limits{}, 3)
	var got []chan *pb.Message
	for _, h := range c.all {
		got = append(got, h.listen(h.app(), carol), h.listen(h.app(), carol))
	}
	app := c.all[1].app()
	for i := range 300 {
		if err := app.Post(c.all[1].ctx, numbered(alice, carol, i), client.Delivered()); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range got {
		ids(t, c.all[1].ctx, g, 300)
		nothingElse(t, g)
	}
}

func TestASlowListenerAtAnotherReplicaHoldsUpItsPostersAlone(t *testing.T) {
	l := DefaultLimits()
	l.FullTime = 200 * time.Millisecond
	c := newCluster(t, l, 2)
	a, b := c.all[0], c.all[1]
	free := make(chan struct{})
	slow := make(chan *pb.Message, 100_000)
	if _, err := b.app().Listen(b.ctx, carol, func(_ context.Context, m *pb.Message) {
		<-free
		slow <- m
	}); err != nil {
		t.Fatal(err)
	}
	quick := b.listen(b.app(), bob)
	app := a.app()
	body := fmt.Appendf(nil, `{"value":%q}`, strings.Repeat("x", 10_000))
	taken := 0
	for ; ; taken++ {
		m := numbered(alice, carol, taken)
		m.Body = body
		err := app.Post(a.ctx, m)
		if fault.CodeOf(err) == fault.TooMany {
			break
		}
		if err != nil || taken > 10_000 {
			t.Fatalf("post %d: %v", taken, err)
		}
	}
	for i := range 100 {
		if err := app.Post(a.ctx, numbered(alice, bob, i), client.Delivered()); err != nil {
			t.Fatal(err)
		}
	}
	ids(t, a.ctx, quick, 100)
	close(free)
	ids(t, a.ctx, slow, taken)
	nothingElse(t, slow)
}

func TestAClosedListenerAtAnotherReplicaIsGone(t *testing.T) {
	c := newCluster(t, Limits{}, 2)
	a, b := c.all[0], c.all[1]
	in := make(chan struct{}, 10)
	app, stop := b.attach(pb.Component_COMPONENT_APPLICATION)
	if _, err := app.Listen(b.ctx, carol, func(ctx context.Context, _ *pb.Message) {
		in <- struct{}{}
		<-ctx.Done()
		client.Abandon(ctx)
	}); err != nil {
		t.Fatal(err)
	}
	a.bus.table.grow()
	one := a.app()
	outcome, err := one.Start(a.ctx, ping(alice, carol), pb.Wait_WAIT_DELIVERED, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	<-in
	stop()
	if _, err := outcome(a.ctx); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("what it had not dealt with ended with %v, want 503", err)
	}
	eventually(t, "a post is refused, once the other replica has heard of that", func() bool {
		return fault.CodeOf(one.Post(a.ctx, ping(alice, carol))) == fault.NotFound
	})
}

// traffic posts numbered messages from one client to another; meanwhile is called now and
// then. Each has to come once and in order.
func traffic(t *testing.T, from, to *roamer, n int, meanwhile func(i int)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := make(chan *pb.Message, n+1000)
	if _, err := to.Listen(ctx, carol, func(_ context.Context, m *pb.Message) { got <- m }); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Listen(ctx, alice, func(_ context.Context, m *pb.Message) {
		t.Errorf("message %s was refused: %s", m.Id, m.Body)
	}); err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{}, 1000) // no more than what a line takes
	for i := range n {
		if i%100 == 50 {
			meanwhile(i / 100)
		}
		sent <- struct{}{}
		outcome, err := from.Start(ctx, numbered(alice, carol, i), pb.Wait_WAIT_DELIVERED, time.Minute)
		if err != nil {
			t.Fatalf("post %d: %v", i, err)
		}
		go func() {
			if _, err := outcome(ctx); err != nil {
				t.Errorf("message %d was not delivered: %v", i, err)
			}
			<-sent
		}()
	}
	ids(t, ctx, got, n)
	if err := from.Post(ctx, numbered(alice, carol, n), client.Delivered()); err != nil {
		t.Errorf("the last one: %v", err)
	}
	if last := <-got; last.Id != message.NumberID(int64(n)) {
		t.Errorf("the last one is %s", last.Id)
	}
	nothingElse(t, got)
}

func TestAListenerMovesUnderTraffic(t *testing.T) {
	c := newCluster(t, Limits{}, 3)
	from, to := c.roam(c.all[0]), c.roam(c.all[1])
	traffic(t, from, to, 2000, func(i int) { to.move(c.all[i%3]) })
}

func TestASenderMovesUnderTraffic(t *testing.T) {
	c := newCluster(t, Limits{}, 3)
	from, to := c.roam(c.all[0]), c.roam(c.all[1])
	traffic(t, from, to, 2000, func(i int) { from.move(c.all[i%3]) })
}

func TestBothMoveUnderTraffic(t *testing.T) {
	c := newCluster(t, Limits{}, 3)
	from, to := c.roam(c.all[0]), c.roam(c.all[1])
	traffic(t, from, to, 2000, func(i int) {
		from.move(c.all[i%3])
		to.move(c.all[(i*7+1)%3])
	})
}

func TestReplicasAreKilledUnderTraffic(t *testing.T) {
	c := newCluster(t, Limits{}, 3)
	from, to := c.roam(c.all[0]), c.roam(c.all[1])
	clients := []*roamer{from, to}
	traffic(t, from, to, 4000, func(i int) {
		if i%4 != 0 {
			return
		}
		dead := c.all[i/4%3]
		for k, r := range clients {
			if r.at.Load() == dead {
				r.at.Store(c.all[(i/4+1+k)%3])
			}
		}
		c.kill(i / 4 % 3)
		c.add()
	})
}

// The links break, and the replicas live: what was under way is handed over again.
func TestLinksBreakUnderTraffic(t *testing.T) {
	c := newCluster(t, Limits{}, 3)
	traffic(t, c.roam(c.all[0]), c.roam(c.all[1]), 2000, func(i int) {
		for _, s := range c.all[i%3].bus.mesh.streams() {
			s.cancel(errReplaced)
		}
	})
	c.linked()
}

// A listener that is sent elsewhere by a replica which stops, and what waits for it.
func TestAReplicaHandsOver(t *testing.T) {
	c := newCluster(t, Limits{}, 3)
	a := c.all[0]
	to := c.roam(a)
	free, got := make(chan struct{}), make(chan *pb.Message, 1000)
	if _, err := to.Listen(a.ctx, carol, func(_ context.Context, m *pb.Message) {
		<-free
		got <- m
	}); err != nil {
		t.Fatal(err)
	}
	stream, err := pb.NewMessageBusClient(a.conn()).Listen(a.ctx, &pb.ListenRequest{Addresses: []string{bob}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	calls := pb.NewMessageBusClient(a.conn())
	const n = 100
	for i := range n { // nobody but this replica keeps them
		req := &pb.PostRequest{Message: numbered(alice, carol, i), Wait: pb.Wait_WAIT_ACCEPTED, IdempotencyKey: fmt.Sprint("key ", i)}
		if _, err := calls.Post(a.ctx, req); err != nil {
			t.Fatal(err)
		}
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		a.bus.HandOver(a.ctx)
	}()
	if _, err := stream.Recv(); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a listener was told %v, want 503", err)
	}
	late, err := calls.Listen(a.ctx, &pb.ListenRequest{Addresses: []string{bob}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Recv(); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a replica that stops answers a new listener with %v, want 503", err)
	}
	to.move(c.all[1])
	close(free)
	<-over
	if left := a.bus.kept(); left != 0 {
		t.Errorf("%d messages are left", left)
	}
	c.kill(0)
	ids(t, c.all[0].ctx, got, n)
	if owner := c.all[0].bus.mesh.owner(remote); owner.ID == a.seat.self.ID {
		t.Error("a replica that stops owns flows")
	}
}

// A request whose replica is killed is posted again at another one; its answer comes
// once the first one is there no more.
func TestARequestOutlivesItsReplica(t *testing.T) {
	as, b := replicated(t, quick(), 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	asked, may := make(chan struct{}, 10), make(chan struct{})
	echo := b.app()
	if _, err := echo.Listen(ctx, b.hyperty(1), func(ctx context.Context, m *pb.Message) {
		asked <- struct{}{}
		<-may
		if err := echo.Send(ctx, message.Answer(m, 200, nil)); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	outcome, err := as[0].app().Start(ctx, ping(as[0].hyperty(1), b.hyperty(1)), pb.Wait_WAIT_RESPONSE, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	as[0].stop()
	close(may)
	as[0].start()
	if _, err := outcome(ctx); err != nil {
		t.Error(err)
	}
}

// The response to a request is with a replica that is killed before it has taken it from
// the one that got it: that one keeps it for the next.
func TestAResponseOutlivesTheReplicaThatItIsHandedTo(t *testing.T) {
	as, b := replicated(t, quick(), 4)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	asking := as[0] // no stub is attached to it, and it does not take the flow
	if asking.bus.mesh.owns(b.url) {
		asking = as[3]
	}
	var release []func()
	for _, l := range *asking.bus.mesh.links.Load() {
		l.taking.Lock() // it takes nothing from now on
		release = append(release, l.taking.Unlock)
	}
	echo := b.app()
	if _, err := echo.Listen(ctx, b.hyperty(1), func(ctx context.Context, m *pb.Message) {
		if err := echo.Send(ctx, message.Answer(m, 200, nil)); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	id := asking.bus.mesh.id
	outcome, err := asking.app().Start(ctx, ping(asking.hyperty(1), b.hyperty(1)), pb.Wait_WAIT_RESPONSE, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the response is on its way to where its request waits", func() bool {
		for _, a := range as {
			for _, s := range a.bus.mesh.streams() {
				if s.peer == id && s.kept() > 0 {
					return true
				}
			}
		}
		return false
	})
	for _, a := range as {
		a.bus.table.grow()
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		asking.stop()
	}()
	eventually(t, "the others have lost it", func() bool {
		for _, a := range as {
			for _, s := range a.bus.mesh.streams() {
				if s.peer == id {
					return false
				}
			}
		}
		return true
	})
	for _, f := range release {
		f()
	}
	<-stopped
	asking.start()
	if _, err := outcome(ctx); err != nil {
		t.Error(err)
	}
}

// A client that waits for a response moves, and asks again where it is now. The response
// comes where it has been.
func TestARequestMovesWithItsClient(t *testing.T) {
	c := newCluster(t, Limits{}, 2)
	a, b := c.all[0], c.all[1]
	from, echo := c.roam(a), a.app()
	asked, may := make(chan *pb.Message, 10), make(chan struct{})
	if _, err := echo.Listen(a.ctx, carol, func(ctx context.Context, m *pb.Message) {
		asked <- m
		<-may
		if err := echo.Send(ctx, message.Answer(m, 200, nil)); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	outcome, err := from.Start(a.ctx, ping(alice, carol), pb.Wait_WAIT_RESPONSE, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	m := a.next(asked)
	from.move(b)
	a.untilAwaited(m)
	close(may)
	if _, err := outcome(a.ctx); err != nil {
		t.Error(err)
	}
}

// All replicas are told to stop at the same time: there is none that could take anything.
func TestReplicasThatAllStopDoNotWaitForOneAnother(t *testing.T) {
	c := newCluster(t, Limits{DrainTime: time.Hour, ReturnTime: time.Hour}, 3)
	held := make(chan struct{})
	var over sync.WaitGroup
	for i, h := range c.all {
		to := fmt.Sprintf("hyperty://a.example/%d", i)
		if _, err := h.app().Listen(h.ctx, to, func(context.Context, *pb.Message) { <-held }); err != nil {
			t.Fatal(err)
		}
		if err := h.app().Send(h.ctx, ping(alice, to)); err != nil {
			t.Fatal(err)
		}
		h.until("it is under way", func() bool { return h.bus.kept() > 0 })
	}
	for _, h := range c.all {
		over.Go(func() { h.bus.HandOver(h.ctx) })
	}
	over.Wait()
	if err := c.all[0].ctx.Err(); err != nil {
		t.Error("they have waited")
	}
	close(held)
}
