package bus

import (
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// shore is a bus to which another runtime sends in a flow, over two stubs, without gRPC. What
// comes goes through batches where it can, or never.
type shore struct {
	*alone
	t       *testing.T
	batches bool
	level   slog.LevelVar
	told    toldLines // lines of the log about messages
	metrics *prometheus.Registry
	members []*member  // listeners
	stubs   [2]*stream // direct, relay

	epoch    uint64
	sent     uint64        // the last sequence
	number   uint64        // the last one
	base     uint64        // what is below it is settled
	receiver uint64        // as it has said last
	open     []*pb.Message // that are not settled
	late     [][]byte      // frames that are under way, of both ways
	lateBy   []int
}

func newShore(t *testing.T, l Limits, window uint32, batches bool) *shore {
	s := &shore{alone: newAlone(t, l), t: t, batches: batches, metrics: prometheus.NewRegistry(), epoch: 1, base: 1}
	s.bus.log = slog.New(slog.NewTextHandler(&s.told, &slog.HandlerOptions{Level: &s.level}))
	if err := s.bus.metrics.register(s.metrics, s.bus); err != nil {
		t.Fatal(err)
	}
	s.approveAll()
	s.bus.table.grow()
	for i, comp := range []pb.Component{pb.Component_COMPONENT_P2P_STUB, pb.Component_COMPONENT_NODE_STUB} {
		s.stubs[i] = newStream(s.bus, "stub", comp)
		s.stubs[i].unlimited = true
		if err := s.bus.addListener(s.stubs[i], &pb.ListenerChange{Address: shoreWays[i]}); err != nil {
			t.Fatal(err)
		}
	}
	s.bus.table.learn(address.Bus(remote), &pb.Route{
		To: address.Bus(remote), Next: connURL, Relay: nodeURL, RuntimeUrl: remote, Flow: pb.FlowUse_FLOW_USE_ANNOUNCED,
	}, false)
	s.members = []*member{
		{name: "one", listens: []added{{carol, ""}}, window: window},
		{name: "two", listens: []added{{erin, ""}, {byName, erin}}, window: 3000},
	}
	for _, m := range s.members {
		s.attach(m)
	}
	return s
}

// toldLines counts the lines of a log about messages that are posted or refused.
type toldLines struct{ lines int }

func (t *toldLines) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "msg=posted") || strings.Contains(string(line), "msg=refused") {
		t.lines++
	}
	return len(line), nil
}

var shoreWays = [2]string{connURL, nodeURL}

// shoreSources are how bob is seen over each of the ways.
var shoreSources = [2]sourceKey{{from: bob, remote: remote}, {from: bob, node: true}}

func (s *shore) approveAll() {
	for _, k := range shoreSources {
		s.bus.sources.answered(&question{key: k, line: k}, &pb.SourceAnswer{Code: 200})
	}
}

func (s *shore) attach(m *member) {
	m.stream = s.begin(s.t, m.name)
	for _, l := range m.listens {
		s.listen(m, l)
	}
}

func (s *shore) listen(m *member, l added) {
	if err := s.bus.addListener(m.stream, &pb.ListenerChange{Address: l.address, LeadsTo: l.leadsTo, Window: m.window}); err != nil {
		s.t.Error(err)
	}
}

func (s *shore) leave(m *member, l added) {
	if err := s.bus.removeListener(m.stream, l.address, l.leadsTo); err != nil {
		s.t.Error(err)
	}
}

// swap has a member listen to an address beside others, or no more.
func (s *shore) swap(m *member, l added) {
	if i := slices.Index(m.listens, l); i >= 0 {
		m.listens = slices.Delete(m.listens, i, i+1)
		s.leave(m, l)
		return
	}
	m.listens = append(m.listens, l)
	s.listen(m, l)
}

// make makes the next n messages, some of which may be odd ones.
func (s *shore) make(n int, to, text string, odd int) (made []*pb.Message) {
	for i := range n {
		s.sent, s.number = s.sent+1, s.number+1
		m := &pb.Message{
			Id: fmt.Sprint(s.number), Type: "event", From: bob, To: to, Body: fmt.Appendf(nil, `{"value":%q}`, text),
			Origin: []byte("o"), Number: s.number, Flow: &pb.Flow{Sequence: s.sent},
		}
		if odd > 0 && i%odd == odd-1 {
			oddly(m, i/odd)
		}
		made = append(made, m)
	}
	s.open = append(s.open, made...)
	return made
}

// ask begins the flow with a transmission that has no message.
func (s *shore) ask() {
	bare := &pb.Message{Id: "1", Type: message.FlowType, From: bob, To: address.Bus(runtimeURL), Flow: &pb.Flow{}}
	s.arrive(overDirect, s.frames(overDirect, []*pb.Message{bare}, false))
}

// oddly makes a message one that is like few others.
func oddly(m *pb.Message, how int) {
	switch how % 5 {
	case 0:
		m.P2P = true
	case 1:
		m.Body = []byte("{")
	case 2:
		m.Origin, m.Number = nil, 0
	case 3:
		m.Body = nil
	default:
		m.Type = message.Response
	}
}

// frames are messages of the story's flow as a stub posts them.
func (s *shore) frames(way int, messages []*pb.Message, carried bool) [][]byte {
	placed := make([]*pb.Message, 0, len(messages))
	for _, one := range messages {
		m := proto.CloneOf(one)
		m.Flow = &pb.Flow{Runtime: remote, Epoch: s.epoch, Id: 77, Sequence: one.Flow.Sequence, Base: s.base, Receiver: one.Flow.Receiver}
		placed = append(placed, m)
	}
	return stubFrames(way, placed, carried)
}

// stubFrames are messages as the stub of a way posts them: carried, with what the stub has
// to say in front of their bytes, an even number in rows; or as anybody encodes them.
func stubFrames(way int, messages []*pb.Message, carried bool) (frames [][]byte) {
	ingress := &pb.Ingress{}
	if way == overDirect {
		ingress.RemoteRuntimeUrl = remote
	}
	for some := range slices.Chunk(messages, 64) {
		req := &pb.AttachRequest{}
		var b []byte
		some = slices.Clone(some)
		for i, m := range some {
			if carried {
				n := 0
				if len(some)%2 == 0 {
					n = followers(some, i)
				}
				b = append(b, carriedPost(way, ingress, m, some[i+1:i+1+n])...)
				clear(some[i+1 : i+1+n])
				continue
			}
			m = proto.CloneOf(m)
			m.Via = shoreWays[way]
			req.Posts = append(req.Posts, &pb.Post{Message: m, Ingress: ingress})
		}
		if !carried {
			b, _ = proto.Marshal(req)
		}
		frames = append(frames, b)
	}
	return frames
}

// followers is how many messages behind one may be its sequels.
func followers(all []*pb.Message, at int) (n int) {
	first := all[at]
	if first == nil || !proto.Equal(first, &pb.Message{
		Id: first.Id, Type: first.Type, From: first.From, To: first.To, Body: first.Body, Origin: first.Origin, Number: first.Number,
		Flow: &pb.Flow{
			Runtime: first.Flow.GetRuntime(), Epoch: first.Flow.GetEpoch(), Id: first.Flow.GetId(),
			Sequence: first.Flow.GetSequence(), Base: first.Flow.GetBase(), After: first.Flow.GetAfter(),
		},
	}) || first.Number == 0 || first.Flow.Base > first.Flow.Sequence {
		return 0
	}
	want := proto.CloneOf(first)
	for _, m := range all[at+1:] {
		want.Id, want.Body = m.Id, m.Body
		want.Number, want.Flow.Sequence, want.Flow.After = want.Number+1, want.Flow.Sequence+1, 0
		if !proto.Equal(m, want) {
			break
		}
		n++
	}
	return n
}

// carriedPost is a message as a stub passes it on, with others that follow it; nothing if it has
// been passed on with the one before.
func carriedPost(way int, ingress *pb.Ingress, m *pb.Message, sequels []*pb.Message) []byte {
	if m == nil {
		return nil
	}
	encoded, _ := proto.Marshal(m)
	c := codec.NewCarried(codec.Whole(m, encoded), shoreWays[way], ingress)
	b, _ := c.Append(nil)
	post := &pb.Post{}
	for _, s := range sequels {
		post.Sequels = append(post.Sequels, &pb.Message{Id: s.Id, Body: s.Body})
	}
	more, _ := proto.Marshal(post)
	return protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), append(b, more...))
}

func (s *shore) arrive(way int, frames [][]byte) {
	for _, b := range frames {
		takeBytes(s.t, s.stubs[way], b, s.batches)
	}
}

// again sends all again that is not settled; with another epoch for a bus that was started
// anew.
func (s *shore) again(way int, restarted, carried bool) {
	if restarted {
		s.epoch, s.sent, s.base, s.receiver = s.epoch+1, 0, 1, 0
	}
	for _, m := range s.open {
		if restarted {
			s.sent++
			m.Flow.Sequence = s.sent
		}
		m.Flow.Receiver = s.receiver
	}
	s.arrive(way, s.frames(way, s.open, carried))
	for _, m := range s.open {
		m.Flow.Receiver = 0
	}
}

// shoreSeen is what all see, and what the bus says of itself.
type shoreSeen struct {
	Came                      [][]*pb.Delivery // to each member
	Queues, Receivers, Counts []string
	Kept, Open, HeldBytes     int
	Talks, Told               int
}

func (s *shore) look() (seen shoreSeen, batched int) {
	synctest.Wait() // for timers
	batched = s.batched()
	for _, m := range s.members {
		var came []*pb.Delivery
		for _, resp := range framesOf(s.t, m.stream) {
			came = append(came, resp.Deliveries...)
		}
		slices.SortStableFunc(came, func(a, b *pb.Delivery) int { return strings.Compare(a.Listener, b.Listener) }) // whose turn it is may differ
		seen.Came = append(seen.Came, came)
		seen.Queues = append(seen.Queues, m.queues()...)
	}
	for _, stub := range s.stubs {
		for _, resp := range framesOf(s.t, stub) {
			if len(resp.Outcomes)+len(resp.Settled) > 0 {
				s.t.Errorf("a stub was told %v", resp)
			}
		}
	}
	f := s.bus.flows
	f.mu.Lock()
	for in := range s.ins() {
		in.mu.Lock()
		r := *in.receiver // what it says changes the copy alone
		all := allSaid(&r)
		_, due := in.receiver.AckDue()
		seen.Receivers = append(seen.Receivers, fmt.Sprint(in.id, in.counted, r.Backlog(), r.Ahead(), in.receiver.Idle(), due, all))
		if in.id.Epoch == s.epoch {
			s.hear(all)
		}
		in.mu.Unlock()
	}
	f.mu.Unlock()
	slices.Sort(seen.Receivers)
	seen.Kept, seen.Open, seen.HeldBytes = s.bus.kept(), f.seen.open(), int(f.held.Load())
	seen.Talks, seen.Told = len(f.seen.talks), s.told.lines
	seen.Counts = slices.DeleteFunc(countsOf(s.t, s.metrics), func(c string) bool { // how many acks there are is for timers to say
		return strings.Contains(c, "delivered_total") && strings.Contains(c, "_stub")
	})
	return seen, batched
}

// ins are the flows that come in. They are locked.
func (s *shore) ins() iter.Seq[*inflow] {
	return func(yield func(*inflow) bool) {
		for _, rm := range s.bus.flows.remotes {
			for _, in := range rm.in {
				if !yield(in) {
					return
				}
			}
		}
	}
}

// batched is how many messages are in batches now.
func (s *shore) batched() (n int) {
	seen := &s.bus.flows.seen
	seen.mu.Lock()
	defer seen.mu.Unlock()
	for _, of := range seen.talks {
		n += of.batches.posts()
	}
	return n
}

// said is what all acks of a receiver come to.
type said struct {
	receiver, received uint64
	beyond             string
	dealt              []uint64 // up to received
	refused            map[uint64]int32
	parts              bool // they did not fit into one
}

func allSaid(r *flow.Receiver) said {
	all := said{refused: map[uint64]int32{}}
	dealt := map[uint64]bool{}
	for range 20 { // the first begins where the one before has ended, which is for timers to say
		a := r.Ack(time.Now())
		all.receiver, all.received, all.beyond = a.Receiver, a.Received, fmt.Sprint(a.ReceivedBeyond)
		all.parts = all.parts || len(a.DealtBeyond) >= 16 || len(a.Refusals) >= 16
		for n := range a.Dealt {
			dealt[n+1] = true
		}
		for _, of := range a.DealtBeyond {
			for n := of.First; n <= of.Last; n++ {
				dealt[n] = true
			}
		}
		for _, of := range a.Refusals {
			all.refused[of.Sequence] = of.Code
		}
	}
	all.dealt = slices.Sorted(maps.Keys(dealt))
	return all
}

// hear takes in what is acknowledged, as its sender does.
func (s *shore) hear(all said) {
	s.receiver = max(s.receiver, all.receiver)
	s.open = slices.DeleteFunc(s.open, func(m *pb.Message) bool {
		_, refused := all.refused[m.Flow.Sequence]
		_, dealt := slices.BinarySearch(all.dealt, m.Flow.Sequence)
		return refused || dealt
	})
	s.base = s.sent + 1
	if len(s.open) > 0 {
		s.base = s.open[0].Flow.Sequence
	}
}

func (s *shore) end() {
	for _, m := range s.members {
		s.cutOff(m.stream)
	}
	s.finish()
	s.bus.carryOut(s.bus.table.end(errStopping))
}
