package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/peerbus/peerbus/services/msgnode"
)

// table is one of the page.
type table struct {
	title  string
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print it in Markdown.
func (t *table) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n| %s |\n|%s\n", t.title, strings.Join(t.header, " | "), strings.Repeat(" --- |", len(t.header)))
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r, " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tables are all, out of one simulation.
func tables(p *params) ([]*table, error) {
	l, err := live(p)
	if err != nil {
		return nil, err
	}
	m := &model{params: p, life: l, limits: msgnode.DefaultLimits()}
	herds, err := m.herds()
	if err != nil {
		return nil, err
	}
	variants := m.variants()
	return []*table{
		p.measured(), p.measuredStore(), p.measuredRuntime(), m.lifeTable(), m.layoutTable(),
		m.boundTable(), m.memoryTable(), herdTable(herds), variantTable(variants), m.splitTable(variants),
	}, nil
}

func (p *params) measured() *table {
	c, r := p.costs.Node, p.costs.Records
	t := &table{title: "A replica of the Message Node", header: []string{"of", "memory", "CPU"}}
	t.add("the process", size(c.BaseBytes), "")
	t.add("a session over gRPC, idle, without its record", size(c.GRPCSessionBytes), "")
	t.add("a session over WebSocket, likewise", size(c.WebSocketSessionBytes), "")
	t.add("the record of a session", size(r.SessionBytes), "")
	t.add("an address that was allocated", size(r.OwnerBytes), "")
	t.add("an address that was subscribed", size(r.SubscribeBytes), "")
	t.add("an entry of the domain registry", size(r.EntryBytes), "")
	t.add("connecting and opening: "+number(c.OpenWrites)+" writes", "", micro(c.OpenCPU))
	t.add("losing a connection and re-opening: "+number(c.ReturnWrites)+" writes", "", micro(c.ReturnCPU))
	t.add("subscribing an address: a write", "", micro(c.SubscribeCPU))
	t.add("registering a hyperty; refreshing it: a write each", "", micro(c.RegisterCPU)+"; "+micro(c.RefreshCPU))
	t.add("looking a hyperty up", "", micro(c.LookupCPU))
	t.add("seeing a write of another replica", "", micro(c.ApplyCPU))
	t.add(fmt.Sprintf("relaying %d bytes, gRPC; WebSocket", c.MessageBytes), "", micro(c.RelayCPU)+"; "+micro(c.RelayWebSocketCPU))
	t.add("relaying them between two replicas: the sender's; the receiver's; NATS", "", micro(c.HopOutCPU)+"; "+micro(c.HopInCPU)+"; "+micro(c.HopNATSCPU))
	t.add("a search by scheme, for each entry of it", "", micro(r.SchemeCPU))
	return t
}

func (p *params) measuredStore() *table {
	s, b := p.costs.Store, p.costs.Start
	t := &table{title: "The store", header: []string{"of", "one server", "three servers"}}
	t.add("a write, leader", micro(s.One.LeaderCPU), micro(s.Three.LeaderCPU))
	t.add("a write, each of the others", "", micro(s.Three.FollowerCPU))
	t.add("handing it to a watcher", micro(s.DeliverCPU), "")
	t.add(fmt.Sprintf("writes a second, %d at once, all on this machine", s.One.Writers), number(s.One.WritesPerSecond), number(s.Three.WritesPerSecond))
	t.add("memory of a record", size(s.MemoryBytes), "")
	t.add("disk: a session, an allocated address, a subscribed one, an entry",
		strings.Join([]string{size(s.SessionBytes), size(s.OwnerBytes), size(s.SubscribeBytes), size(s.EntryBytes)}, ", "), "")
	t.add(fmt.Sprintf("a replica that reads %s records back", number(float64(b.Records))),
		fmt.Sprintf("%s s, while others worked; %s and %s a record, it and NATS", number(b.Seconds), micro(b.CPU), micro(b.NATSCPU)), "")
	t.add("its memory for each of them, resident; live", size(b.Bytes)+"; "+size(b.Live), "")
	return t
}

func (p *params) measuredRuntime() *table {
	r := p.costs.Runtime
	t := &table{title: "A runtime", header: []string{"of", "memory", "CPU", "writes at the Message Node"}}
	t.add("its start", "", "", number(r.StartWrites))
	t.add("a hyperty", "", "", number(r.HypertyWrites))
	t.add("a peer connection being set up, both ends", "", "", number(r.ConnectionWrites))
	t.add(fmt.Sprintf("an idle peer connection, of %d, at the p2pstub", r.Connections), size(r.ConnectionBytes), micro(r.ConnectionCPU)+" a second", "")
	t.add("a remote address that the registry knows", size(r.RegistryBytes), "", "")
	t.add("a route of the bus, with its flow's marks", size(r.BusBytes), "", "")
	t.add(fmt.Sprintf("%d bytes over the data channel: both buses; both p2pstubs", r.MessageBytes), "", micro(r.BusCPU)+"; "+micro(r.P2PStubCPU), "")
	return t
}

func (m *model) lifeTable() *table {
	l, n := m.life, float64(m.params.runtimes)
	t := &table{title: "A runtime's share of the domain", header: []string{"what", "of one", fmt.Sprintf("of %s", number(n))}}
	row := func(what string, of float64, unit string) { t.add(what, number(of)+unit, number(of*n)+unit) }
	row("sessions", l.sessions, "")
	row("addresses allocated", l.owners, "")
	row("addresses subscribed", l.subscribers, "")
	row("entries of the domain registry", l.entries, "")
	row("markers of removed keys, in the store alone", l.markers, "")
	row("writes of the state", l.stateWrites, "/s")
	row("writes of the domain registry", l.registryWrites, "/s")
	row("re-opens", l.returns, "/s")
	row("look-ups", l.lookups, "/s")
	row("messages relayed", m.params.relayed, "/s")
	return t
}

func (m *model) layoutTable() *table {
	t := &table{title: "Layout", header: []string{"runtimes"}}
	cells := map[string]*[]string{}
	names := []string{}
	row := func(name, cell string) {
		if cells[name] == nil {
			cells[name] = &[]string{name}
			names = append(names, name)
		}
		*cells[name] = append(*cells[name], cell)
	}
	for _, share := range []float64{0.01, 0.1, 0.3, 1} {
		n := math.Round(float64(m.params.runtimes) * share)
		t.header = append(t.header, number(n))
		d, fits := m.fits(n)
		row("fits", yes(fits))
		row("replicas", number(d.replicas))
		row("sessions of each", number(d.sessions))
		row("memory of each", size(d.memory))
		row("of it, the copy of the store", size(d.copied))
		row("cores of each", number(d.cores))
		row("of them, seeing the others' writes", number(d.applied))
		row("network of each", size(d.network)+"/s")
		row("writes", number(d.writes)+"/s")
		row("writes handed to replicas", number(d.deliveries)+"/s")
		row("messages between replicas", number(d.hops)+"/s")
		row("cores of a NATS server", number(d.natsCores))
		row("memory of it", size(d.natsMemory))
		row("disk of it", size(d.natsDisk))
		row("network out of it", size(d.natsNetwork)+"/s")
		row("subjects with a record", number(d.subjects))
		row("subscriptions of the replicas", number(d.interests))
		row("a replica reads the store back in", number(d.startSeconds)+" s")
	}
	for _, name := range names {
		t.add(*cells[name]...)
	}
	return t
}

func (m *model) boundTable() *table {
	n := float64(m.params.runtimes)
	t := &table{title: "Limits, the first one first", header: []string{"limit", "reached with runtimes", "there is", number(n) + " runtimes take", "lifted by"}}
	bounds := m.bounds()
	sortBy(bounds, m.reached)
	d, _ := m.fits(n)
	for _, b := range bounds {
		t.add(b.name, number(m.reached(b)), amount(b.have, b.unit), amount(b.use(d), b.unit), b.lift)
	}
	return t
}

// memoryTable is of one domain on larger machines.
func (m *model) memoryTable() *table {
	t := &table{title: "Larger machines", header: []string{"memory of a replica and of a NATS server", "runtimes in one domain", "until", "then"}}
	for _, gib := range []float64{16, 32, 64, 128} {
		p := *m.params
		p.memory = gib * (1 << 30)
		larger := *m
		larger.params = &p
		bounds := larger.bounds()[configured:]
		sortBy(bounds, larger.reached)
		t.add(number(gib)+" GiB", number(larger.reached(bounds[0])), bounds[0].name, bounds[1].name)
	}
	return t
}

func herdTable(all []comeback) *table {
	t := &table{title: "Many at once", header: []string{
		"what", "runtimes", "half are back after", "99%", "all", "opens/s at a replica, most", "writes/s, most", "writes waiting, most", "writes", "in vain", "attempts for each",
	}}
	for _, c := range all {
		half, most, last := duration(c.half), duration(c.most), duration(c.all)
		switch share := float64(c.left) / float64(c.what.runtimes); {
		case share > 0.5:
			half = "never"
			fallthrough
		case share > 0.01:
			most = "never"
			fallthrough
		case share > 0:
			last = "never: " + number(float64(c.left)) + " are not"
		}
		t.add(c.what.name, number(float64(c.what.runtimes)), half, most, last,
			number(float64(c.peakOpens)), number(float64(c.peakWrites)), number(float64(c.longestQueue)), number(float64(c.writes)), number(float64(c.inVain)),
			number(float64(c.attempts)/float64(c.what.runtimes)))
	}
	return t
}

func variantTable(all []variant) *table {
	p := all[0].model.params
	n := float64(p.runtimes)
	t := &table{title: "What would lift them", header: []string{
		"with", "records of " + number(n), "memory of a replica", "memory of a NATS server", "cores of a replica", "writes to a bucket", "runtimes in one domain", "until", "then",
	}}
	for _, v := range all {
		d := v.model.lay(n, v.model.replicasFor(n))
		bounds := v.model.bounds()[configured:]
		sortBy(bounds, v.model.reached)
		t.add(v.name, number(d.records), size(d.memory), size(d.natsMemory), number(d.cores),
			number(n*max(v.model.life.stateWrites, v.model.life.registryWrites)*v.model.shared())+"/s",
			number(v.model.reached(bounds[0])), bounds[0].name, bounds[1].name)
	}
	return t
}

func (m *model) splitTable(all []variant) *table {
	n := number(float64(m.params.runtimes))
	t := &table{title: n + " runtimes in several domains", header: []string{
		"with", "domains", "fits", "contacts abroad", "sessions of a runtime", "replicas of each", "in all", "NATS servers in all", "memory of a replica", "writes of each",
	}}
	for _, v := range all[:2] {
		for _, domains := range []int{1, 2, 3, 5, 10, 20} {
			s := v.model.splitInto(domains)
			t.add(v.name, number(float64(domains)), yes(s.fits), percent(s.abroad), number(1+s.foreign), number(s.layout.replicas),
				number(s.layout.replicas*float64(domains)), number(float64(domains*m.params.servers)), size(s.layout.memory), number(s.layout.writes)+"/s")
		}
	}
	return t
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func percent(f float64) string { return fmt.Sprintf("%.0f%%", 100*f) }

func duration(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

func micro(us float64) string { return number(us) + " µs" }
