package registry

import (
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// Who has registered an address that was asked for before is not told that it is unknown.
func TestWhoAsksOnPurposeAsksAnew(t *testing.T) {
	w := newWorld(t)
	var late atomic.Int64
	r := w.start(openEngine(t), func(c *Config) {
		c.Now = func() time.Time { return start.Add(time.Duration(late.Load())) }
	})
	bus := r.routes(t)
	var asked atomic.Int32
	answers := func(f func(*pb.Message) *pb.Message) {
		w.answer(address.DomainRegistry("b.example"), func(m *pb.Message) *pb.Message {
			if m.Type == message.Read {
				asked.Add(1)
			}
			return f(m)
		})
	}
	connect := func() error {
		_, err := r.api.Connect(t.Context(), &pb.ConnectRequest{Address: bob})
		return err
	}
	answers(missing)
	for range 3 { // whoever asks, however often
		if err := connect(); fault.CodeOf(err) != fault.NotFound || asked.Load() != 1 {
			t.Fatalf("%v, asked %d times", err, asked.Load())
		}
	}
	answers(found(runtimeB, handlerB))
	late.Store(int64(DefaultLimits().AskAgain))
	if route := bus.ask(bob); route.Flow == pb.FlowUse_FLOW_USE_UNKNOWN || asked.Load() != 1 {
		t.Errorf("a message asks: %v", route)
	}
	if res, err := r.api.Resolve(t.Context(), &pb.ResolveRequest{Address: bob}); err != nil || res.Route.Flow != pb.FlowUse_FLOW_USE_UNKNOWN {
		t.Errorf("Resolve does not ask: %v, %v", res, err)
	}
	if err := connect(); err != nil || asked.Load() != 2 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
}

func TestOnlyWhatWasNotFoundIsAskedForAnew(t *testing.T) {
	c := newCache(DefaultLimits())
	c.put(bob, place{}, start)
	again := c.limits.AskAgain
	for late, want := range map[time.Duration]bool{0: true, again - 1: true, again: false} {
		if _, fresh := c.getOnPurpose(bob, start.Add(late)); fresh != want {
			t.Errorf("%s late: %v", late, fresh)
		}
	}
	c.put(bob, place{unknown: true}, start)
	if _, fresh := c.getOnPurpose(bob, start.Add(again)); !fresh {
		t.Error("a domain registry that could not be asked is asked again at once")
	}
	c.put(bob, place{runtime: runtimeB}, start)
	if _, fresh := c.getOnPurpose(bob, start.Add(again)); !fresh {
		t.Error("what was found is asked for again")
	}
}

// Who has a connection with a runtime opened by its URL gets it after an attempt that has
// failed, as by an address in it: the handler is looked up again by that one.
func TestARuntimeIsConnectedByItsURLAfterAFailure(t *testing.T) {
	w := newWorld(t)
	r := w.start(openEngine(t), func(c *Config) { c.Limits.RetryMin = time.Hour })
	bus := r.routes(t)
	w.answer(address.DomainRegistry("b.example"), found(runtimeB, handlerB))
	bus.ask(bob)
	first := w.requesterOf(runtimeB)
	w.answer(address.DomainRegistry("b.example"), found(runtimeB, handlerB+"-new"))
	w.publish(first, runtimeB, status.Failed, "the invitation was refused")
	w.saw("close " + first + " ")
	if _, err := r.api.Connect(t.Context(), &pb.ConnectRequest{Address: runtimeB}); err != nil {
		t.Fatal(err)
	}
	second := w.requesterOf(runtimeB)
	w.until("the new handler", func() bool { return w.stubs[second].GetP2PHandler() == handlerB+"-new" })
	w.publish(second, runtimeB, status.Failed, "the invitation was refused")
	w.saw("close " + second + " ")
	w.answer(address.DomainRegistry("b.example"), missing)
	if _, err := r.api.Connect(t.Context(), &pb.ConnectRequest{Address: runtimeB}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("of one that is nowhere any more: %v", err)
	}
}
