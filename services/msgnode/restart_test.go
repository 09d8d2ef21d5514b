package msgnode

import (
	"context"
	"fmt"
	"os"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

func TestRestartKeepsEverything(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			dir := t.TempDir()
			e := openEngine(t, dir)
			b := startOn(t, e)
			p := b.dial(t, transport).open()
			name, entry := "kept-"+p.runtime, "comm://"+domain+"/"+p.token
			p.subscribe(name)
			mine := allocated(p.must(200, "create", p.runtime+"/r", alloc, `{"scheme":"comm","value":{"number":1}}`))[0]
			p.must(200, "create", p.runtime+"/r", registry, value(entry, `,"expires":60`))
			b.stop()
			e.Close()

			e = openEngine(t, dir)
			defer e.Close()
			b = startOn(t, e)
			defer b.stop()
			q := b.dial(t, transport).open()
			q.must(403, "ping", mine, name, "")
			q.must(200, "read", q.runtime+"/r", registry, fmt.Sprintf(`{"resource":%q}`, entry))
			r := b.dial(t, transport)
			if m := r.must(200, "re-open", p.runtime+"/"+p.token, "mn:/session", ""); m.Body["runtimeToken"] != nil {
				t.Errorf("%+v", m)
			}
			for _, to := range []string{name, mine, p.runtime + "/sm"} {
				q.post("ping", q.runtime+"/x", to, "")
				if m := r.receive(); m.To != to {
					t.Errorf("%+v", m)
				}
			}
		})
	}
}

func TestSessionIsRemovedInTheEnd(t *testing.T) {
	b := start(t)
	p, q := b.dial(t, "websocket").open(), b.dial(t, "grpc").open()
	p.subscribe("a", "b", "c")
	p.drop()
	b.eventually(t, "the loss", func(d *directory) bool { return d.sessions[p.runtime].Socket == "" })
	b.clock.advance(b.node.limits.SessionKept - 1e9)
	b.node.sweep(t.Context())
	q.post("event", q.runtime+"/x", "a", "") // is kept
	q.post("event", q.runtime+"/x", q.runtime+"/sm", "")
	q.receive()
	b.clock.advance(1e9)
	b.node.sweep(t.Context())
	if m := q.receive(); m.code() != 404 {
		t.Errorf("what was kept is answered with %+v", m)
	}
	q.must(404, "ping", q.runtime+"/x", "a", "")
	b.node.mu.RLock()
	defer b.node.mu.RUnlock()
	d := b.node.directory
	if len(d.sessions) != 1 || len(d.places) != 1 || len(d.holds) != 1 || len(d.tokens) != 1 || len(d.orphaned) != 0 || len(d.keys) != 1 {
		t.Errorf("left behind: %+v", d)
	}
}

func TestOrphansAreSwept(t *testing.T) {
	b := start(t)
	p := b.dial(t, "grpc").open()
	gone := Session{Runtime: newRuntime(), Token: "gone"}
	if err := b.node.subscribe(t.Context(), gone, []string{"orphan"}); err != nil {
		t.Fatal(err)
	}
	p.must(404, "ping", p.runtime+"/x", "orphan", "")
	b.node.sweep(t.Context())
	b.node.mu.RLock()
	defer b.node.mu.RUnlock()
	if d := b.node.directory; len(d.holds) != 1 || len(d.places) != 1 {
		t.Errorf("holds %v", d.holds)
	}
}

func TestReplicas(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			e := openEngine(t, "")
			defer e.Close()
			one, two := startOn(t, e), startOn(t, e)
			defer one.stop()
			defer two.stop()
			p, q := one.dial(t, transport).open(), two.dial(t, transport).open()

			t.Run("a subscription counts at once everywhere", func(t *testing.T) {
				for i := range 50 {
					name := fmt.Sprintf("far-%d", i)
					p.subscribe(name)
					q.post("event", q.runtime+"/x", name, `{"via":"secret"}`)
					if m := p.receive(); m.To != name || m.Body["via"] != nil {
						t.Fatalf("%+v", m)
					}
				}
			})
			t.Run("order", func(t *testing.T) {
				const count = 500
				for i := range count {
					q.send(frame(fmt.Sprint(i), "event", q.runtime+"/x", p.runtime+"/sm", ""))
				}
				for i := range count {
					if m := p.receive(); string(m.ID) != fmt.Sprint(i) {
						t.Fatalf("message %s, want %d", m.ID, i)
					}
				}
			})
			t.Run("ownership holds everywhere", func(t *testing.T) {
				a := allocated(p.must(200, "create", p.runtime+"/r", alloc, `{"scheme":"comm","value":{"number":1}}`))[0]
				q.must(404, "ping", q.runtime+"/x", "nobody", "") // looks at all that is written
				q.must(403, "ping", a, "nobody", "")
				q.must(403, "ping", p.runtime, "nobody", "")
			})
			t.Run("a slow reader's refusal finds its sender", func(t *testing.T) {
				queue := one.silence(p)
				limit := queue.limits.RelayQueue
				for range limit {
					_, _ = queue.push([]letter{newLetter(codec.Bare(&pb.Message{}), "")}, Session{})
				}
				q.must(429, "ping", q.runtime+"/x", p.runtime+"/sm", "")
				queue.leave()
				queue.goLive()
				p.nothing()
			})
			t.Run("the session moves to the other replica", func(t *testing.T) {
				moved := two.dial(t, transport).openAs(p.runtime)
				if moved.token != p.token {
					t.Errorf("token %q, want %q", moved.token, p.token)
				}
				q.post("event", q.runtime+"/x", "far-0", "")
				if m := moved.receive(); m.To != "far-0" {
					t.Errorf("%+v", m)
				}
				moved.drop()
				two.eventually(t, "the loss", func(d *directory) bool { return d.sessions[p.runtime].Socket == "" })
				q.post("event", q.runtime+"/x", "far-0", `{"n":1}`)
				q.nothing()
				back := two.dial(t, transport)
				back.must(200, "re-open", p.runtime+"/"+p.token, "mn:/session", "")
				if m := back.receive(); m.Body["n"] != 1.0 {
					t.Errorf("%+v", m)
				}
			})
		})
	}
}

func TestReplicaThatDies(t *testing.T) {
	e := openEngine(t, "")
	defer e.Close()
	b := startOn(t, e)
	defer b.stop()
	q := b.dial(t, "grpc").open()
	// The record of a session at a replica that is no more.
	dead := event{kind: evOpen, runtime: newRuntime(), socket: "dead/1", fresh: "token"}
	s, _, err := b.node.change(t.Context(), dead)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.node.subscribe(t.Context(), s, []string{"at-the-dead"}); err != nil {
		t.Fatal(err)
	}
	q.must(503, "ping", q.runtime+"/x", "at-the-dead", "") // NATS says that nobody listens
	b.eventually(t, "the sweep that it asks for", func(d *directory) bool { return d.sessions[s.Runtime].Socket == "" })
	q.post("ping", q.runtime+"/x", "at-the-dead", "") // from now on it is kept
	q.nothing()
	r := b.dial(t, "websocket")
	if m := r.must(200, "re-open", s.Address(), "mn:/session", ""); m.Body["runtimeToken"] != nil {
		t.Errorf("%+v", m)
	}
	if m := r.receive(); m.Type != "ping" {
		t.Errorf("%+v", m)
	}
}

func TestSocketThatAnotherReplicaTookForLost(t *testing.T) {
	b := start(t)
	p, q := b.dial(t, "websocket").open(), b.dial(t, "grpc").open()
	if _, _, err := b.node.change(t.Context(), event{kind: evGone, runtime: p.runtime, replica: b.node.replica, now: b.clock.now()}); err != nil {
		t.Fatal(err)
	}
	q.post("ping", q.runtime+"/x", p.runtime+"/sm", `{"n":1}`)
	b.eventually(t, "the claim", func(d *directory) bool { return d.sessions[p.runtime].Socket != "" })
	q.post("ping", q.runtime+"/x", p.runtime+"/sm", `{"n":2}`)
	for n := 1.0; n <= 2; n++ {
		if m := p.receive(); m.Body["n"] != n {
			t.Errorf("%+v, want number %v", m, n)
		}
	}
}

func TestTwoOpenTheSameRuntimeAtOnce(t *testing.T) {
	e := openEngine(t, "")
	defer e.Close()
	one, two := startOn(t, e), startOn(t, e)
	defer one.stop()
	defer two.stop()
	for range 20 {
		rt := newRuntime()
		results := make(chan string, 2)
		for _, b := range []*bed{one, two} {
			go func() {
				s, _, err := b.node.change(context.Background(), event{kind: evOpen, runtime: rt, socket: b.node.replica + "/x", fresh: randomName()})
				if err != nil {
					t.Error(err)
				}
				results <- s.Token
			}()
		}
		if a, b := <-results, <-results; a != b {
			t.Fatalf("two tokens, %s and %s", a, b)
		}
	}
}

// A process that is killed leaves its files as they are at that moment.
func TestKillKeepsWhatIsInTheStore(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			dir, after := t.TempDir(), t.TempDir()
			e := openEngine(t, dir)
			defer e.Close()
			b := startOn(t, e)
			defer b.stop()
			p := b.dial(t, transport).openFlow()
			name, entry := "kept-"+p.runtime, "comm://"+domain+"/"+p.token
			p.subscribe(name)
			p.must(200, "create", p.runtime+"/r", registry, value(entry, `,"expires":60`))
			if err := os.CopyFS(after, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}

			e2 := openEngine(t, after)
			defer e2.Close()
			c := startOn(t, e2)
			defer c.stop()
			c.node.sweep(t.Context())
			c.eventually(t, "the end of the old replica's sockets", func(d *directory) bool { return d.sessions[p.runtime].Socket == "" })
			q := c.dial(t, transport).openFlow()
			q.must(200, "read", q.runtime+"/r", registry, fmt.Sprintf(`{"resource":%q}`, entry))
			q.send(flowFrame("1", "event", q.runtime+"/x", name, q.runtime, 1))
			q.nothing() // it is kept
			if m := c.back(t, transport, p).receive(); m.To != name || m.Flow != nil {
				t.Errorf("%+v", m) // back announces nothing
			}
		})
	}
}
