package bus

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// strait is two buses without gRPC, with stubs on two ways between them: a client of one
// posts to listeners of the other.
type strait struct {
	*crowd // of the one that posts
	far    *alone
	stubs  [2][2]*stream // near, far; direct, relay
	limits Limits
	window uint32
	random *rand.Rand

	sender    *member
	listeners []*member
	deals     map[string][]int // sizes of what a listener has and has not dealt with
	got       map[string][]int // numbers, in order

	late    []crossing
	settled map[uint64]bool
	refused map[uint64]bool
	to      map[uint64]string
}

// crossing is messages of a frame on their way.
type crossing struct {
	from, way int
	messages  []*pb.Message
}

const near, farther = 0, 1

func newStrait(t *testing.T, l Limits, window uint32, seed uint64) *strait {
	s := &strait{
		limits: l, window: window, random: rand.New(rand.NewPCG(seed, 1)),
		deals: map[string][]int{}, got: map[string][]int{},
		settled: map[uint64]bool{}, refused: map[uint64]bool{}, to: map[uint64]string{},
	}
	s.crowd = &crowd{t: t, batches: true, metrics: prometheus.NewRegistry()}
	s.sender = &member{name: "sender", source: alice, window: window, first: 1}
	s.members = []*member{s.sender}
	s.startNear()
	s.listeners = []*member{
		{name: "one", listens: []added{{bob, ""}}, window: window},
		{name: "two", listens: []added{{dave, ""}, {frank, ""}}, window: 3000},
	}
	s.startFar()
	return s
}

func (s *strait) startNear() {
	time.Sleep(time.Millisecond) // a later epoch
	s.alone = newAlone(s.t, s.limits)
	s.bus.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	s.approve(alice)
	s.bus.table.grow()
	s.stubs[near] = s.stubsOf(s.bus)
	s.learn(s.bus, frank, &pb.Route{To: frank, Next: nodeURL, Flow: pb.FlowUse_FLOW_USE_UNKNOWN, Reason: pb.RouteReason_ROUTE_REASON_MESSAGE_NODE})
	s.routes(true, false)
	s.attach(s.sender)
}

func (s *strait) startFar() {
	time.Sleep(time.Millisecond)
	b, err := New(Config{RuntimeURL: remote, Registry: noRegistry{}, Limits: s.limits, Log: quiet()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.far = &alone{b, &posts{}}
	for _, k := range []sourceKey{{from: alice, remote: runtimeURL}, {from: alice, node: true}} {
		b.sources.answered(&question{key: k, line: k}, &pb.SourceAnswer{Code: 200})
	}
	b.table.grow()
	s.stubs[farther] = s.stubsOf(b)
	s.learn(b, address.Bus(runtimeURL), &pb.Route{
		To: address.Bus(runtimeURL), Next: connURL, Relay: nodeURL, RuntimeUrl: runtimeURL, Flow: pb.FlowUse_FLOW_USE_ANNOUNCED,
	})
	for _, m := range s.listeners {
		s.attachFar(m)
	}
}

func (s *strait) attachFar(m *member) {
	m.stream = s.far.begin(s.t, m.name)
	for _, l := range m.listens {
		s.deals[l.address] = nil
		if err := s.far.bus.addListener(m.stream, &pb.ListenerChange{Address: l.address, Window: m.window}); err != nil {
			s.t.Error(err)
		}
	}
}

func (s *strait) stubsOf(b *Bus) (stubs [2]*stream) {
	for i, comp := range []pb.Component{pb.Component_COMPONENT_P2P_STUB, pb.Component_COMPONENT_NODE_STUB} {
		stubs[i] = newStream(b, "stub", comp)
		if err := b.addListener(stubs[i], &pb.ListenerChange{Address: shoreWays[i], Window: s.window}); err != nil {
			s.t.Error(err)
		}
	}
	return stubs
}

func (s *strait) learn(b *Bus, to string, r *pb.Route) {
	b.table.mu.Lock()
	b.table.learn(to, r, false)
	b.table.mu.Unlock()
	lookAround(b)
}

func (s *strait) routes(direct, doubt bool) {
	for _, to := range []string{bob, dave, remote + busSuffix} {
		s.route(to, direct, doubt)
	}
}

func (s *strait) route(to string, direct, doubt bool) {
	r := &pb.Route{To: to, Next: nodeURL, Flow: pb.FlowUse_FLOW_USE_ANNOUNCED, RuntimeUrl: remote}
	if direct {
		r.Next, r.Relay, r.Doubt = connURL, nodeURL, doubt
	}
	s.learn(s.bus, to, r)
}

// leave takes off a stub what it sends now, in frames of which each message is lost with a
// chance of one in lost.
func (s *strait) leave(from, way, lost int) (out []crossing) {
	stub := s.stubs[from][way]
	for _, resp := range framesOf(s.t, stub) {
		c := crossing{from: from, way: way}
		for _, d := range resp.Deliveries {
			stub.credit(&pb.Credit{Listener: d.Listener, Bytes: uint32(proto.Size(d.Message))}) // small
			if lost == 0 || s.random.IntN(lost) > 0 {
				c.messages = append(c.messages, d.Message)
			}
		}
		out = append(out, c)
	}
	return out
}

func (s *strait) arrive(all ...crossing) {
	for _, c := range all {
		ingress := &pb.Ingress{}
		if c.way == overDirect {
			ingress.RemoteRuntimeUrl = []string{runtimeURL, remote}[c.from]
		}
		stub := s.stubs[1-c.from][c.way]
		var b []byte
		for _, m := range c.messages {
			encoded, _ := proto.Marshal(m)
			carried := codec.NewCarried(codec.Whole(m, encoded), shoreWays[c.way], ingress)
			b, _ = carried.Append(codec.AppendHead(b, codec.Head{}, carried.Size()))
		}
		if len(b) > 0 {
			takeBytes(s.t, stub, b, s.random.IntN(8) > 0)
		}
	}
}

// cross carries both ways' messages, there and back.
func (s *strait) cross(lost int) {
	for range 2 {
		for from := range 2 {
			for way := range 2 {
				s.arrive(s.leave(from, way, lost)...)
			}
		}
	}
}

func (s *strait) look() {
	for _, m := range s.listeners {
		for _, resp := range framesOf(s.t, m.stream) {
			for _, d := range resp.Deliveries {
				n, _ := strconv.Atoi(d.Message.Id)
				s.got[d.Message.To] = append(s.got[d.Message.To], n)
				s.deals[d.Listener] = append(s.deals[d.Listener], proto.Size(d.Message))
				if !strings.Contains(string(d.Message.Body), fmt.Sprintf(`sender%d:`, n)) || d.Message.Number != uint64(n) || d.Message.From != alice { // small
					s.t.Errorf("%d came as %v", n, d.Message)
				}
			}
		}
	}
	_, settled, _ := s.take(s.sender)
	for _, n := range settled {
		s.settled[n] = true
	}
	_, refused := s.sender.fates()
	for _, n := range refused {
		s.refused[n] = true
	}
}

func (s *strait) post(n int, to, text string) {
	var posts []*pb.Post
	m := s.sender
	for range n {
		m.posted++
		s.to[m.posted] = to
		posts = append(posts, &pb.Post{Number: m.posted, Message: &pb.Message{
			Id: fmt.Sprint(m.posted), Type: "event", From: alice, To: to, Body: fmt.Appendf(nil, `{"value":"sender%d:%s"}`, m.posted, text),
		}})
	}
	m.open = append(m.open, posts...)
	takeFrame(s.t, m.stream, posts, true)
}

func (s *strait) deal(m *member, n int) {
	for _, l := range m.listens {
		some := s.deals[l.address]
		n := min(n, len(some))
		for _, size := range some[:n] {
			m.credit(&pb.Credit{Listener: l.address, Bytes: uint32(size)}) // small
		}
		s.deals[l.address] = some[n:]
	}
}

func (s *strait) restartNear() {
	s.look()
	s.cutOff(s.sender.stream)
	s.endNear()
	s.startNear()
	for _, p := range s.sender.open {
		p.Again = true
	}
	for posts := range slices.Chunk(s.sender.open, 64) {
		takeFrame(s.t, s.sender.stream, posts, true)
	}
}

func (s *strait) endNear() {
	for i := range 2 {
		s.stubs[near][i].close()
		s.alone.end(s.stubs[near][i])
	}
	s.finish()
	s.bus.carryOut(s.bus.table.end(errStopping))
}

func (s *strait) endFar() {
	for _, m := range s.listeners {
		s.far.cutOff(m.stream)
	}
	for i := range 2 {
		s.stubs[farther][i].close()
		s.far.end(s.stubs[farther][i])
	}
	s.far.finish()
	s.far.bus.carryOut(s.far.bus.table.end(errStopping))
}

// heal lets all come to an end, and says what is wrong then.
func (s *strait) heal(twice bool) (wrong string) {
	s.route(frank, true, false)
	s.routes(true, false)
	s.arrive(s.late...)
	tries := 0
	for rest := 20; rest > 0; {
		s.cross(0)
		s.look()
		for _, m := range s.listeners {
			s.deal(m, 1000)
		}
		time.Sleep(30 * time.Millisecond)
		synctest.Wait()
		if tries++; len(s.sender.open) == 0 || tries > 4000 {
			rest--
		}
	}
	s.look()
	for n := uint64(1); n <= s.sender.posted; n++ {
		if !s.settled[n] && !s.refused[n] {
			wrong += fmt.Sprintf("%d to %s is open; ", n, s.to[n])
		}
		if s.settled[n] && !s.refused[n] && !slices.Contains(s.got[s.to[n]], int(n)) { // small
			wrong += fmt.Sprintf("%d is settled and did not come; ", n)
		}
	}
	for to, all := range s.got {
		last, had := 0, map[int]bool{}
		for _, n := range all {
			switch {
			case had[n] && !twice:
				wrong += fmt.Sprintf("%d came twice to %s; ", n, to)
			case !had[n] && n < last:
				wrong += fmt.Sprintf("%d came to %s after %d; ", n, to, last)
			}
			had[n], last = true, max(last, n)
		}
	}
	if held := s.sender.held.Load(); held != 0 {
		wrong += fmt.Sprintf("%d bytes held; ", held)
	}
	for _, o := range s.bus.flows.out {
		if !o.sender.Empty() || o.waits > 0 || len(o.blocked) > 0 {
			wrong += fmt.Sprintf("%d bytes are in a flow, %d wait; ", o.sender.Bytes(), o.waits)
		}
	}
	return wrong
}

type straitAct struct {
	name  string
	twice bool
	does  func(s *strait)
}

func (a straitAct) String() string { return a.name }

func anyStraitAct(t *rapid.T) straitAct {
	n, way, from := rapid.IntRange(1, 70).Draw(t, "n"), rapid.IntRange(0, 1).Draw(t, "way"), rapid.IntRange(0, 1).Draw(t, "from")
	to := rapid.SampledFrom([]string{bob, bob, dave, frank}).Draw(t, "to")
	is := func(name string, does func(*strait)) straitAct { return straitAct{name, false, does} }
	again := func(name string, does func(*strait)) straitAct { return straitAct{name, true, does} }
	lost := rapid.SampledFrom([]int{0, 0, 3, 20}).Draw(t, "lost")
	switch rapid.IntRange(0, 19).Draw(t, "act") {
	case 0, 1, 2, 3, 4:
		text := strings.Repeat("x", rapid.OneOf(rapid.IntRange(0, 400), rapid.SampledFrom([]int{2000, 17_000})).Draw(t, "length"))
		return is(fmt.Sprintf("%d of %d to %s", n, len(text), to), func(s *strait) { s.post(n, to, text) })
	case 5, 6, 7, 8:
		return is(fmt.Sprintf("cross, loses %d", lost), func(s *strait) { s.cross(lost); s.look() })
	case 9:
		return is(fmt.Sprintf("leaves %d over %d late", from, way), func(s *strait) { s.late = append(s.late, s.leave(from, way, lost)...) })
	case 10:
		return is(fmt.Sprintf("%d. of late comes", n), func(s *strait) {
			if len(s.late) > 0 {
				i := n % len(s.late)
				s.arrive(s.late[i])
				if n%3 > 0 {
					s.late = slices.Delete(s.late, i, i+1)
				}
			}
		})
	case 11, 12:
		return is(fmt.Sprintf("deals %d of %d", n, way), func(s *strait) { s.look(); s.deal(s.listeners[way], n) })
	case 13:
		return is(fmt.Sprintf("direct: %v, doubt: %v", n > 20, n > 40), func(s *strait) { s.routes(n > 20, n > 40) })
	case 14:
		return is(fmt.Sprintf("stub %d goes and comes", way), func(s *strait) {
			if err := s.bus.removeListener(s.stubs[near][way], shoreWays[way], ""); err != nil {
				s.t.Error(err)
			}
			s.post(n, to, "")
			if err := s.bus.addListener(s.stubs[near][way], &pb.ListenerChange{Address: shoreWays[way], Window: s.window}); err != nil {
				s.t.Error(err)
			}
		})
	case 15:
		return is("the client comes again", func(s *strait) { s.look(); s.again(s.sender) })
	case 16:
		if n%2 == 0 {
			return is("the near bus starts anew", (*strait).restartNear)
		}
		return again("the far bus starts anew", func(s *strait) { s.endFar(); s.startFar() })
	case 17:
		if n%2 == 0 {
			return is("frank is known", func(s *strait) { s.route(frank, true, false) })
		}
		return again(fmt.Sprintf("listener %d comes again", way), func(s *strait) {
			s.look()
			s.far.cutOff(s.listeners[way].stream)
			s.attachFar(s.listeners[way])
		})
	}
	return is(fmt.Sprintf("%d ms", n*n), func(*strait) { time.Sleep(time.Duration(n*n) * time.Millisecond); synctest.Wait() })
}

// Over two buses with batches in both, none is lost, comes twice or out of turn, whatever
// the ways between them do; and each is settled.
func TestBatchesFromBusToBus(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		window := rapid.SampledFrom([]uint32{1, 5000, 50_000, 1 << 20}).Draw(r, "window")
		l := rapid.SampledFrom([]Limits{
			{}, {}, {QueueMessages: 7}, {Flow: flow.Limits{Bytes: 20_000}}, {Flow: flow.Limits{First: 2000, Least: 500, Short: 600, Ahead: 4000, Ranges: 4}}, {HeldBytes: 9000},
		}).Draw(r, "limits")
		l.FullTime, l.Refusals = 4700*time.Millisecond, 10_000
		l = decided(l)
		acts := rapid.SliceOfN(rapid.Custom(anyStraitAct), 1, 40).Draw(r, "acts")
		seed := rapid.Uint64().Draw(r, "seed")
		var wrong string
		synctest.Test(t, func(t *testing.T) {
			s := newStrait(t, l, window, seed)
			for _, act := range acts {
				act.does(s)
				s.look()
			}
			wrong = s.heal(slices.ContainsFunc(acts, func(a straitAct) bool { return a.twice }))
			s.cutOff(s.sender.stream)
			s.endNear()
			s.endFar()
		})
		if wrong != "" {
			r.Fatalf("after %v: %s", acts, wrong)
		}
	})
}
