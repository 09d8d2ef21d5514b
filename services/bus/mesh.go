package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/protocol/message"
)

// Replicas says which buses serve the same runtime. A *members.Group does.
type Replicas interface {
	// Self is this bus.
	Self() members.Member
	// Watch calls f with all of a kind, at first and at each change, until ctx is done.
	Watch(ctx context.Context, kind string, f func([]members.Member)) error
	// Leave has the others give this one nothing new.
	Leave()
}

// Kind is the kind of member that a bus is.
const Kind = "bus"

// mesh is the other replicas of the bus. Each attaches to each other one, and tells it
// what it has (link.go); what one has attached to this bus tells is taken in
// replica.go.
//
//	           r1 dials r2                      r2 dials r1
//	r1 ──── its listeners, clients, ───▶ r2 ──── likewise ───▶ r1
//	        credits, forwards
//	   ◀─── deliveries for them ───────     ◀───────────────
//
// A nil mesh is that of a bus without others: its methods do nothing.
//
// Locks: mu is taken below the table's. That of a link is below both.
type mesh struct {
	bus   *Bus
	group Replicas
	id    string // of this one
	// flowName is what it is called in its flows. Others need not know its address.
	flowName string
	dial     func(members.Member) (*grpc.ClientConn, error)
	limits   Limits // of the streams of others

	ready     chan struct{} // closed when it is known what the others have, or it took too long
	readyOnce sync.Once
	moved     chan struct{}                    // has a token when flows may belong to another replica
	looks     chan struct{}                    // has a token when deliveries may have a listener now
	links     atomic.Pointer[[]*link]          // that are up, or may soon be
	reach     atomic.Pointer[[]members.Member] // this one, and those that forwards reach

	mu      sync.Mutex
	ctx     context.Context // of run; nil before it
	running sync.WaitGroup  // links
	loaded  bool            // it has been told who is there
	self    members.Member
	peers   map[string]*replica
	changed chan struct{} // closed, and made anew, when peers change
	awaited *cache[message.Key, elsewhere]
	given   *givenResponses
}

// replica is another one.
type replica struct {
	member members.Member
	here   bool    // it is a member now
	link   *link   // to it; nil when nobody keeps it up
	in     *stream // from it
	handed *inbox  // of in: for responses that it waits for
	told   bool    // by in: all that it has
	epoch  uint64  // of its flows, as in has said
}

func newMesh(b *Bus, cfg Config) *mesh {
	m := &mesh{
		bus: b, group: cfg.Replicas, id: cfg.Replicas.Self().ID, self: cfg.Replicas.Self(), dial: cfg.Dial, limits: b.limits,
		ready: make(chan struct{}), moved: make(chan struct{}, 1), looks: make(chan struct{}, 1),
		peers: map[string]*replica{}, changed: make(chan struct{}),
		awaited: newCache[message.Key, elsewhere](b.limits.Requests), given: newGiven(&b.limits),
	}
	sum := sha256.Sum256([]byte(m.self.Addr))
	m.flowName = hex.EncodeToString(sum[:4])
	m.limits.StreamBytes = b.limits.ReplicaBytes
	m.limits.StreamListeners = b.limits.Listeners
	m.links.Store(&[]*link{})
	m.reach.Store(&[]members.Member{m.self})
	return m
}

// run keeps a link to each other replica until ctx is done, and then waits for their
// end.
func (m *mesh) run(ctx context.Context) {
	if m == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer m.running.Wait()
	defer cancel()
	m.mu.Lock()
	m.ctx = ctx
	m.mu.Unlock()
	m.running.Go(func() { m.watch(ctx) })
	m.running.Go(func() { m.serve(ctx) })
	late := time.AfterFunc(m.bus.limits.JoinTime, m.open)
	defer late.Stop()
	<-ctx.Done()
}

// watch follows who is there.
func (m *mesh) watch(ctx context.Context) {
	if err := m.group.Watch(ctx, Kind, m.set); err != nil && ctx.Err() == nil {
		m.bus.log.Error("the other replicas are not watched any more", "error", err)
	}
}

// serve does what waits for no one.
func (m *mesh) serve(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-m.moved:
			m.bus.flows.rehome()
		case <-m.looks:
			for _, l := range *m.links.Load() {
				l.lookAgain()
				m.bus.table.retell(l, 0)
			}
		case now := <-tick.C:
			m.given.expire(now)
			for _, l := range *m.links.Load() {
				l.expire(now)
				l.forsake(now)
				m.bus.table.retell(l, 1)
			}
		case <-ctx.Done():
			return
		}
	}
}

// set takes who is there now.
func (m *mesh) set(all []members.Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loaded = true
	for _, p := range m.peers {
		p.here = false
	}
	for _, one := range all {
		if one.ID == m.id {
			m.self = one
			continue
		}
		p := m.peers[one.ID]
		if p == nil {
			p = &replica{}
			m.peers[one.ID] = p
		}
		p.member, p.here = one, true
		if p.link == nil && m.ctx.Err() == nil {
			l := newLink(m, one)
			p.link = l
			m.running.Go(func() { l.run(m.ctx) })
		}
	}
	m.renew()
}

// renew finds anew what follows from the peers. It is called with mu held.
func (m *mesh) renew() {
	var links []*link
	reach := []members.Member{m.self}
	settled := m.loaded
	for id, p := range m.peers {
		if !p.here && p.link == nil && p.in == nil {
			delete(m.peers, id)
			continue
		}
		if p.link != nil {
			p.link.away.Store(!p.here)
			links = append(links, p.link)
		}
		if p.here && p.link != nil && p.link.up.Load() {
			reach = append(reach, p.member)
		}
		settled = settled && (!p.here || p.told || p.link != nil && p.link.failed.Load())
	}
	slices.SortFunc(reach, func(a, b members.Member) int { return strings.Compare(a.ID, b.ID) })
	m.links.Store(&links)
	if !slices.Equal(reach, *m.reach.Load()) {
		m.reach.Store(&reach)
		signal(m.moved)
	}
	close(m.changed)
	m.changed = make(chan struct{})
	if settled {
		m.open()
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (m *mesh) open() { m.readyOnce.Do(func() { close(m.ready) }) }

// joined waits until it is known what the other replicas have: else what is posted
// here might find nobody.
func (m *mesh) joined(ctx context.Context) error {
	if m == nil {
		return nil
	}
	select {
	case <-m.ready:
		return nil
	case <-ctx.Done():
		return endOf(ctx.Err())
	}
}

// renewed finds anew what follows from the links.
func (m *mesh) renewed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renew()
}

// wanted tells whether a link is to be made again. One that is not is forgotten.
func (m *mesh) wanted(l *link) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[l.member.ID]
	if p == nil || p.link != l {
		return false
	}
	if p.here && m.ctx.Err() == nil {
		return true
	}
	p.link = nil
	m.renew()
	return false
}

// name is that of this replica in its flows: the same after a restart at the same
// address. Empty without others.
func (m *mesh) name() string {
	if m == nil {
		return ""
	}
	return m.flowName
}

// owner is the replica that takes the flows of a remote runtime.
func (m *mesh) owner(remote string) members.Member {
	if m == nil {
		return members.Member{}
	}
	one, _ := members.Owner(*m.reach.Load(), remote)
	return one
}

// owns tells whether this one does.
func (m *mesh) owns(remote string) bool { return m == nil || m.owner(remote).ID == m.id }

// linkTo gives the link to a replica that is meant; nil without one that is up.
func (m *mesh) linkTo(meant func(*replica) bool) *link {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		if p.link != nil && p.link.up.Load() && meant(p) {
			return p.link
		}
	}
	return nil
}

// tell has all other replicas told of a change. The table is locked.
func (m *mesh) tell(c *pb.ReplicaChange) {
	for _, l := range *m.links.Load() {
		l.tell(c)
	}
}

// look has deliveries tried again that had no listener here. The table is locked.
func (m *mesh) look() {
	if m != nil {
		signal(m.looks)
	}
}

// linked tells whether both sides reach one another. The mesh is locked.
func (p *replica) linked() bool { return p.link != nil && p.link.up.Load() && p.told }

// connected is how many other replicas there are that both sides reach.
func (m *mesh) connected() (n int) {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		if p.linked() {
			n++
		}
	}
	return n
}

// streams are those of other replicas.
func (m *mesh) streams() (all []*stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		if p.in != nil {
			all = append(all, p.in)
		}
	}
	return all
}
