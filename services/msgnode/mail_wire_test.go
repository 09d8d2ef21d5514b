package msgnode

import (
	"fmt"
	"strings"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// away drops a peer's connection and waits until its session is lost.
func (b *bed) away(t *testing.T, p *peer) {
	t.Helper()
	p.drop()
	b.eventually(t, "the loss", func(d *directory) bool { return d.sessions[p.runtime].Socket == "" })
}

// back re-opens a peer's session on another connection.
func (b *bed) back(t *testing.T, transport string, p *peer) *peer {
	t.Helper()
	r := b.dial(t, transport)
	r.runtime, r.token = p.runtime, p.token
	r.must(200, "re-open", p.runtime+"/"+p.token, "mn:/session", "")
	return r
}

// numbers reads messages and wants them numbered from one to another.
func (p *peer) numbers(from, to int) {
	p.t.Helper()
	for i := from; i <= to; i++ {
		if m := p.receive(); m.Body["n"] != float64(i) {
			p.t.Fatalf("%+v, want number %d", m, i)
		}
	}
}

// postNumbers sends events numbered from one to another.
func (p *peer) postNumbers(to string, from, last int) {
	for i := from; i <= last; i++ {
		p.post("event", p.runtime+"/x", to, fmt.Sprintf(`{"n":%d}`, i))
	}
}

func TestMailbox(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) { testMailbox(t, transport) })
	}
}

func testMailbox(t *testing.T, transport string) {
	b := start(t, limited(func(l *Limits) { l.MailboxEvery = time.Hour })) // a test looks after it itself
	t.Run("what comes meanwhile is handed over in order, before anything newer", func(t *testing.T) {
		p, q := b.dial(t, transport).open(), b.dial(t, transport).open()
		other := b.dial(t, transport).open()
		name := "away-" + p.runtime
		p.subscribe(name)
		other.subscribe(name)
		b.away(t, p)
		q.postNumbers(name, 1, 100)
		other.numbers(1, 100) // is not held up
		q.nothing()
		r := b.back(t, transport, p)
		q.postNumbers(name, 101, 110)
		r.numbers(1, 110)
		other.numbers(101, 110)
		r.nothing()
	})
	t.Run("an open fetches it too", func(t *testing.T) {
		p, q := b.dial(t, transport).open(), b.dial(t, transport).open()
		b.away(t, p)
		q.postNumbers(p.runtime+"/sm", 1, 3)
		q.nothing()
		b.dial(t, transport).openAs(p.runtime).numbers(1, 3)
	})
	t.Run("what a socket had not sent comes first", func(t *testing.T) {
		p, q := b.dial(t, transport).open(), b.dial(t, transport).open()
		b.silence(p)
		q.postNumbers(p.runtime+"/sm", 1, 3)
		q.nothing()
		b.away(t, p)
		q.postNumbers(p.runtime+"/sm", 4, 6)
		q.nothing()
		b.back(t, transport, p).numbers(1, 6)
	})
	t.Run("what is kept for too long is refused with 408, a response is dropped", func(t *testing.T) {
		p, q := b.dial(t, transport).openFlow(), b.dial(t, transport).openFlow()
		b.away(t, p)
		q.send(flowFrame(`"late"`, "ping", q.runtime+"/x", p.runtime+"/sm", q.runtime, 4))
		q.send(frame("2", "response", q.runtime+"/x", p.runtime+"/sm", ""))
		q.nothing()
		b.clock.advance(b.node.limits.MailboxTime - time.Second)
		q.post("event", q.runtime+"/x", p.runtime+"/sm", `{"n":3}`)
		q.nothing()
		b.node.refuseOverdue()
		q.nothing()
		b.clock.advance(time.Second)
		b.node.refuseOverdue()
		if m := q.receive(); string(m.ID) != `"late"` || m.code() != 408 || m.Flow["refused"] != true || m.Flow["sequence"] != "4" {
			t.Errorf("%+v", m)
		}
		q.nothing()
		b.back(t, transport, p).numbers(3, 3)
	})
	t.Run("what a session has waiting is refused when it is closed", func(t *testing.T) {
		p, q := b.dial(t, transport).open(), b.dial(t, transport).open()
		b.away(t, p)
		q.post("ping", q.runtime+"/x", p.runtime+"/sm", "")
		q.nothing()
		b.clock.advance(b.node.limits.SessionKept)
		b.node.sweep(t.Context())
		if m := q.receive(); m.code() != 404 {
			t.Errorf("%+v", m)
		}
	})
}

func TestMailboxIsBounded(t *testing.T) {
	for name, limits := range map[string]func(*Limits){
		"for one":  func(l *Limits) { l.MailboxBytes = 3000 },
		"for all":  func(l *Limits) { l.MailboxTotal = 3000 },
		"for none": func(l *Limits) { l.MailboxBytes = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
				p, q := dial(t).open(), dial(t).open()
				b.away(t, p)
				large := fmt.Sprintf(`{"n":1,"x":%q}`, strings.Repeat("x", 1000))
				kept := 0
				for i := range 3 {
					id := fmt.Sprintf(`"large-%d"`, i)
					q.send(frame(id, "event", q.runtime+"/x", p.runtime+"/sm", large))
					marker := q.post("event", q.runtime+"/x", q.runtime+"/sm", "")
					m := q.receive()
					if string(m.ID) == marker {
						kept++
						continue
					}
					if string(m.ID) != id || m.code() != 408 {
						t.Errorf("%+v", m)
					}
					q.receive()
				}
				if name == "for none" && kept != 0 || name != "for none" && kept != 2 {
					t.Errorf("%d are kept", kept)
				}
				r := dial(t)
				r.must(200, "re-open", p.runtime+"/"+p.token, "mn:/session", "")
				for range kept {
					r.receive()
				}
				r.runtime = p.runtime
				r.nothing()
				b.node.mu.RLock()
				defer b.node.mu.RUnlock()
				if len(b.node.mail.boxes) != 0 || b.node.mail.bytes != 0 {
					t.Errorf("left: %+v", b.node.mail)
				}
			}, limited(limits))
		})
	}
}

// The queue of a socket that is lost may hold more than its mailbox.
func TestQueueThatDoesNotFitItsMailbox(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.MailboxBytes = 800 }))
	p, q := b.dial(t, "websocket").open(), b.dial(t, "grpc").open()
	b.silence(p)
	q.postNumbers(p.runtime+"/sm", 1, 4)
	q.nothing()
	b.away(t, p)
	for range 2 {
		if m := q.receive(); m.code() != 408 {
			t.Errorf("%+v", m)
		}
	}
	b.back(t, "websocket", p).numbers(1, 2)
}

func TestMailboxBetweenReplicas(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			e := openEngine(t, "")
			defer e.Close()
			one, two := startOn(t, e), startOn(t, e)
			defer one.stop()
			defer two.stop()
			p, q := one.dial(t, transport).open(), one.dial(t, transport).open()
			other := two.dial(t, transport).open()
			name := "far-" + p.runtime
			p.subscribe(name)
			other.subscribe(name)
			for round := range 20 {
				at, elsewhere := one, two
				if round%2 == 1 {
					at, elsewhere = two, one
				}
				at.away(t, p)
				one.seesLoss(t, p)
				n := 100 * round
				q.postNumbers(name, n+1, n+50)
				q.nothing()
				p = elsewhere.back(t, transport, p)
				q.postNumbers(name, n+51, n+100)
				p.numbers(n+1, n+100)
				other.numbers(n+1, n+100) // none is for it twice
			}
			p.nothing()
			other.nothing()
			for _, b := range []*bed{one, two} {
				b.node.mu.RLock()
				if len(b.node.mail.boxes) != 0 || b.node.mail.bytes != 0 {
					t.Errorf("left: %+v", b.node.mail)
				}
				b.node.mu.RUnlock()
			}
		})
	}
}

// seesLoss waits until this replica knows that a session is lost.
func (b *bed) seesLoss(t *testing.T, p *peer) {
	t.Helper()
	b.eventually(t, "the loss", func(d *directory) bool { return d.sessions[p.runtime].Socket == "" })
}

// A message comes to a replica that has not seen yet that the session is there.
func TestMailOfAReplicaThatIsBehind(t *testing.T) {
	e := openEngine(t, "")
	defer e.Close()
	one, two := startOn(t, e), startOn(t, e)
	defer one.stop()
	defer two.stop()
	p, q := one.dial(t, "grpc").open(), two.dial(t, "grpc").open()
	q.must(404, "ping", q.runtime+"/x", "nobody", "") // looks at all that is written
	l := newLetter(codec.Bare(&pb.Message{Id: "1", Type: "event", From: q.runtime, To: p.runtime + "/sm"}), q.runtime)
	if _, err := two.node.hand(p.runtime, []letter{l}); err != nil { // as if it were here
		t.Fatal(err)
	}
	if m := p.receive(); string(m.ID) != "1" {
		t.Errorf("%+v", m)
	}
	if _, err := two.node.hand("hyperty-runtime://a.example/unknown", []letter{l}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("to a runtime without session: %v", err)
	}
}

func TestStoppingSendsWhatIsQueued(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			b := start(t)
			p, q, gone := b.dial(t, transport).open(), b.dial(t, transport).open(), b.dial(t, transport).open()
			b.away(t, gone)
			waiting := q.post("ping", q.runtime+"/x", gone.runtime+"/sm", "")
			q.nothing()
			queue := b.silence(p) // what is queued now goes out when it stops
			q.postNumbers(p.runtime+"/sm", 1, 500)
			q.nothing()
			queue.goLive()
			b.stop()
			p.numbers(1, 500)
			if err := p.waitEnded(); !strings.Contains(err.Error(), "stopping") {
				t.Errorf("it ended with %v", err)
			}
			if m := q.receive(); string(m.ID) != waiting || m.code() != 503 {
				t.Errorf("what was kept is answered with %+v", m)
			}
		})
	}
}

// A client that takes nothing does not hold up the end.
func TestStoppingDoesNotWaitForASlowClient(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.DrainTimeout = 50 * time.Millisecond }))
	rt := newRuntime()
	rawStream(t, b, frame("1", "open", rt, "mn:/session", ""))
	b.eventually(t, "the opening", func(d *directory) bool { return d.isHeld(rt + "/sm") })
	large := &pb.Message{Id: "1", Type: "event", From: "x", To: rt + "/sm", Resource: &pb.Resource{Content: make([]byte, 1<<20)}}
	for range 5 {
		if err := b.relay(large); err != nil {
			t.Fatal(err)
		}
	}
	b.stop()
}
