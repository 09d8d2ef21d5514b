package bus

import (
	"context"
	"slices"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/protocol/message"
)

// lightFirst puts the replica first that would take flows of a runtime last.
func lightFirst(as []*side, remote string) {
	slices.SortFunc(as, func(x, y *side) int {
		owner, _ := members.Owner([]members.Member{x.seat.self, y.seat.self}, remote)
		if owner.ID == y.seat.self.ID {
			return -1
		}
		return 1
	})
}

// Two replicas that do not reach one another both take the flow of a runtime, as a stub
// is attached to each. Those who listen at a third one get each message once.
func TestTwoReplicasThatArePartedTakeOneFlow(t *testing.T) {
	for name, toggle := range map[string]func(b *side, i int){
		"both ways at once":       func(b *side, _ int) { b.routesTo(true, true) },
		"one way, then the other": func(b *side, i int) { b.routesTo(i%40 < 20, false) },
	} {
		t.Run(name, func(t *testing.T) {
			as, b := stubless(t, quick(), 3)
			lightFirst(as, b.url)
			stubbed(as, b)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got := as[0].heard(as[0].app(), as[0].hyperty(1))
			from := b.app()
			const rounds, n = 4, 100
			for k := range rounds {
				parting(t, as, k%2 == 1)
				var outcomes []func(context.Context) (*pb.Message, error)
				for i := k * n; i < (k+1)*n; i++ {
					toggle(b, i)
					outcome, err := from.Start(ctx, numbered(b.hyperty(1), as[0].hyperty(1), i), pb.Wait_WAIT_DELIVERED, time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					outcomes = append(outcomes, outcome)
				}
				for i, outcome := range outcomes {
					if _, err := outcome(ctx); err != nil {
						t.Fatalf("message %d: %v", k*n+i, err)
					}
				}
				if both := as[1].bus.mesh.owns(b.url) && as[2].bus.mesh.owns(b.url); both != (k%2 == 1) {
					t.Errorf("%d %v %v: one of them alone has to take the flow if they reach one another", k, *as[1].bus.mesh.reach.Load(), *as[2].bus.mesh.reach.Load())
				}
			}
			for i := range rounds * n {
				if id := <-got; id != message.NumberID(int64(i)) {
					t.Fatalf("%s came in place of %d", id, i)
				}
			}
			if len(got) > 0 {
				t.Errorf("%d came besides", len(got))
			}
		})
	}
}

// parting has the second and the third replica reach one another no more, or again.
func parting(t *testing.T, as []*side, cut bool) {
	t.Helper()
	as[0].roster.part(as[1].seat, as[2].seat, cut)
	want := 2
	if cut {
		want = 1
	}
	eventually(t, "the link is as it should be", func() bool {
		for _, a := range as[1:] {
			if m := a.bus.mesh; m.connected() != want || len(*m.reach.Load()) != want+1 {
				return false
			}
		}
		return true
	})
}
