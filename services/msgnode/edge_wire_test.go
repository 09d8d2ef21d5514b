package msgnode

import (
	"fmt"
	"testing"
	"time"
)

// fill gives a session as many addresses as it may have.
func fill(t *testing.T, b *bed, p *peer) {
	t.Helper()
	b.node.mu.RLock()
	free := b.node.limits.Addresses - b.node.directory.addresses(p.token)
	b.node.mu.RUnlock()
	list := make([]string, free)
	for i := range list {
		list[i] = fmt.Sprintf("fill-%s-%d", p.runtime, i)
	}
	p.subscribe(list...)
}

func TestFullSessionCanBeReopened(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		p := dial(t).open()
		allocation := frame(`"a"`, "create", p.runtime+"/r", alloc, `{"value":{"number":2}}`)
		p.send(allocation)
		first := fmt.Sprint(allocated(p.receive()))
		fill(t, b, p)
		p.send(allocation) // repeated, it asks for nothing more
		if again := p.receive(); again.code() != 200 || fmt.Sprint(allocated(again)) != first {
			t.Errorf("the repeated allocation: %d %s", again.code(), again.text())
		}
		p.must(429, "subscribe", p.runtime+"/ua", sm, `{"resources":["beyond"]}`)
		p.drop()
		_ = p.waitEnded()
		r := dial(t)
		r.must(200, "re-open", p.runtime+"/"+p.token, "mn:/session", "")
		r.must(200, "open", p.runtime, "mn:/session", "")
		r.post("event", p.runtime+"/x", p.runtime+"/sm", "")
		r.receive()
	}, limited(func(l *Limits) { l.Addresses = 10 }))
}

func TestNothingIsBoundWithoutSession(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		p := dial(t)
		p.must(400, "open", "hyperty://"+domain+"/no-runtime", "mn:/session", "")
		b.node.mu.RLock()
		defer b.node.mu.RUnlock()
		if d := b.node.directory; len(d.holds) != 0 {
			t.Errorf("bound: %v", d.holds)
		}
	})
}

func TestReplacedSocketStaysIdleWhenTheNewerIsLost(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		old, q := dial(t).open(), dial(t).open()
		p := dial(t).openAs(old.runtime)
		p.drop()
		b.eventually(t, "the loss", func(d *directory) bool { return d.sessions[old.runtime].Socket == "" })
		b.node.sweep(t.Context())
		q.post("ping", q.runtime+"/x", old.runtime+"/sm", "") // is kept
		q.nothing()
		if old.openAs(old.runtime).token != p.token { // it comes back by itself
			t.Error("another session")
		}
		if m := old.receive(); m.Type != "ping" {
			t.Errorf("%+v", m)
		}
		b.node.mu.RLock()
		idle := b.node.sockets[b.node.directory.sessions[old.runtime].Socket].replaced
		b.node.mu.RUnlock()
		if idle {
			t.Error("the socket that has the session is taken for replaced")
		}
	})
}

func TestReplacedSocketHasTheSessionBackWhenTheNewerStaysLost(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		oldest, q := dial(t).open(), dial(t).open()
		old, p := dial(t).openAs(oldest.runtime), dial(t).openAs(oldest.runtime)
		p.drop()
		b.eventually(t, "the loss", func(d *directory) bool { return d.sessions[old.runtime].Socket == "" })
		q.post("ping", q.runtime+"/x", old.runtime+"/sm", "") // is kept
		q.nothing()
		b.clock.advance(b.node.limits.ReplacedWait - time.Second)
		if due := b.node.claims(b.clock.now()); len(due) > 0 {
			t.Errorf("too soon: %v", due)
		}
		b.clock.advance(time.Second)
		b.node.sweep(t.Context())
		if m := old.receive(); m.Type != "ping" { // and not the oldest
			t.Errorf("%+v", m)
		}
		newer := dial(t).openAs(old.runtime) // it comes back after all
		q.post("pong", q.runtime+"/x", old.runtime+"/sm", "")
		if m := newer.receive(); m.Type != "pong" {
			t.Errorf("%+v", m)
		}
	})
}

func TestReplacedSocketHasTheSessionBackAsItOpenedIt(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		old, p := dial(t).open(), dial(t) // which announces no flows
		p.must(200, "open", old.runtime, "mn:/session", `{"flow":["peerbus.v1"]}`)
		p.drop()
		b.eventually(t, "the loss", func(d *directory) bool { return d.sessions[old.runtime].Socket == "" })
		b.clock.advance(b.node.limits.ReplacedWait)
		b.node.sweep(t.Context())
		b.node.mu.RLock()
		defer b.node.mu.RUnlock()
		if s := b.node.directory.sessions[old.runtime]; s.Socket == "" || s.Flow {
			t.Errorf("%+v", s)
		}
	})
}

// Of several older sockets one has the session back; at the others nothing is before the
// answer to an open.
func TestReplacedSocketsHearNothingBeforeTheirAnswer(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		oldest, q := dial(t).open(), dial(t).open()
		older, p := dial(t).openAs(oldest.runtime), dial(t).openAs(oldest.runtime)
		for _, lost := range []*peer{p, older} {
			lost.drop()
			b.eventually(t, "the loss", func(d *directory) bool { return d.sessions[oldest.runtime].Socket == "" })
			if lost == p {
				b.clock.advance(b.node.limits.ReplacedWait)
				b.node.sweep(t.Context())
			}
		}
		q.post("ping", q.runtime+"/x", oldest.runtime+"/sm", "") // is kept
		q.nothing()
		oldest.send(frame("1", "open", oldest.runtime, "mn:/session", ""))
		if m := oldest.receive(); m.Type != "response" {
			t.Errorf("before the answer to open: %+v", m)
		}
	})
}

func TestWhatWaitsForASessionEndsWithIt(t *testing.T) {
	b := start(t)
	p, q := b.dial(t, "websocket").open(), b.dial(t, "grpc").open()
	b.silence(p)
	q.post("event", q.runtime+"/x", p.runtime+"/sm", "")
	q.nothing()
	p.drop()
	b.eventually(t, "the loss", func(d *directory) bool { return d.sessions[p.runtime].Socket == "" })
	b.clock.advance(b.node.limits.SessionKept)
	b.node.sweep(t.Context())
	if m := q.receive(); m.code() != 404 && m.code() != 408 { // whatever looks first
		t.Errorf("%+v", m)
	}
	b.node.mu.RLock()
	waiting := len(b.node.mail.boxes) + b.node.mail.bytes
	b.node.mu.RUnlock()
	if waiting != 0 {
		t.Error("messages are kept for a session that is over")
	}
	b.dial(t, "websocket").openAs(p.runtime).nothing()
}

func TestSubscriberBesideItsOwnOldHold(t *testing.T) {
	d := newDirectory()
	apply := func(key, value string) {
		if _, _, err := d.apply(key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	apply(sessionKey("r"), `{"runtime":"r","token":"new","socket":"x/1"}`)
	apply(ownerKey("a"), `{"address":"a","runtime":"r","token":"old"}`) // an interrupted close has left it
	apply(holdKey("a", "r"), `{"address":"a","runtime":"r","token":"new"}`)
	if got := d.holders(nil, "a"); len(got) != 1 || got[0].Token != "new" {
		t.Errorf("holders %v", got)
	}
}

func TestReopenTakesAnyToken(t *testing.T) {
	both(t, func(t *testing.T, _ *bed, dial func(*testing.T) *peer) {
		for _, token := range []string{"", "/", "/a/b", "//x"} {
			rt := newRuntime()
			p := dial(t)
			if m := p.must(200, "re-open", rt+token, "mn:/session", ""); m.Body["runtimeToken"] == nil {
				t.Errorf("%q: %+v", token, m)
			}
		}
		// A runtime that writes its URL with a slash at the end.
		p := dial(t).open()
		p.drop()
		_ = p.waitEnded()
		if m := dial(t).must(200, "re-open", p.runtime+"//"+p.token, "mn:/session", ""); m.Body["runtimeToken"] != nil {
			t.Errorf("%+v", m)
		}
		dial(t).must(400, "re-open", "hyperty://a.example/1", "mn:/session", "")
	})
}

func TestExpiryIsSeenBeforeTheSweep(t *testing.T) {
	b := start(t)
	p := b.dial(t, "websocket").open()
	p.must(200, "create", p.runtime+"/registry", registry, value("comm://a.example/1", `,"user":"user://u/1","expires":60`))
	p.subscribe("comm://a.example/1/registration")
	b.clock.advance(time.Minute)
	p.post("read", p.runtime+"/r", registry, `{"resource":"user://u/1"}`)
	p.post("read", p.runtime+"/r", registry, `{"resource":"/comm/comm://a.example/1"}`)
	got := map[string]int{}
	for range 3 { // the answers, and what the sweep that they call for publishes
		m := p.receive()
		got[fmt.Sprint(m.Type, m.code(), m.To)]++
	}
	if got["response408"+p.runtime+"/r"] != 2 || got["update0comm://a.example/1/registration"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestNullIsNotGiven(t *testing.T) {
	both(t, func(t *testing.T, _ *bed, dial func(*testing.T) *peer) {
		p := dial(t).open()
		p.must(200, "subscribe", p.runtime+"/ua", sm, `{"resources":null,"subscribe":["null-here"]}`)
		p.must(400, "subscribe", p.runtime+"/ua", sm, `{"resources":null,"subscribe":null}`)
		p.must(200, "delete", p.runtime+"/r", alloc, `{"resource":null,"childrenResources":["null-here"]}`)
		p.must(404, "ping", p.runtime+"/x", "null-here", "")
	})
}

func TestUnregisterByNameTakesTheURL(t *testing.T) {
	both(t, func(t *testing.T, _ *bed, dial func(*testing.T) *peer) {
		p, q := dial(t).open(), dial(t).open()
		url := "comm://" + domain + "/" + p.token
		p.must(200, "create", p.runtime+"/registry", registry, value(url, ""))
		body := fmt.Sprintf(`{"value":{"name":%q}}`, url)
		q.must(200, "delete", q.runtime+"/registry", registry, body) // none of q's
		p.must(200, "read", p.runtime+"/registry", registry, fmt.Sprintf(`{"resource":%q}`, url))
		p.must(200, "delete", p.runtime+"/registry", registry, body)
		p.must(404, "read", p.runtime+"/registry", registry, fmt.Sprintf(`{"resource":%q}`, url))
	})
}
