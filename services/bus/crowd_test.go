package bus

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

const (
	erin   = "hyperty://a.example/erin"
	byName = "hyperty://a.example/by-name" // leads to erin
)

// crowd is clients that post to each other, and to themselves, at a bus without gRPC.
type crowd struct {
	*alone
	t       *testing.T
	batches bool
	level   slog.LevelVar
	metrics *prometheus.Registry
	members []*member
}

// member is a client of a crowd.
type member struct {
	*stream
	name, source  string
	listens       []added
	window        uint32
	first, posted uint64 // numbers
	open          []*pb.Post
}

func newCrowd(t *testing.T, l Limits, window uint32, before uint64, batches bool) *crowd {
	c := &crowd{alone: newAlone(t, l), t: t, batches: batches, metrics: prometheus.NewRegistry()}
	c.bus.log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: &c.level}))
	if err := c.bus.metrics.register(c.metrics, c.bus); err != nil {
		t.Fatal(err)
	}
	c.approve(alice, bob)
	c.bus.table.grow()
	c.members = []*member{
		{name: "one", source: alice, listens: []added{{alice, ""}}, window: window},
		{name: "two", source: bob, listens: []added{{carol, ""}, {byName, erin}}, window: 2000},
		{name: "three", source: alice, listens: []added{{erin, ""}}, window: window},
	}
	for _, m := range c.members {
		m.first, m.posted = before+1, before
		c.attach(m)
	}
	return c
}

func (c *crowd) attach(m *member) {
	m.stream = c.begin(c.t, m.name)
	for _, l := range m.listens {
		c.listen(m, l)
	}
}

func (c *crowd) listen(m *member, l added) {
	if err := c.bus.addListener(m.stream, &pb.ListenerChange{Address: l.address, LeadsTo: l.leadsTo, Window: m.window}); err != nil {
		c.t.Error(err)
	}
}

func (c *crowd) leave(m *member, l added) {
	if err := c.bus.removeListener(m.stream, l.address, l.leadsTo); err != nil {
		c.t.Error(err)
	}
}

// post has n messages posted in a frame.
func (c *crowd) post(m *member, n int, to, text string, asks bool) {
	var posts []*pb.Post
	for range n {
		m.posted++
		p := &pb.Post{Number: m.posted, Message: &pb.Message{
			Id: fmt.Sprint(m.posted), Type: "event", From: m.source, To: to, Body: fmt.Appendf(nil, `{"value":%q}`, m.name+text),
		}}
		if asks && m.posted%7 == 0 {
			p.Sequence, p.Wait = m.posted, pb.Wait_WAIT_ACCEPTED
		}
		posts = append(posts, p)
	}
	m.open = append(m.open, posts...)
	takeFrame(c.t, m.stream, posts, c.batches)
}

// again attaches a member anew, which posts again what it has not been told of.
func (c *crowd) again(m *member) {
	c.cutOff(m.stream)
	c.attach(m)
	for _, p := range m.open {
		p.Again = true
	}
	for posts := range slices.Chunk(m.open, 64) {
		takeFrame(c.t, m.stream, posts, c.batches)
	}
}

// swap has a member listen to an address beside others, or no more.
func (c *crowd) swap(m *member, l added) {
	if i := slices.Index(m.listens, l); i >= 0 {
		m.listens = slices.Delete(m.listens, i, i+1)
		c.leave(m, l)
		return
	}
	m.listens = append(m.listens, l)
	c.listen(m, l)
}

// crowdSeen is what all members have seen, and what the bus says of itself.
type crowdSeen struct {
	Messages                       [][]*pb.Delivery // to each member
	Settled, Refused, Open         [][]uint64       // of each member's posts
	Outcomes, Queues, Held, Counts []string
	Kept                           int
}

func (c *crowd) look() (s crowdSeen) {
	synctest.Wait() // for timers
	for _, m := range c.members {
		came, settled, outcomes := c.take(m)
		s.Messages, s.Settled, s.Outcomes = append(s.Messages, came), append(s.Settled, settled), append(s.Outcomes, outcomes...)
	}
	slices.Sort(s.Outcomes)
	for _, m := range c.members {
		open, refused := m.fates()
		s.Open, s.Refused = append(s.Open, open), append(s.Refused, refused)
		s.Held = append(s.Held, fmt.Sprint(m.held.Load()))
		s.Queues = append(s.Queues, m.queues()...)
	}
	s.Kept, s.Counts = c.bus.kept(), countsOf(c.t, c.metrics)
	return s
}

// take is what a member gets now.
func (c *crowd) take(m *member) (came []*pb.Delivery, settled []uint64, outcomes []string) {
	for _, resp := range framesOf(c.t, m.stream) {
		came = append(came, resp.Deliveries...)
		for _, o := range resp.Outcomes {
			outcomes = append(outcomes, fmt.Sprint(m.name, o.Sequence, o.Code))
			m.charge(-outcomeCost(o))
		}
		for _, r := range resp.Settled {
			for n := r.First; n <= r.Last; n++ {
				settled = append(settled, n)
			}
		}
	}
	slices.Sort(settled)
	settled = slices.Compact(settled)
	m.open = slices.DeleteFunc(m.open, func(p *pb.Post) bool { return slices.Contains(settled, p.Number) })
	return came, settled, outcomes
}

// fates are those of its posts.
func (m *member) fates() (open, refused []uint64) {
	o := m.origin
	o.mu.Lock()
	defer o.mu.Unlock()
	for n := m.first; n <= m.posted; n++ {
		if o.open.get(n) != nil || o.batches.get(n) != nil {
			open = append(open, n)
		}
		if _, is := o.failed.get(n); is {
			refused = append(refused, n)
		}
	}
	return open, refused
}

func (m *member) queues() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, in := range m.inboxes {
		all = append(all, fmt.Sprint(m.name, name, in.bytes, in.messages, in.underWay, in.given, in.outside, in.stuck, m.queued))
	}
	slices.Sort(all)
	return all
}

// countsOf are the metrics of a bus.
func countsOf(t *testing.T, metrics *prometheus.Registry) (all []string) {
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			all = append(all, fmt.Sprint(f.GetName(), m.Label, m.GetCounter().GetValue()+m.GetGauge().GetValue()))
		}
	}
	return all
}

func (c *crowd) end() {
	for _, m := range c.members {
		c.cutOff(m.stream)
	}
	c.bus.origins.end()
	c.bus.carryOut(c.bus.table.end(errStopping))
}
