package bus

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// lateAsker is a client that asks once, over as many streams as it needs.
type lateAsker struct {
	t      *testing.T
	origin string
	number uint64
}

func (a lateAsker) ask(h *replicaHouse) *raw {
	a.t.Helper()
	r := h.rawOf(pb.Component_COMPONENT_APPLICATION, a.origin)
	r.sequence = 7
	r.send(&pb.AttachRequest{Posts: []*pb.Post{{
		Message: numbered(alice, carol, 1), Number: a.number, Sequence: r.sequence, Wait: pb.Wait_WAIT_RESPONSE, Again: true,
	}}})
	return r
}

// breakOff ends the streams of clients with posts of their own, as a lost connection does.
func (h *replicaHouse) breakOff(origin string) {
	for _, s := range h.bus.streams.here() {
		if s.origin != nil && string(s.origin.id) == origin {
			s.cancel(errMoved)
			<-s.gone
		}
	}
}

// answering collects what is asked of an address, to be answered by hand.
func (h *replicaHouse) answering(address string) (asked chan *pb.Message, answer func(*pb.Message)) {
	h.t.Helper()
	app := h.app()
	asked = h.listen(app, address)
	return asked, func(m *pb.Message) {
		h.t.Helper()
		if err := app.Post(h.ctx, message.Answer(m, 200, nil)); err != nil {
			h.t.Errorf("answering: %v", err)
		}
	}
}

// keeps is how many bytes of responses are kept.
func (r *requests) keeps() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept
}

func wantResponse(t *testing.T, o *pb.Outcome) {
	t.Helper()
	if code, err := message.Result(o.GetResponse()); code != 200 || err != nil || o.GetCode() != 200 {
		t.Errorf("got %v, want the response", o)
	}
}

// The response comes to a replica whose client has lost its stream, and has not attached
// to another one yet.
func TestAResponseIsKeptForAClientThatMoves(t *testing.T) {
	for name, next := range map[string]int{"elsewhere": 1, "back": 0} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, Limits{RequestTime: 5 * time.Second}, 3)
			a := c.all[0]
			asker := lateAsker{t, name, 1}
			asked, answer := c.all[2].answering(carol)
			asker.ask(a)
			m := a.next(asked)
			a.breakOff(name)
			answer(m)
			a.until("the response is kept", func() bool { return a.bus.requests.keeps() > 0 })
			wantResponse(t, asker.ask(c.all[next]).outcome())
			a.until("nothing is kept", func() bool { return a.bus.requests.keeps() == 0 && a.bus.requests.count() == 0 })
		})
	}
}

// The response was given to the stream of a client that did not read it any more.
func TestAResponseThatWasLostWithItsStreamIsGivenAgain(t *testing.T) {
	for name, next := range map[string]int{"elsewhere": 1, "back": 0} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, Limits{RequestTime: 5 * time.Second}, 3)
			a := c.all[0]
			asker := lateAsker{t, name, 1}
			asked, answer := c.all[2].answering(carol)
			asker.ask(a)
			answer(a.next(asked))
			a.until("it is answered", func() bool { return a.bus.requests.count() == 0 })
			a.breakOff(name)
			wantResponse(t, asker.ask(c.all[next]).outcome())
		})
	}
}

// A unary request is repeated at another replica with its key.
func TestAKeyedRequestIsRepeatedAtAnotherReplica(t *testing.T) {
	for _, id := range []string{"", "5"} {
		for _, answered := range []string{"before", "after"} {
			t.Run("id "+id+" answered "+answered, func(t *testing.T) {
				c := newCluster(t, Limits{RequestTime: 5 * time.Second}, 3)
				a, b := c.all[0], c.all[1]
				asked, answer := c.all[2].answering(carol)
				request := func(ctx context.Context, h *replicaHouse) error {
					req := keyedRequest(carol, pb.Wait_WAIT_RESPONSE)
					req.Message.Id = id
					resp, err := pb.NewMessageBusClient(h.conn()).Post(ctx, req)
					if err == nil && resp.GetResponse() == nil {
						t.Error("there is no response")
					}
					return err
				}
				ctx, giveUp := context.WithCancel(a.ctx)
				first := make(chan error, 1)
				go func() { first <- request(ctx, a) }()
				m := a.next(asked)
				giveUp()
				if err := <-first; err == nil {
					t.Fatal("the first was answered")
				}
				if answered == "before" {
					answer(m)
					a.until("it is answered", func() bool { return a.bus.requests.count() == 0 })
				}
				second := make(chan error, 1)
				go func() { second <- request(b.ctx, b) }()
				if answered == "after" {
					b.until("it is asked again", func() bool { return b.bus.requests.count() == 1 })
					a.untilAwaited(m)
					answer(m)
				}
				if err := <-second; err != nil {
					t.Errorf("the second: %v (%d)", err, fault.CodeOf(err))
				}
			})
		}
	}
}

// Nobody comes for a response: its sender is told then that it need not keep it.
func TestAResponseIsKeptForAWhile(t *testing.T) {
	c := newCluster(t, Limits{ReturnTime: 50 * time.Millisecond}, 2)
	a := c.all[0]
	asker := lateAsker{t, "x", 1}
	app := c.all[1].app()
	asked := c.all[1].listen(app, carol)
	asker.ask(a)
	m := a.next(asked)
	a.breakOff("x")
	if err := app.Post(a.ctx, message.Answer(m, 200, nil), client.Delivered()); err != nil {
		t.Error(err)
	}
	if n := a.bus.requests.keeps(); n != 0 {
		t.Errorf("%d bytes are kept", n)
	}
}

// The client is back only then, and asks again.
func TestAResponseThatCountsAsGivenIsGiven(t *testing.T) {
	c := newCluster(t, Limits{ReturnTime: 50 * time.Millisecond, RequestTime: 5 * time.Second}, 2)
	a := c.all[0]
	asker := lateAsker{t, "x", 1}
	asked, answer := c.all[1].answering(carol)
	asker.ask(a)
	m := a.next(asked)
	a.breakOff("x")
	answer(m)
	a.until("it counts as given", func() bool { return a.bus.requests.count() == 0 })
	wantResponse(t, asker.ask(a).outcome())
}

// The client gets the response at another replica, does not read it, and is back at the
// first one.
func TestARequestIsAskedWhereItWasBefore(t *testing.T) {
	for _, when := range []string{"kept", "handed on"} {
		t.Run(when, func(t *testing.T) {
			c := newCluster(t, Limits{RequestTime: 5 * time.Second}, 3)
			a, b := c.all[0], c.all[1]
			asker := lateAsker{t, "x", 1}
			asked, answer := c.all[2].answering(carol)
			asker.ask(a)
			m := a.next(asked)
			a.breakOff("x")
			if when == "kept" {
				answer(m)
				a.until("the response is kept", func() bool { return a.bus.requests.keeps() > 0 })
				asker.ask(b)
			} else {
				asker.ask(b)
				a.untilAwaited(m)
				answer(m)
			}
			b.until("it is answered", func() bool { return b.bus.requests.count() == 0 })
			b.breakOff("x")
			wantResponse(t, asker.ask(a).outcome())
		})
	}
}

// A client has asked at a replica, then at another one, and loses its stream there too.
func TestAResponseIsKeptWhereItsClientAskedLast(t *testing.T) {
	c := newCluster(t, Limits{RequestTime: 5 * time.Second}, 3)
	a, b := c.all[0], c.all[1]
	asker := lateAsker{t, "x", 1}
	asked, answer := c.all[2].answering(carol)
	asker.ask(b)
	m := a.next(asked)
	a.untilAwaited(m)
	b.breakOff("x")
	asker.ask(a)
	b.untilAwaited(m)
	c.all[2].until("it is known who asked last", func() bool {
		mesh := c.all[2].bus.mesh
		mesh.mu.Lock()
		defer mesh.mu.Unlock()
		at, _ := mesh.awaited.get(message.KeyOf(m))
		return at.replica == a.bus.mesh.id
	})
	a.breakOff("x")
	answer(m)
	a.until("the response is kept", func() bool { return a.bus.requests.keeps() > 0 || a.bus.requests.count() == 0 })
	wantResponse(t, asker.ask(a).outcome())
}

// What is kept for one client does not keep from others what is handed over to them.
func TestAResponseThatIsKeptHoldsUpNoOthers(t *testing.T) {
	c := newCluster(t, Limits{Window: 4 << 10, ReturnTime: time.Minute, RequestTime: time.Minute}, 2)
	a, app := c.all[0], c.all[1].app()
	asked, answer := c.all[1].answering(carol)
	lateAsker{t, "x", 1}.ask(a)
	m := a.next(asked)
	a.breakOff("x")
	answer(m)
	a.until("the response is kept", func() bool { return a.bus.requests.keeps() > 0 })
	long := map[string]any{"value": strings.Repeat("x", 1<<10)}
	if _, err := app.Listen(a.ctx, bob, func(ctx context.Context, m *pb.Message) {
		if err := app.Post(ctx, message.Answer(m, 200, long)); err != nil && ctx.Err() == nil { // the last one may be over first
			t.Errorf("answering: %v", err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(a.ctx, 10*time.Second)
	defer cancel()
	other := a.app()
	for n := range 20 {
		if _, err := other.Request(ctx, numbered(alice, bob, n)); err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
	}
	if a.bus.requests.keeps() == 0 {
		t.Error("the response is not kept any more")
	}
}

func TestNoMoreResponsesAreKeptThanMayBe(t *testing.T) {
	l := Limits{ResponseBytes: 3000}.orDefaults()
	g, m := newGiven(&l), &pb.Message{From: carol, To: alice, Id: "1", Body: make([]byte, 600)}
	put := func(n uint64) {
		asked := &pb.Message{From: alice, To: carol, Id: "1", Origin: []byte("x"), Number: n}
		g.put(&request{key: message.KeyOf(asked), post: newPost(itself{}, asked)}, m)
	}
	has := func(n uint64) bool { return g.to(elsewhere{origin: "x", number: n}, message.AnswerKey(m)) != nil }
	for n := range uint64(10) {
		put(n)
	}
	if !has(9) || has(6) || g.bytes > l.ResponseBytes || g.inTurn.len() != len(g.byPost) {
		t.Errorf("%d responses of %d bytes are kept", g.inTurn.len(), g.bytes)
	}
	m.Body = make([]byte, l.ResponseBytes)
	put(11)
	if !has(9) || has(11) {
		t.Error("one that is too large is kept, or another one is not")
	}
	g.expire(time.Now().Add(l.GivenTime + time.Second))
	if g.bytes != 0 || g.inTurn.len() != 0 || len(g.byPost) != 0 {
		t.Errorf("%d bytes are left", g.bytes)
	}
	p := newPost(itself{}, m)
	p.size = l.ResponseBytes
	r := newRequests(&l, newMetrics(), func(*post) {}, func(*post) bool { return false })
	q := &request{post: newPost(&stream{origin: &origin{}}, m)}
	if r.keep(q, p, nil) {
		t.Error("a response is kept that is too large")
	}
}
