package nodestub

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestStoppingSendsWhatIsQueued(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		w := newWorld(t, transport, Limits{})
		w.live(t)
		out := w.stub.byURL(stubURL).session.out
		const n = 800
		for i := range n {
			if err := out.put(within(t), codec.Bare(numbered(i, alice, bob))); err != nil {
				t.Fatal(err)
			}
		}
		w.stop()
		for i := range n {
			if got := receive(t, w.node.got, fmt.Sprintf("message %d", i)); got.Id != message.NumberID(int64(i)) {
				t.Fatalf("message %d is %v", i, got)
			}
		}
		select {
		case m := <-w.node.asked:
			t.Errorf("stopping told the node %v", m)
		default:
		}
	})
}

// What the node sends until it has taken everything still reaches the bus.
func TestStoppingReadsOn(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		w := newWorld(t, transport, Limits{})
		w.live(t)
		const n = 300
		for i := range n {
			w.node.send(t, numbered(i, bob, alice))
		}
		w.stop()
		if v := w.metric(t, "messages_total", "in", "message", "posted"); v != n {
			t.Errorf("%v were posted, want %d", v, n)
		}
	})
}

func TestStoppingDoesNotWaitForANodeThatTakesNothing(t *testing.T) {
	stuck := serveMemory(t, func(r grpc.ServiceRegistrar) { pb.RegisterMessageNodeServer(r, deafNode{}) })
	w := newWorld(t, "grpc", Limits{DrainTimeout: 20 * time.Millisecond})
	w.stub.cfg.Dial = func(string, string) (grpc.ClientConnInterface, error) { return stuck.Dial() }
	wt := w.watch(t)
	w.deploy(t)
	w.watchUntil(t, wt, "live")
	large := numbered(1, alice, bob)
	large.Body = []byte(fmt.Sprintf(`{"x":"%01000000d"}`, 0))
	for range 3 {
		if err := w.stub.byURL(stubURL).session.out.put(within(t), codec.Bare(large)); err != nil {
			t.Fatal(err)
		}
	}
	w.stop()
}

// deafNode answers open and then takes nothing.
type deafNode struct {
	pb.UnimplementedMessageNodeServer
}

func (deafNode) Connect(stream grpc.BidiStreamingServer[pb.MessageNodeConnectRequest, pb.MessageNodeConnectResponse]) error {
	req, err := stream.Recv()
	if err != nil {
		return err
	}
	answer := message.Answer(req.Messages[0], fault.OK, map[string]string{"runtimeToken": "t"})
	if err := stream.Send(&pb.MessageNodeConnectResponse{Messages: []*pb.Message{answer}}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func TestFinishedQueueTakesNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOutbox(Limits{})
		o.open()
		fill(t, o, 0, 2)
		o.finish()
		if o.isFinished() {
			t.Error("finished with messages in it")
		}
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan error, 1)
		go func() { waiting <- o.put(ctx, codec.Bare(numbered(2, alice, bob))) }()
		synctest.Wait()
		o.sent(len(o.batch()))
		synctest.Wait()
		if !o.isFinished() || len(waiting) > 0 {
			t.Error("it takes one more")
		}
		cancel()
		if err := <-waiting; fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("put gave %v", err)
		}
	})
}

func TestOpenAnnouncesFlows(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		w := newWorld(t, transport, Limits{})
		wt := w.watch(t)
		w.deploy(t)
		w.watchUntil(t, wt, "live")
		w.node.breakOff()
		for _, request := range []string{"open", "re-open"} {
			m := receive(t, w.node.asked, request)
			if m.Type != request || string(m.Body) != `{"flow":["peerbus.v1"]}` {
				t.Errorf("the node was asked %v", m)
			}
		}
	})
}

// Flows pass as they are, but for a refusal of the stub's own.
func TestFlowsPass(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		w := newWorld(t, transport, Limits{})
		w.live(t)
		flow := func() *pb.Flow { return &pb.Flow{Runtime: "r", Epoch: 1 << 60, Id: 2, Sequence: 3} }
		out, in := numbered(1, alice, bob), numbered(2, bob, alice)
		for _, m := range []*pb.Message{out, in} {
			m.Flow, m.Origin, m.Number = flow(), []byte("o"), 4
		}
		out.Via = runtimeURL + "/p2phandler/h"
		w.bus.send(t, out)
		w.node.send(t, in)
		for _, m := range []*pb.Message{receive(t, w.node.got, "message"), receive(t, w.bus.posts, "post").Message} {
			if m.Flow.GetEpoch() != 1<<60 || m.Flow.GetSequence() != 3 || string(m.Origin) != "o" || m.Number != 4 {
				t.Errorf("%v", m)
			}
		}
	})
}

func TestRetriesAreQuickAfterALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &session{limits: DefaultLimits()}
		s.bare(t)
		longest := func() (d time.Duration) {
			for range 20 {
				d = max(d, s.phaseTime())
			}
			return d
		}
		if d := longest(); d < s.limits.RetryMax/2 {
			t.Errorf("a node that never was there is tried every %v", d)
		}
		s.lostAt = time.Now()
		if d := longest(); d > s.limits.RetryQuick {
			t.Errorf("a lost node is tried every %v", d)
		}
		time.Sleep(s.limits.RetrySoon)
		if d := longest(); d < s.limits.RetryMax/2 {
			t.Errorf("a node that is gone is tried every %v", d)
		}
	})
}

func TestAttemptsBecomeMorePatient(t *testing.T) {
	s := &session{limits: DefaultLimits()}
	s.bare(t)
	var got []time.Duration
	s.find = func(context.Context, string) ([]endpoint, error) { return []endpoint{{grpc: "node"}}, nil }
	s.dial = func(_ context.Context, _ endpoint, within time.Duration) (conn, error) {
		got = append(got, within)
		return nil, fault.New(fault.Unavailable, "not there")
	}
	try := func() {
		if _, _, err := s.connect(t.Context()); err == nil {
			t.Error("connected")
		}
	}
	try()
	s.do(t.Context(), hold)
	for range 4 {
		try()
	}
	if text := fmt.Sprint(got); text != "[5s 1s 2s 4s 5s]" {
		t.Errorf("attempts had %s", text)
	}
}

// bare makes a session that has no bus.
func (s *session) bare(t *testing.T) {
	t.Helper()
	s.metrics = newMetrics(nil)
	s.init()
}
