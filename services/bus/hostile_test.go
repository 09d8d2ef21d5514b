package bus

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// peer is another runtime, as its messages come in over a data channel.
type peer struct {
	posts
	a *alone
}

func (*peer) component() pb.Component { return pb.Component_COMPONENT_P2P_STUB }

func (a *alone) peer() *peer {
	p := &peer{a: a}
	p.codes, p.over = map[uint64]int32{}, map[uint64][]fault.Code{}
	a.approveRemote(bob)
	return p
}

func (a *alone) approveRemote(from string) {
	k := sourceKey{from: from, remote: remote}
	a.bus.sources.answered(&question{key: k, line: k}, &pb.SourceAnswer{Code: 200})
}

func (p *peer) says(m *pb.Message) {
	q := newPost(p, m)
	q.ingress = &pb.Ingress{RemoteRuntimeUrl: remote}
	p.a.bus.post(q)
}

// flowing is a message of a flow of the peer.
func flowing(epoch, id, sequence uint64) *pb.Message {
	m := numbered(bob, carol, int(sequence)) // small, where it matters
	m.Flow = &pb.Flow{Runtime: remote, Epoch: epoch, Id: id, Sequence: sequence, Base: 1}
	return m
}

func (a *alone) inflows() int { _, in := a.bus.flows.sizes(); return in }

// ack is what the peer would be told of a flow.
func (a *alone) ack(id uint64) *pb.FlowAck {
	a.bus.flows.mu.Lock()
	defer a.bus.flows.mu.Unlock()
	in := a.bus.flows.remotes[remote].in[id]
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.receiver.Ack(time.Now())
}

func (a *alone) finish() {
	a.bus.flows.end()
	a.bus.origins.end()
}

// A bus whose clock was wrong for a while does not shut out the next one for ever.
func TestAnEpochFromTheFutureEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{})
		defer a.finish()
		l, p := a.stream(t, carol, 0), a.peer()
		p.says(flowing(math.MaxUint64, 1, 1))
		p.says(flowing(5, 2, 1))
		if got := tell(l).came; len(got) != 1 {
			t.Fatalf("%v came", got)
		}
		time.Sleep(idleTime)
		p.says(flowing(5, 2, 1))
		if got := tell(l).came; len(got) != 1 {
			t.Errorf("%v came after the silence", got)
		}
	})
}

func TestFlowsOfOneRuntimeAreBounded(t *testing.T) {
	a := newAlone(t, Limits{RemoteFlows: 3})
	defer a.finish()
	a.stream(t, carol, 0)
	p := a.peer()
	for id := range uint64(10) { // none of them is dealt with
		p.says(flowing(1, id+1, 1))
	}
	if n := a.inflows(); n != 3 {
		t.Errorf("%d flows", n)
	}
}

// What a peer sends in ever newer epochs counts until it is dealt with.
func TestNewEpochsDoNotMakeRoom(t *testing.T) {
	a := newAlone(t, Limits{FlowBytes: 8000})
	defer a.finish()
	l, p := a.stream(t, carol, 1), a.peer()
	for epoch := range uint64(1000) {
		p.says(flowing(epoch+1, 1, 1))
	}
	n := len(tell(l).came) + l.inboxes[carol].queue.len()
	if held := a.bus.flows.held.Load(); n > 40 || held > 8000 {
		t.Errorf("%d messages, %d bytes are held", n, held)
	}
	for range n {
		credit(l, carol)
		tell(l)
	}
	if held := a.bus.flows.held.Load(); held != 0 {
		t.Errorf("%d bytes are held in the end", held)
	}
}

func TestNobodySpeaksForAnother(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.finish()
	l, p := a.stream(t, carol, 0), a.peer()
	for name, runtime := range map[string]string{
		"this runtime": runtimeURL, "another": "hyperty-runtime://c.example/r3", "none": "x",
	} {
		m := flowing(1, 1, 1)
		m.Flow.Runtime = runtime
		p.says(m)
		if len(a.bus.flows.remotes) != 0 {
			t.Errorf("it spoke for %s", name)
		}
	}
	q := newPost(a.begin(t, "x"), flowing(1, 1, 1)) // an application
	q.ingress = &pb.Ingress{RemoteRuntimeUrl: remote}
	a.bus.post(q)
	if len(a.bus.flows.remotes) != 0 || tell(l).came != nil {
		t.Error("an application spoke for a peer")
	}
}

// What its source may not send does not make old what its real sender sends.
func TestAForgedKeyMakesNothingOld(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.finish()
	l, p := a.stream(t, carol, 0), a.peer()
	forged := flowing(1, 1, 1)
	forged.From, forged.Origin, forged.Number = "hyperty://c.example/1", []byte("o"), math.MaxUint64
	p.says(forged) // nobody has approved of it yet
	k := sourceKey{from: forged.From, remote: remote}
	line := sourceKey{from: forged.From, remote: remote, node: true}
	a.bus.sources.mu.Lock()
	question0 := &question{key: k, line: line, sequence: a.bus.sources.lines[line].question}
	a.bus.sources.mu.Unlock()
	a.bus.sources.answered(question0, &pb.SourceAnswer{Code: 403})
	a.approveRemote(forged.From)
	honest := flowing(1, 1, 2)
	honest.From, honest.Origin, honest.Number = forged.From, forged.Origin, 1
	p.says(honest)
	if got := tell(l).came; len(got) != 1 || got[0] != message.NumberID(2) {
		t.Errorf("%v came", got)
	}
}

// The same message in the flow of a later bus is settled when the first is.
func TestASecondCopySharesTheFateOfTheFirst(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.finish()
	l, p := a.stream(t, carol, 0), a.peer()
	for epoch := range uint64(2) {
		m := flowing(epoch+1, 1, 1)
		m.Origin, m.Number = []byte("o"), 1
		p.says(m)
	}
	if got := tell(l).came; len(got) != 1 {
		t.Fatalf("%v came", got)
	}
	if a.ack(1).Dealt != 0 {
		t.Error("the copy is dealt with before the first is")
	}
	a.end(l)
	ack := a.ack(1)
	if len(ack.Refusals) != 1 || ack.Refusals[0].Code != 503 {
		t.Errorf("its end is %v", ack)
	}
	if n := a.bus.flows.seen.open(); n != 0 {
		t.Errorf("%d are open", n)
	}
}

// A flow that was forgotten while its sender was not told of everything has all
// again: its receiver is another one.
func TestAForgottenFlowBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{})
		defer a.finish()
		l, p := a.stream(t, carol, 0), a.peer()
		p.says(flowing(1, 1, 1))
		before := a.ack(1)
		tell(l)
		time.Sleep(2 * idleTime)
		credit(l, carol)
		a.bus.flows.sweep(time.Now())
		if a.inflows() != 1 {
			t.Fatal("it is forgotten before its acknowledgement had its time")
		}
		time.Sleep(2 * idleTime)
		a.bus.flows.sweep(time.Now())
		if a.inflows() != 0 {
			t.Fatal("it is not forgotten")
		}
		bare := flowing(1, 1, 0)
		bare.Type = message.FlowType
		p.says(bare)
		after := a.ack(1)
		if after.Receiver <= before.Receiver {
			t.Errorf("receiver %d, then %d", before.Receiver, after.Receiver)
		}
	})
}

// Acks and refusals of a flow that one has not seen do nothing, as its number is not
// known.
func TestFlowsOfOthersCannotBeGuessed(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.finish()
	seen := map[uint64]bool{}
	for range 100 {
		a.bus.flows.mu.Lock()
		out := a.bus.flows.newOut()
		a.bus.flows.mu.Unlock()
		if out.id.Number < 1<<20 || seen[out.id.Number] || seen[out.id.Number-1] {
			t.Fatalf("number %d", out.id.Number)
		}
		seen[out.id.Number] = true
	}
}

func TestDescriptionsAreCut(t *testing.T) {
	long := string(make([]byte, 1<<20))
	if o := outcomeOf(1, fault.New(fault.NotFound, "%s", long)); len(o.Description) > 1<<10 {
		t.Errorf("%d bytes", len(o.Description))
	}
}

func TestFlowMetrics(t *testing.T) {
	m := newMetrics()
	m.transmitted(1, 0, false)
	m.transmitted(0, 1, true)
	m.transmitted(3, 2, true) // one of them found no room on the relay
	m.transmitted(0, 0, true) // nothing took it
	value := func(c prometheus.Counter) float64 { return counted(t, c) }
	if value(m.sentBy[flow.Direct]) != 2 || value(m.sentBy[flow.Relay]) != 1 || value(m.sentBy[flow.Both]) != 2 || value(m.again) != 4 {
		t.Error("flows are not counted")
	}
}

func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var v dto.Metric
	if err := c.Write(&v); err != nil {
		t.Fatal(err)
	}
	return v.GetCounter().GetValue()
}
