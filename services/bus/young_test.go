package bus

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// grow makes a bus one that was started long ago.
func (t *table) grow() { t.began.Store(&time.Time{}) }

// ours has the registry answer that only a listener of this runtime can take an address.
func (a *alone) ours(to string) { a.answer(localRoute(to)) }

// answer has it answer what it is asked about an address.
func (a *alone) answer(r *pb.Route) {
	a.bus.ask.mu.Lock()
	var answers []*pb.RouteAnswer
	for _, q := range a.bus.ask.open {
		if q.query.GetTo() == r.To {
			answers = append(answers, &pb.RouteAnswer{Sequence: q.sequence, Route: r})
		}
	}
	a.bus.ask.mu.Unlock()
	a.bus.hear(&pb.RoutesResponse{Answers: answers})
}

func localRoute(to string) *pb.Route {
	return &pb.Route{To: to, Reason: pb.RouteReason_ROUTE_REASON_LOCAL, Code: int32(fault.NotFound)}
}

// What is posted to a bus that was just started waits for its listener, which the bus
// before may have had. Nothing overtakes.
func TestAYoungBusWaitsForListenersHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{QuietTime: 10 * time.Second, WaitTime: time.Second, WaitMessages: 4})
		defer a.bus.origins.end()
		const other = carol + "/other"
		a.post(carol)
		a.ours(carol)
		a.post(other)
		a.bus.hear(&pb.RoutesResponse{Changes: []*pb.Route{localRoute(other)}}) // the registry may say it so
		a.post(carol)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		a.post(carol)
		if n := a.by.settledPosts(); n != 0 {
			t.Fatalf("%d posts are settled", n)
		}
		a.post(carol)
		a.settledOnce(t, fault.TooMany, a.post(carol)) // more than may wait
		l := a.listenAs(t, "x", carol, 0)
		if got := tell(l).came; !slices.Equal(got, []string{"1", "3", "4", "5"}) {
			t.Errorf("%v came", got)
		}
		credit(l, carol)
		time.Sleep(time.Second)
		synctest.Wait()
		a.settledOnce(t, fault.OK, 1, 3, 4, 5)
		a.settledOnce(t, fault.NotFound, 2) // nobody came
		late := a.post(other)
		a.ours(other)
		a.settledOnce(t, fault.NotFound, late) // at once
		a.cutOff(l)
	})
}

// come has a message come in a flow, and gives the sequence by which it is settled.
func (a *alone) come(m *pb.Message) uint64 { return a.comeAs(m, true) }

// comeAs is come of one that comes in a flow or plainly.
func (a *alone) comeAs(m *pb.Message, flowing bool) uint64 {
	a.by.sequence++
	p := newPost(a.by, m)
	p.sequence, p.flowing, p.ingress = a.by.sequence, flowing, &pb.Ingress{}
	p.measure()
	a.bus.deliver(p)
	return p.sequence
}

// ended says how a post was settled; nil when it was not.
func (p *posts) ended(n uint64) []fault.Code {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over[n]
}

// idle is how much waits for nobody that is known.
func (a *alone) idle() load {
	a.bus.table.mu.Lock()
	defer a.bus.table.mu.Unlock()
	return a.bus.table.lobby.idle
}

// tellings are the ways in which the registry may tell a route later.
func tellings(r *pb.Route) map[string]func(a *alone) {
	return map[string]func(a *alone){
		"a route": func(a *alone) { a.bus.hear(&pb.RoutesResponse{Changes: []*pb.Route{r}}) },
		"to ask again": func(a *alone) {
			a.bus.hear(&pb.RoutesResponse{Changes: []*pb.Route{{To: r.To}}})
			a.answer(r)
		},
	}
}

// The registry knows better, a moment later. Then what waits goes where it says.
func TestAYoungBusGoesByTheRouteThatComes(t *testing.T) {
	next := &pb.Route{To: carol, Next: stubURL}
	for name, told := range tellings(next) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAlone(t, Limits{QuietTime: 10 * time.Second, WaitTime: time.Second})
				defer a.bus.origins.end()
				l := newStream(a.bus, "stub", pb.Component_COMPONENT_P2P_STUB)
				if err := a.bus.addListener(l, &pb.ListenerChange{Address: stubURL, Window: 1 << 20}); err != nil {
					t.Fatal(err)
				}
				a.post(carol)
				a.ours(carol)
				time.Sleep(5 * time.Second)
				a.post(carol)
				told(a)
				if got := tell(l).came; !slices.Equal(got, []string{"1", "2"}) {
					t.Errorf("%v came", got)
				}
				if n := a.idle(); n != (load{}) {
					t.Errorf("%v is idle", n)
				}
				a.end(l)
				time.Sleep(time.Minute)
			})
		})
	}
}

// What comes from outside is refused at once, or waits for a listener here when it was
// promised. It does not go on to another runtime.
func TestAYoungBusForwardsNothingForOthers(t *testing.T) {
	next := &pb.Route{To: carol, Next: connURL, RuntimeUrl: remote, Flow: pb.FlowUse_FLOW_USE_ANNOUNCED}
	for name, told := range tellings(next) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAlone(t, Limits{QuietTime: 10 * time.Second})
				defer a.finish()
				stub := a.stream(t, connURL, 0)
				a.post(carol)
				a.ours(carol)
				plain := a.comeAs(numbered(bob, carol, 7), false)
				flowing := a.come(numbered(bob, carol, 8))
				a.post(carol)
				a.settledOnce(t, fault.NotFound, plain)
				if a.by.ended(flowing) != nil {
					t.Errorf("what came in a flow is told %v", a.by.ended(flowing))
				}
				told(a)
				for _, o := range a.bus.flows.out {
					o.pump()
				}
				a.settledOnce(t, fault.NotFound, flowing)
				if got := tell(stub).came; !slices.Equal(got, []string{"1", "4"}) || a.bus.flows.unsettled() == 0 {
					t.Errorf("%v came, with %d bytes in flows", got, a.bus.flows.unsettled())
				}
				a.end(stub)
				time.Sleep(time.Minute)
			})
		})
	}
}

// It is asked again, and does not answer, or says that the address is no more.
func TestAYoungBusIsToldNothingOfARoute(t *testing.T) {
	for name, c := range map[string]struct {
		told *pb.Route
		want fault.Code
	}{
		"no answer": {&pb.Route{To: carol}, fault.Unavailable},
		"no more":   {&pb.Route{To: carol, Code: int32(fault.Forbidden)}, fault.Forbidden},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAlone(t, Limits{QuietTime: 10 * time.Second, WaitTime: time.Second})
				defer a.bus.origins.end()
				n := a.post(carol)
				a.ours(carol)
				time.Sleep(5 * time.Second)
				a.bus.hear(&pb.RoutesResponse{Changes: []*pb.Route{c.told}})
				time.Sleep(time.Second)
				synctest.Wait()
				a.settledOnce(t, c.want, n)
				time.Sleep(time.Minute)
			})
		})
	}
}

// What was promised to nobody waits as long as listeners come back, and what was promised to
// the end.
func TestAYoungBusWaitsWhileListenersCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{QuietTime: 3 * time.Second, ReturnTime: 10 * time.Second})
		defer a.finish()
		const other, late = carol + "/other", carol + "/late"
		nobody, mixed := a.post(carol), a.post(other)
		a.ours(carol)
		a.ours(other)
		until := func(s time.Duration) {
			time.Sleep(s*time.Second - time.Since(*a.bus.table.began.Load()))
			synctest.Wait()
		}
		until(2)
		l := a.stream(t, bob, 0)
		promised := a.come(numbered(bob, other, 9))
		until(4)
		if n := a.by.settledPosts(); n != 0 {
			t.Errorf("%d posts are settled while listeners come", n)
		}
		until(5)
		a.settledOnce(t, fault.NotFound, nobody)
		quiet := a.post(late)
		a.ours(late)
		a.settledOnce(t, fault.NotFound, quiet)
		until(9)
		if n := a.by.settledPosts(); n != 2 {
			t.Errorf("%d posts are settled before what was promised", n)
		}
		until(10)
		a.settledOnce(t, fault.NotFound, mixed, promised)
		a.end(l)
	})
}

// Another replica is lost meanwhile, and with it listeners that may come back.
func TestAYoungBusThatIsYoungAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{QuietTime: 10 * time.Second})
		defer a.finish()
		nobody := a.post(carol)
		a.ours(carol)
		time.Sleep(9 * time.Second)
		a.bus.table.shaken()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if a.by.ended(nobody) != nil {
			t.Errorf("told %v", a.by.ended(nobody))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		a.settledOnce(t, fault.NotFound, nobody)
		if n := a.bus.table.size().waiting; n != 0 || len(a.bus.table.places) != 0 {
			t.Errorf("%d wait, %d places", n, len(a.bus.table.places))
		}
	})
}

// A listener that was cut off outranks a route.
func TestAListenerThatWasCutOffOutranksARoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{ReturnTime: 10 * time.Second})
		defer a.bus.origins.end()
		stub := newStream(a.bus, "stub", pb.Component_COMPONENT_P2P_STUB)
		if err := a.bus.addListener(stub, &pb.ListenerChange{Address: stubURL, Window: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		a.cutOff(a.listenAs(t, "x", carol, 0))
		a.post(carol)
		a.bus.hear(&pb.RoutesResponse{Changes: []*pb.Route{{To: carol, Next: stubURL}}})
		l := a.listenAs(t, "x", carol, 0)
		if got := tell(l).came; len(got) != 1 {
			t.Errorf("%v came", got)
		}
		a.cutOff(l)
		a.end(stub)
		time.Sleep(time.Minute)
	})
}

// What is posted to nobody has a quarter of the room, and leaves the rest to others.
func TestAYoungBusKeepsRoomFromWhatIsPostedToNobody(t *testing.T) {
	for name, limits := range map[string]Limits{
		"addresses": {WaitAddresses: 8},
		"bytes":     {WaitTotal: 4 * 900},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limits.QuietTime = 10 * time.Second
				a := newAlone(t, limits)
				defer a.bus.origins.end()
				var told []uint64
				for i := range 7 {
					to := fmt.Sprint(carol, "/", i)
					told = append(told, a.post(to))
					a.ours(to)
				}
				kept := a.idle()
				if kept.lines != 2 || kept.posts != 2 {
					t.Fatalf("%+v is idle", kept)
				}
				a.settledOnce(t, fault.NotFound, told[2:]...)
				same := a.post(carol + "/0")
				if limits.WaitTotal != 0 {
					a.settledOnce(t, fault.NotFound, same) // there is no room behind it either
				}
				remote := a.post("hyperty://b.example/remote")
				if code := a.by.code(remote); code != 0 {
					t.Errorf("a message to another runtime is told %d", code)
				}
				flowing := a.come(numbered(bob, carol+"/0", 9)) // it was promised, so its line is another's
				if a.by.ended(flowing) != nil {
					t.Errorf("what came in a flow is told %v", a.by.ended(flowing))
				}
				if n := a.idle(); n.lines != 1 || n.posts != 1 || n.bytes >= kept.bytes {
					t.Errorf("%+v is idle", n)
				}
				if waits := a.bus.table.size(); a.bus.kept() != waits.waiting-1 {
					t.Errorf("%d of %d are to be handed over", a.bus.kept(), waits.waiting)
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				a.settledOnce(t, fault.NotFound, told[:2]...)
				if n := a.idle(); n != (load{}) {
					t.Errorf("%+v is idle", n)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// refused is how many refusals are counted for a reason.
func (a *alone) refused(reason string) float64 {
	var m dto.Metric
	_ = a.bus.metrics.refusals.WithLabelValues(reason).Write(&m)
	return m.GetCounter().GetValue()
}

// A request whose time is shorter than that of a young bus is told that nobody listens.
func TestARequestToNobodyAtAYoungBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{QuietTime: 10 * time.Second, RequestTime: 3 * time.Second})
		defer a.finish()
		a.approve(alice)
		s, l := a.begin(t, "x"), a.stream(t, bob, 0)
		for i, to := range []string{carol, bob} {
			p := numberedPost(to, uint64(i+1), uint64(i+1))
			p.Wait = pb.Wait_WAIT_RESPONSE
			s.post(p, nil)
		}
		a.ours(carol)
		tell(l)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if said := tell(s); said.code(1) != fault.NotFound || said.code(2) != fault.Timeout {
			t.Errorf("told %v", said.outcomes)
		}
		late := a.stream(t, carol, 0) // it does not get what was refused
		if got := tell(late).came; got != nil {
			t.Errorf("%v came", got)
		}
		a.end(late)
		a.end(l)
		a.cutOff(s)
		time.Sleep(time.Minute)
	})
}

// Nobody comes after it either: it is counted as refused once, by its time and not by the
// end of its line too.
func TestARequestToNobodyIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{QuietTime: 10 * time.Second, RequestTime: 3 * time.Second})
		defer a.finish()
		a.approve(alice)
		s := a.begin(t, "x")
		p := numberedPost(carol, 1, 1)
		p.Wait = pb.Wait_WAIT_RESPONSE
		s.post(p, nil)
		a.ours(carol)
		time.Sleep(time.Minute)
		synctest.Wait()
		if code := tell(s).code(1); code != fault.NotFound {
			t.Errorf("told %d", code)
		}
		if n := a.refused(reasonNoListener); n != 1 {
			t.Errorf("%v refusals are counted", n)
		}
		a.cutOff(s)
		time.Sleep(time.Minute)
	})
}

// A request that was told that nobody listens is not sent to another runtime either, be it
// with other messages or in a flow.
func TestARequestThatWasToldIsNotSent(t *testing.T) {
	for _, use := range []pb.FlowUse{pb.FlowUse_FLOW_USE_UNSPECIFIED, pb.FlowUse_FLOW_USE_ANNOUNCED} {
		t.Run(use.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAlone(t, Limits{QuietTime: 10 * time.Second, RequestTime: 3 * time.Second})
				defer a.finish()
				a.approve(alice)
				stub, s := a.stream(t, connURL, 0), a.begin(t, "x")
				p := numberedPost(carol, 7, 1)
				p.Wait = pb.Wait_WAIT_RESPONSE
				s.post(p, nil)
				a.ours(carol)
				later := a.post(carol)
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if code := tell(s).code(1); code != fault.NotFound {
					t.Errorf("told %d", code)
				}
				a.bus.hear(&pb.RoutesResponse{Changes: []*pb.Route{{To: carol, Next: connURL, RuntimeUrl: remote, Flow: use}}})
				for _, o := range a.bus.flows.out {
					o.pump()
				}
				if got := tell(stub).came; !slices.Equal(got, []string{fmt.Sprint(later)}) {
					t.Errorf("%v came", got)
				}
				a.end(stub)
				a.cutOff(s)
				time.Sleep(time.Minute)
			})
		})
	}
}

// However often replicas are lost, what waits for nobody ends.
func TestAYoungBusDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{})
		defer a.bus.origins.end()
		n := a.post(carol)
		a.ours(carol)
		m := a.come(numbered(bob, carol, 1))
		for range 8 {
			time.Sleep(9 * time.Second)
			a.bus.table.shaken()
		}
		synctest.Wait()
		a.settledOnce(t, fault.NotFound, n, m)
	})
}

// What comes plainly from outside takes no room of a young bus, and a promised post that has
// no room leaves the line as it was.
func TestStrangersAtAYoungBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{WaitMessages: 1})
		defer a.bus.origins.end()
		m := a.comeAs(numbered(bob, carol, 1), false)
		a.ours(carol)
		a.settledOnce(t, fault.NotFound, m)
		if a.bus.table.lobby.idle != (load{}) {
			t.Errorf("%+v", a.bus.table.lobby.idle)
		}
		n := a.post(carol)
		a.ours(carol)
		a.by.sequence++
		p := newPost(a.by, numbered(alice, carol, int(a.by.sequence))) // small
		p.sequence, p.again = a.by.sequence, true
		a.bus.post(p)
		synctest.Wait()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		a.settledOnce(t, fault.NotFound, n)
	})
}
