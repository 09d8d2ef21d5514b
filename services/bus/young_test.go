package bus

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// grow makes a bus one that was started long ago.
func (t *table) grow() { t.began.Store(0) }

// ours has the registry answer that only a listener of this runtime can take an address.
func (a *alone) ours(to string) {
	a.bus.ask.mu.Lock()
	var answers []*pb.RouteAnswer
	for _, q := range a.bus.ask.open {
		if q.query.GetTo() == to {
			answers = append(answers, &pb.RouteAnswer{Sequence: q.sequence, Route: localRoute(to)})
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
		a := newAlone(t, Limits{ReturnTime: 10 * time.Second, WaitTime: time.Second, WaitMessages: 4})
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
