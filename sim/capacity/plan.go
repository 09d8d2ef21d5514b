package main

import (
	"math"

	"github.com/peerbus/peerbus/services/msgnode"
)

// layout is a domain of so many runtimes at so many replicas.
type layout struct {
	runtimes, replicas float64
	sessions           float64 // of each replica
	records            float64 // of the domain, in memory everywhere
	writes             float64 // a second, to both buckets

	memory  float64 // bytes of a replica
	copied  float64 // of them, the copy of the store
	cores   float64 // of a replica
	applied float64 // of them, seeing what the others write
	network float64 // bytes a second into and out of a replica, the larger

	natsCores    float64 // of the busiest server
	natsMemory   float64
	natsDisk     float64
	natsNetwork  float64 // bytes a second out of the busiest server
	deliveries   float64 // writes handed to watchers, a second, of all servers
	hops         float64 // messages between replicas, a second
	subjects     float64 // with a stored record
	interests    float64 // subscriptions of the replicas
	startSeconds float64 // until a replica has read the store back
}

// lay computes the layout of a domain with a given number of replicas.
func (m *model) lay(runtimes, replicas float64) layout {
	p, l := m.params, m.life
	d := layout{
		runtimes: runtimes, replicas: replicas, sessions: runtimes * l.sessions / replicas,
		records: runtimes * l.records(), writes: runtimes * l.writes(),
	}
	d.hops = runtimes * p.relayed * (2 - m.shared() - 1/replicas)
	m.layMemory(&d)
	m.layCores(&d)
	m.layNetwork(&d)
	m.layNATS(&d)
	d.startSeconds = d.records * m.shared() * p.costs.Start.CPU / 1e6 // one core does it
	return d
}

// resident is what a kind of record takes in a replica: its share of the copy, what the
// store's book-keeping adds to every record, and room for the garbage collector, as
// measured with a whole process.
func (m *model) resident() float64 {
	r, s, l := m.params.costs.Records, m.params.costs.Start, m.life
	mixed := func(session, owner, subscriber, entry float64) float64 {
		return session*r.SessionBytes + owner*r.OwnerBytes + subscriber*r.SubscribeBytes + entry*r.EntryBytes
	}
	const filled = 16 // of the records that sim/measure fills a store with
	besides := max(s.Live-mixed(1, 8, 5, 2)/filled, 0)
	return (mixed(l.sessions, l.owners, l.subscribers, l.entries) + besides*l.records()) * s.Bytes / s.Live
}

func (m *model) layMemory(d *layout) {
	n := m.params.costs.Node
	d.copied = d.runtimes * m.resident() * m.shared()
	socket := n.GRPCSessionBytes*(1-m.params.webSocket) + n.WebSocketSessionBytes*m.params.webSocket
	d.memory = n.BaseBytes + d.copied + d.sessions*socket
}

func (m *model) layCores(d *layout) {
	p, l, n := m.params, m.life, m.params.costs.Node
	d.applied = d.writes * m.shared() * (1 - 1/d.replicas) * n.ApplyCPU / 1e6
	own := l.returns*n.ReturnCPU + l.subscribes*n.SubscribeCPU + l.refreshes*n.RefreshCPU + l.lookups*n.LookupCPU
	relay := n.RelayCPU*(1-p.webSocket) + n.RelayWebSocketCPU*p.webSocket
	own += p.relayed * (relay/d.replicas + (n.HopOutCPU+n.HopInCPU)*(2-m.shared()-1/d.replicas))
	d.cores = d.applied + d.runtimes/d.replicas*own/1e6
}

// Assumed, as no wire was looked at: what gRPC, NATS, TCP and IP add to a message.
const envelope = 300 // bytes

func (m *model) layNetwork(d *layout) {
	l, p := m.life, m.params
	seen := d.runtimes * (l.stateBytes + l.registryBytes + envelope*l.writes())
	each := d.runtimes / d.replicas
	messages := each * p.relayed * (float64(p.messageSize) + envelope)
	asked := each * (l.lookups + l.refreshes) * 2 * envelope
	d.network = seen*m.shared() + messages*(3-m.shared()-1/d.replicas) + asked
}

func (m *model) layNATS(d *layout) {
	p, l, s := m.params, m.life, m.params.costs.Store
	servers := float64(p.servers)
	d.deliveries = d.writes * d.replicas * m.shared()
	bucket := s.Three
	if p.servers == 1 {
		bucket = s.One
	}
	d.natsCores = (d.writes*bucket.LeaderCPU + d.deliveries/servers*s.DeliverCPU + d.hops/servers*2*p.costs.Node.HopNATSCPU) / 1e6
	kept := l.sessions*s.SessionBytes + l.owners*s.OwnerBytes + l.subscribers*s.SubscribeBytes + l.entries*s.EntryBytes
	d.natsMemory = s.BaseBytes + d.runtimes*(l.records()+l.markers)*s.MemoryBytes
	d.natsDisk = d.runtimes * (kept + l.markers*s.OwnerBytes)
	written := d.runtimes * (l.stateBytes + l.registryBytes + envelope*l.writes())
	d.natsNetwork = written*(servers-1) + written*d.replicas*m.shared()/servers + d.hops/servers*(float64(p.messageSize)+envelope)
	d.subjects = d.runtimes * (l.records() + l.markers)
	d.interests = d.replicas * interestsOfReplica
}

// interestsOfReplica are its subscriptions: the hop, its refusals, a watcher of each
// bucket, and the inbox of its answers.
const interestsOfReplica = 5

// model computes layouts out of a life.
type model struct {
	params *params
	life   life
	limits msgnode.Limits
	shards int // of both buckets; a replica follows one of them. 0 is 1
}

// shared is the part of the domain's records that a replica follows.
func (m *model) shared() float64 { return 1 / float64(max(m.shards, 1)) }

// fits finds the least number of replicas with which each of them has room, also for
// what another one had that is gone; false when more of them do not help: then it is
// the layout that its sessions need.
func (m *model) fits(runtimes float64) (layout, bool) {
	p := m.params
	const most = 1000
	for r := m.replicasFor(runtimes); r <= most; r++ {
		d := m.lay(runtimes, r)
		if d.memory > p.memory*p.utilisation || d.applied > p.cores*p.utilisation {
			break // every replica has as much
		}
		if d.cores <= p.cores*p.utilisation {
			return d, true
		}
	}
	return m.lay(runtimes, m.replicasFor(runtimes)), false
}

// bound is one of what a domain has enough of, or not.
type bound struct {
	name string
	use  func(layout) float64
	have float64
	unit string
	lift string // what would lift it
}

// configured is how many of the bounds are numbers of the program, which come first.
const configured = 2

func (m *model) bounds() []bound {
	p := m.params
	planned := func(of float64) float64 { return of * p.utilisation }
	return []bound{
		{"sessions of the domain (Limits.Sessions)", func(d layout) float64 { return d.runtimes }, float64(m.limits.Sessions), "", "a larger bound, where there is memory"},
		{"entries of the domain registry (Limits.Entries)", func(d layout) float64 { return d.runtimes * m.life.entries }, float64(m.limits.Entries), "", "likewise"},
		{"memory of a replica", func(d layout) float64 { return d.memory }, planned(p.memory), "B", "fewer records, shards"},
		{"memory of a NATS server", func(d layout) float64 { return d.natsMemory }, planned(p.memory), "B", "fewer records, shards"},
		{"cores of a replica", func(d layout) float64 { return d.cores }, planned(p.cores), "", "fewer writes, shards"},
		{"writes to a bucket", func(d layout) float64 {
			return d.runtimes * max(m.life.stateWrites, m.life.registryWrites) * m.shared()
		}, planned(p.storeWrites), "/s", "shards"},
		{"cores of a NATS server", func(d layout) float64 { return d.natsCores }, planned(p.cores), "", "fewer writes, shards"},
		{"network of a NATS server", func(d layout) float64 { return d.natsNetwork }, planned(p.network), "B/s", "shards"},
		{"start of a replica in " + duration(p.start), func(d layout) float64 { return d.startSeconds }, p.start.Seconds(), "s", "shards, a snapshot"},
	}
}

// reached is the number of runtimes at which a bound is: of domains with as many
// replicas as their sessions need.
func (m *model) reached(b bound) float64 {
	low, high := 1.0, 1e9
	for range 60 {
		mid := math.Sqrt(low * high)
		if b.use(m.lay(mid, m.replicasFor(mid))) > b.have {
			high = mid
		} else {
			low = mid
		}
	}
	return low
}

// replicasFor is how many the sessions need, one of them being gone.
func (m *model) replicasFor(runtimes float64) float64 {
	return max(float64(m.params.minReplicas), math.Ceil(runtimes*m.life.sessions/float64(m.limits.Sockets))+1)
}
