package registry

import (
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// pure is a relayed with a clock of its own.
func pure(l Limits) (r *relayed, clock *time.Time) {
	now := time.Unix(0, 0)
	return newRelayed(l.orDefaults(), func() time.Time { return now }, func() *fault.Error { return fault.New(fault.Unavailable, "nobody leads") }), &now
}

// sent takes what a bus is to be written.
func (b *relayedBus) sent(t *testing.T) *pb.RoutesResponse {
	t.Helper()
	all := &pb.RoutesResponse{}
	for {
		resp, err := b.out.next()
		if err != nil {
			t.Fatal(err)
		}
		if resp == nil {
			return all
		}
		all.Answers = append(all.Answers, resp.Answers...)
		all.Changes = append(all.Changes, resp.Changes...)
		all.Sources = append(all.Sources, resp.Sources...)
		all.StaleSources = append(all.StaleSources, resp.StaleSources...)
	}
}

func ended(b *relayedBus) bool {
	select {
	case <-b.over:
		return true
	default:
		return false
	}
}

func TestOneQuestionForManyBuses(t *testing.T) {
	r, _ := pure(Limits{})
	r.begin()
	one, two, other := r.enter(), r.enter(), r.enter()
	r.route(one, &pb.RouteQuery{Sequence: 7, To: "x"})
	r.route(two, &pb.RouteQuery{Sequence: 9, To: "x"})
	req := r.next()
	if len(req.Queries) != 1 || r.next() != nil {
		t.Fatalf("asked was %v", req)
	}
	r.hear(&pb.RoutesResponse{Answers: []*pb.RouteAnswer{{Sequence: req.Queries[0].Sequence, Route: &pb.Route{To: "x", Next: "n"}}}})
	for bus, sequence := range map[*relayedBus]uint64{one: 7, two: 9} {
		if got := bus.sent(t); len(got.Answers) != 1 || got.Answers[0].Sequence != sequence || got.Answers[0].Route.Next != "n" {
			t.Errorf("answered was %v, want that of %d", got, sequence)
		}
	}
	r.route(one, &pb.RouteQuery{Sequence: 8, To: "x"})
	if got := one.sent(t); len(got.Answers) != 1 || r.next() != nil {
		t.Errorf("what is known is asked for again, answered was %v", got)
	}
	r.route(one, &pb.RouteQuery{Sequence: 10, To: "x", P2P: true})
	if req := r.next(); req == nil || !req.Queries[0].P2P {
		t.Errorf("the wish for P2P is not passed on: %v", req)
	}
	r.hear(&pb.RoutesResponse{Changes: []*pb.Route{{To: "x", Next: "m"}}})
	if got := two.sent(t); len(got.Changes) != 1 || got.Changes[0].Next != "m" {
		t.Errorf("pushed was %v", got)
	}
	if got := other.sent(t); len(got.Changes) != 0 {
		t.Errorf("it never asked, and is told %v", got)
	}
	r.hear(&pb.RoutesResponse{Changes: []*pb.Route{{To: "x"}}})
	r.route(two, &pb.RouteQuery{Sequence: 11, To: "x"})
	if r.next() == nil {
		t.Error("what was taken back is not asked for again")
	}
}

func TestAnotherRegistryLeads(t *testing.T) {
	r, clock := pure(Limits{LeaderWait: time.Second})
	r.begin()
	told, idle := r.enter(), r.enter()
	r.route(told, &pb.RouteQuery{Sequence: 1, To: "x"})
	r.hear(&pb.RoutesResponse{Answers: []*pb.RouteAnswer{{Sequence: r.next().Queries[0].Sequence, Route: &pb.Route{To: "x", Next: "n"}}}})
	told.sent(t)
	r.end()
	r.route(idle, &pb.RouteQuery{Sequence: 1, To: "x"})
	if got := idle.sent(t); len(got.Answers) != 1 || got.Answers[0].Route.Next != "n" {
		t.Errorf("while nobody leads: %v", got)
	}
	r.route(idle, &pb.RouteQuery{Sequence: 2, To: "y"})
	r.giveUp()
	if got := idle.sent(t); len(got.Answers) != 0 {
		t.Errorf("it did not wait: %v", got)
	}
	*clock = clock.Add(time.Second)
	r.giveUp()
	if got := idle.sent(t); len(got.Answers) != 1 || got.Answers[0].Route.Code != int32(fault.Unavailable) {
		t.Errorf("after the wait: %v", got)
	}
	late := r.enter()
	r.route(late, &pb.RouteQuery{Sequence: 3, To: "z"})
	r.begin()
	if !ended(told) || !ended(idle) || ended(late) {
		t.Error("those that were told something come back, and no others")
	}
	if req := r.next(); len(req.Queries) != 1 || req.Queries[0].To != "z" {
		t.Errorf("asked on the new stream was %v", req)
	}
	r.route(late, &pb.RouteQuery{Sequence: 4, To: "x"})
	if req := r.next(); req == nil || req.Queries[0].To != "x" {
		t.Errorf("what the registry before had said is believed: %v", req)
	}
}

func TestSourcesOfAStandby(t *testing.T) {
	r, _ := pure(Limits{})
	r.begin()
	b := r.enter()
	ask := func(q *pb.SourceQuery, code int32) {
		t.Helper()
		r.source(b, q)
		if req := r.next(); req != nil {
			r.hear(&pb.RoutesResponse{Sources: []*pb.SourceAnswer{{Sequence: req.Sources[0].Sequence, Code: code}}})
		}
		if got := b.sent(t); len(got.Sources) != 1 || got.Sources[0].Code != code || got.Sources[0].Sequence != q.Sequence {
			t.Errorf("answered was %v", got)
		}
	}
	ask(&pb.SourceQuery{Sequence: 1, From: "x"}, 200)
	ask(&pb.SourceQuery{Sequence: 2, From: "x", Node: true}, 403)
	r.source(b, &pb.SourceQuery{Sequence: 3, From: "x", Node: true})
	if r.next() == nil {
		t.Error("a refusal is kept")
	}
	r.hear(&pb.RoutesResponse{StaleSources: []string{"x", "never asked"}})
	if got := b.sent(t); len(got.StaleSources) != 1 || got.StaleSources[0] != "x" {
		t.Errorf("pushed was %v", got)
	}
	r.source(b, &pb.SourceQuery{Sequence: 4, From: "x"})
	if r.next() == nil {
		t.Error("an approval that was taken back is kept")
	}
}

func TestBoundsOfAStandby(t *testing.T) {
	r, _ := pure(Limits{Waiting: 2, Told: 2})
	b := r.enter()
	for i, to := range []string{"a", "b", "c"} {
		r.route(b, &pb.RouteQuery{Sequence: uint64(i), To: to}) // small
	}
	if got := b.sent(t); len(got.Answers) != 1 || got.Answers[0].Sequence != 2 || got.Answers[0].Route.Code != int32(fault.Unavailable) {
		t.Errorf("over the bound: %v", got)
	}
	r.begin()
	for _, q := range r.next().Queries {
		r.hear(&pb.RoutesResponse{Answers: []*pb.RouteAnswer{{Sequence: q.Sequence, Route: &pb.Route{To: q.To, Next: "n"}}}})
	}
	b.sent(t)
	r.route(b, &pb.RouteQuery{Sequence: 9, To: "d"})
	r.hear(&pb.RoutesResponse{Answers: []*pb.RouteAnswer{{Sequence: r.next().Queries[0].Sequence, Route: &pb.Route{To: "d", Next: "n"}}}})
	got := b.sent(t)
	if len(got.Answers) != 1 || len(got.Changes) != 1 || got.Changes[0].Next != "" || len(r.routes) != 2 || len(b.routes) != 2 {
		t.Errorf("over the bound: %v, %d routes kept, %d told", got, len(r.routes), len(b.routes))
	}
}

// A bus that asks the same again and again is answered once for each, and costs no more
// than the bound.
func TestBoundOfWhoWaitsForOneAnswer(t *testing.T) {
	r, _ := pure(Limits{Waiting: 2})
	r.begin()
	b := r.enter()
	for i := range 4 {
		r.route(b, &pb.RouteQuery{Sequence: uint64(i), To: "x"}) // small
	}
	r.hear(&pb.RoutesResponse{Answers: []*pb.RouteAnswer{{Sequence: r.next().Queries[0].Sequence, Route: &pb.Route{To: "x", Next: "n"}}}})
	got := map[uint64]int{}
	for _, a := range b.sent(t).Answers {
		got[a.Sequence]++
	}
	for i := range uint64(4) {
		if got[i] != 1 {
			t.Errorf("question %d has %d answers", i, got[i])
		}
	}
}
