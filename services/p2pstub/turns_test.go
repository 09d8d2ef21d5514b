package p2pstub

import (
	"fmt"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// invites sends an invitation of a runtime of that number, which goes no further, and gives
// where the code of its answer comes.
func (r *runtime) invites(t testing.TB, number, object int) <-chan fault.Code {
	t.Helper()
	m := invitationOf(fmt.Sprintf("hyperty-runtime://example/m%d", number), object)
	m.To = r.handler
	answer := make(chan fault.Code, 1)
	r.bus.mu.Lock()
	r.bus.pending[message.KeyOf(m)] = func(resp *pb.Message) {
		code, _ := message.Result(resp)
		answer <- code
	}
	r.bus.mu.Unlock()
	if !r.bus.deliver(m) {
		t.Fatalf("no one listens to %s", m.To)
	}
	return answer
}

// ends tells the stub that the object of an invitation is gone.
func (r *runtime) ends(object int) {
	url := fmt.Sprintf("connection://example/x%d", object)
	r.bus.deliver(&pb.Message{
		Id: "9", Type: message.Delete, From: url + address.SubscriptionSuffix, To: r.handler,
		Body: message.MarshalBody(map[string]string{"resource": url}),
	})
}

// waits is over when so many invitations wait.
func (r *runtime) waits(t testing.TB, want int) {
	t.Helper()
	late, look := time.After(patience), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		n := r.stub.waiting()
		if n == want {
			return
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("%d invitations wait, not %d", n, want)
		}
	}
}

func comes(t testing.TB, answer <-chan fault.Code, want fault.Code) {
	t.Helper()
	select {
	case got := <-answer:
		if got != want {
			t.Errorf("code %d, want %d", got, want)
		}
	case <-time.After(patience):
		t.Error("there is no answer")
	}
}

// So many set-ups that others have begun are under way at once. The others take their turn
// as these end, in the order of their coming, without those who have left.
func TestSetUpsTakeTurns(t *testing.T) {
	limits := testLimits()
	limits.Turns, limits.Invited, limits.SetUp, limits.Turn = 2, 5, time.Hour, time.Hour
	b := newWorld().join(t, bob, limits)
	var answers []<-chan fault.Code
	for i := range 5 {
		answers = append(answers, b.invites(t, i, i))
		b.waits(t, max(i-1, 0))
	}
	comes(t, answers[0], fault.OK)
	comes(t, answers[1], fault.OK)
	comes(t, b.invites(t, 5, 5), fault.TooMany)
	if len(answers[2]) > 0 {
		t.Error("the third did not wait")
	}
	b.ends(3) // while it waits
	b.waits(t, 2)
	b.ends(0)
	comes(t, answers[2], fault.OK)
	b.waits(t, 1)
	b.ends(1)
	comes(t, answers[4], fault.OK)
	b.waits(t, 0)
	if len(answers[3]) > 0 {
		t.Error("who has left has got its turn")
	}
}

// A set-up that takes long keeps nobody out for longer than a turn, and who waits for too
// long is told to come again.
func TestATurnEnds(t *testing.T) {
	limits := testLimits()
	limits.Turns, limits.SetUp, limits.Turn, limits.TurnWait = 1, time.Hour, 50*time.Millisecond, time.Hour
	w := newWorld()
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, limits)
	comes(t, b.invites(t, 1, 1), fault.OK)
	setUp(t, a, b)
	limits.TurnWait = 1
	c := w.join(t, "hyperty-runtime://example/c", limits)
	comes(t, c.invites(t, 1, 11), fault.OK)
	comes(t, c.invites(t, 2, 12), fault.TooMany)
}

// Who waits is refused when the stub stops, or its handler goes, and begins no more.
func TestWhoWaitsIsToldOfTheEnd(t *testing.T) {
	limits := testLimits()
	limits.Turns, limits.SetUp, limits.Turn = 1, time.Hour, time.Hour
	b := newWorld().join(t, bob, limits)
	comes(t, b.invites(t, 1, 1), fault.OK)
	waits := b.invites(t, 2, 2)
	b.waits(t, 1)
	if _, err := b.api.Close(t.Context(), &pb.P2PStubCloseRequest{StubUrl: b.handler}); err != nil {
		t.Fatal(err)
	}
	comes(t, waits, fault.NotFound)
	b.deployHandler(t)
	comes(t, b.invites(t, 3, 3), fault.OK)
	waits = b.invites(t, 4, 4)
	b.waits(t, 1)
	b.stop()
	comes(t, waits, fault.Unavailable)
}

// While an invitation waits its runtime is connected with by that one. What there is of an
// older connection ends, where nothing else would tell that the other side has it no more.
func TestWhatWaitsGoesFirst(t *testing.T) {
	limits := testLimits()
	limits.Turns, limits.SetUp, limits.Turn = 1, time.Hour, time.Hour
	w := newWorld()
	w.meddle = withoutHeartbeats
	a, b := w.join(t, alice, testLimits()), w.join(t, bob, limits)
	setUp(t, a, b)
	comes(t, b.invites(t, 1, 1), fault.OK)
	m := invitationOf(alice, 2)
	m.To = b.handler
	b.bus.deliver(m)
	if _, last := b.await(t, status.Disconnected); last.Reason != "the other side connects anew" {
		t.Errorf("reason %q", last.Reason)
	}
	if _, err := b.connect(t, a); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("a requester beside it: %v", err)
	}
}

// A runtime has one place in the queue: its last invitation has it.
func TestAPlaceInTheQueue(t *testing.T) {
	d, at := &deployed{}, time.Now()
	of := func(remote, object string, created time.Time) queued {
		q := queued{d: d, remote: remote}
		q.inv.request = &pb.Message{Id: object}
		q.inv.Object, q.created = datasync.Object{URL: object}, created
		return q
	}
	var all turns
	for _, one := range []struct {
		q      queued
		before string
		code   fault.Code
	}{
		{of("a", "a1", at), "", 0},
		{of("b", "b1", at), "", 0},
		{of("a", "a1", at), "", 0}, // again
		{of("a", "a2", at.Add(1)), "a1", 0},
		{of("a", "a1", at), "", fault.Conflict}, // late
		{of("a", "a3", time.Time{}), "a2", 0},   // a newcomer
		{of("a", "a2", at), "a3", 0},
		{of("c", "c1", at), "", fault.TooMany},
	} {
		before, err := all.wait(one.q, 2)
		if before.GetId() != one.before || err != nil && fault.CodeOf(err) != one.code || err == nil && one.code != 0 {
			t.Errorf("%s of %s: %v takes the place of %v", one.q.inv.Object.URL, one.q.remote, err, before)
		}
	}
	if q := all.next(); len(all.queue) != 1 || q.inv.Object.URL != "a2" || all.queue[0].remote != "b" {
		t.Errorf("%v is next, then %v", q.inv.Object.URL, all.queue)
	}
}
