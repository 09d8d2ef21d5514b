package msgnode

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestRelay(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		t.Run("a message goes to every session that holds the address, the sender's too", func(t *testing.T) {
			p, q, r := dial(t).open(), dial(t).open(), dial(t).open()
			name := "publisher-" + p.runtime
			for _, s := range []*peer{p, q, r} {
				s.subscribe(name)
			}
			p.send(frame(`"same"`, "event", p.runtime+"/x", name, `{"via":"secret","deep":{"via":"kept"},"n":1.50}`))
			for _, s := range []*peer{p, q, r} {
				m := s.receive()
				via, has := m.Body["via"]
				if string(m.ID) != `"same"` || m.From != p.runtime+"/x" || m.To != name || fmt.Sprint(m.Body["deep"]) != "map[via:kept]" {
					t.Errorf("%+v", m)
				}
				if own := s == p; has != own || (own && via != "secret") {
					t.Errorf("via is %v towards own=%v", via, own)
				}
			}
		})
		t.Run("to nobody: 404 for a request, nothing for a response", func(t *testing.T) {
			p := dial(t).open()
			p.must(404, "ping", p.runtime+"/x", "nobody", "")
			p.send(frame("1", "response", p.runtime+"/x", "nobody", `{"code":200}`))
			p.nothing()
		})
		t.Run("a hyperty that sends becomes reachable", func(t *testing.T) {
			p, q := dial(t).open(), dial(t).open()
			hyperty := "hyperty://" + domain + "/" + p.token
			q.must(404, "ping", q.runtime+"/x", hyperty, "")
			p.must(404, "ping", hyperty, "nobody", "")
			q.post("ping", q.runtime+"/x", hyperty, "")
			if m := p.receive(); m.To != hyperty {
				t.Errorf("%+v", m)
			}
			q.must(403, "ping", hyperty, "nobody", "") // it is p's now
			q.must(403, "ping", hyperty+"/below", "nobody", "")
		})
		t.Run("a hyperty that somebody holds is not bound", func(t *testing.T) {
			p, q, r := dial(t).open(), dial(t).open(), dial(t).open()
			hyperty := "hyperty://" + domain + "/held-" + p.token
			p.subscribe(hyperty)
			q.must(404, "ping", hyperty, "nobody", "")
			r.post("ping", r.runtime+"/x", hyperty, "")
			if m := p.receive(); m.To != hyperty {
				t.Errorf("%+v", m)
			}
			q.nothing()
		})
		t.Run("order of one sender to one receiver", func(t *testing.T) {
			p, q := dial(t).open(), dial(t).open()
			name := "order-" + q.runtime
			q.subscribe(name)
			const count = 500
			for i := range count {
				p.send(frame(fmt.Sprint(i), "event", p.runtime+"/x", name, ""))
			}
			for i := range count {
				if m := q.receive(); string(m.ID) != fmt.Sprint(i) {
					t.Fatalf("message %s, want %d", m.ID, i)
				}
			}
		})
		t.Run("what a lost socket had not sent comes on the next", func(t *testing.T) {
			p := dial(t).open()
			q := dial(t).open()
			b.silence(p)
			q.post("event", q.runtime+"/x", p.runtime+"/sm", `{"n":1}`)
			q.nothing()
			p.drop()
			b.eventually(t, "the loss", func(d *directory) bool { return d.sessions[p.runtime].Socket == "" })
			r := dial(t).openAs(p.runtime)
			if m := r.receive(); m.Body["n"] != 1.0 {
				t.Errorf("%+v", m)
			}
		})
	})
}

func TestForgedSources(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		p, q := dial(t).open(), dial(t).open()
		q.must(200, "create", q.runtime+"/r", alloc, `{"scheme":"comm","value":{"number":1}}`)
		q.post("create", q.runtime+"/r", alloc, `{"scheme":"comm","value":{"number":1}}`)
		object := allocated(q.receive())[0]
		p.subscribe(q.token) // somewhere to send to
		for from, want := range map[string]int{
			p.runtime:                                        200,
			p.runtime + "/sm":                                200,
			p.runtime + "/" + p.token:                        200,
			"publisher":                                      200,
			"hyperty://other.example/" + p.token:             200,
			"runtime://" + domain + "/p2prequester/7":        200, // of an older peer
			"comm://" + domain + "/" + p.token + "/changes":  200, // nobody's
			"hyperty-runtime://other.example/r/p2phandler/1": 200, // no session here
			q.runtime:                     403,
			q.runtime + "/p2phandler/1":   403,
			object:                        403,
			object + "/subscription":      403,
			"mn:/session":                 403,
			registry:                      403,
			sm:                            403,
			"domain://msg-node." + domain: 403,
		} {
			id := p.post("event", from, q.token, "")
			m := p.receive()
			if string(m.ID) != id || m.code() != want && !(want == 200 && m.Type == "event" && m.From == from) {
				t.Errorf("from %s: %+v, want %d", from, m, want)
			}
		}
		refused := counted(t, b.node.metrics.refused.WithLabelValues("authorise", "403"))
		p.post("response", q.runtime, q.token, "")
		p.nothing()
		if got := counted(t, b.node.metrics.refused.WithLabelValues("authorise", "403")); got != refused+1 {
			t.Errorf("%v refused, want %v", got, refused+1)
		}
	})
}

// An older reporter invents the address of its object, and only subscribes it.
func TestInventedObjects(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		reporter, observer, other := dial(t).open(), dial(t).open(), dial(t).open()
		for scheme, asObject := range map[string]int{
			"connection": 403,
			"comm":       0, // an observer writes as the object when it changes a child
		} {
			object := scheme + "://" + domain + "/" + reporter.token
			other.subscribe(object) // which gives it nothing
			reporter.subscribe(object, object+"/subscription")
			observer.subscribe(object+"/changes", object+"/children/")
			other.subscribe(object+"/changes", object+"/subscription")
			for from, want := range map[string]int{object + "/subscription": 403, object: asObject} {
				if want == 0 {
					other.post("update", from, object+"/children/", "")
					if m := observer.receive(); m.From != from {
						t.Errorf("%+v", m)
					}
					continue
				}
				other.must(want, "delete", from, object+"/changes", "")
				observer.nothing()
			}
			// A request to the object goes to all who hold it, whoever asks.
			observer.post("read", observer.runtime+"/sm", object, "")
			reporter.receive()
			other.receive()

			reporter.post("delete", object+"/subscription", object+"/changes", "")
			for _, p := range []*peer{observer, other} {
				if m := p.receive(); m.Type != "delete" {
					t.Errorf("%+v", m)
				}
			}
			reporter.must(200, "unsubscribe", reporter.runtime+"/sm", sm, fmt.Sprintf(`{"resources":[%q,%q]}`, object, object+"/subscription"))
			other.subscribe(object + "/subscription") // free, and so its own now
			other.post("event", object+"/subscription", object+"/children/", "")
			observer.receive()
			reporter.must(403, "delete", object+"/subscription", object+"/changes", "")
		}
		t.Run("of one that was allocated", func(t *testing.T) {
			reporter.post("create", reporter.runtime+"/sm", alloc, `{"scheme":"comm","value":{"number":1}}`)
			object := allocated(reporter.receive())[0]
			other.subscribe(object + "/subscription")
			other.must(403, "delete", object+"/subscription", observer.runtime+"/sm", "")
			reporter.post("delete", object+"/subscription", observer.runtime+"/sm", "")
			observer.receive()
		})
		t.Run("that is freed", func(t *testing.T) {
			object := "connection://" + domain + "/freed-" + reporter.token
			had := b.holdsOf(reporter.token)
			reporter.subscribe(object, object+"/subscription")
			other.subscribe(object + "/changes")
			other.must(200, "delete", other.runtime+"/sm", alloc, fmt.Sprintf(`{"resource":%q}`, object)) // nothing of its own
			other.must(403, "delete", object, object+"/changes", "")
			reporter.must(200, "delete", reporter.runtime+"/sm", alloc, fmt.Sprintf(`{"resource":%q,"childrenResources":[]}`, object))
			if have := b.holdsOf(reporter.token); have != had {
				t.Errorf("%d addresses are left, of %d", have, had)
			}
		})
		t.Run("of a session that is over", func(t *testing.T) {
			object := "connection://" + domain + "/left-" + reporter.token
			reporter.subscribe(object, object+"/subscription")
			reporter.must(200, "close", reporter.runtime, "mn:/session", "")
			again := dial(t).openAs(reporter.runtime)
			again.subscribe(object, object+"/subscription")
			again.post("delete", object+"/subscription", observer.runtime+"/sm", "")
			observer.receive()
			other.must(403, "delete", object, observer.runtime+"/sm", "")
		})
	})
}

func (b *bed) holdsOf(token string) int {
	b.node.mu.RLock()
	defer b.node.mu.RUnlock()
	return b.node.directory.addresses(token)
}

func TestOversized(t *testing.T) {
	large := func(n int) string {
		return frame(`"big"`, "event", "f", "t", `{"x":"`+strings.Repeat("x", n)+`"}`)
	}
	t.Run("a frame with a message that is too large", func(t *testing.T) {
		p := start(t).dial(t, "websocket").open()
		p.send(large(message.MaxSize))
		if m := p.receive(); m.code() != 413 || string(m.ID) != `"big"` {
			t.Errorf("%d %s", m.code(), m.text())
		}
		p.nothing()
	})
	t.Run("beyond the largest frame", func(t *testing.T) {
		p := start(t, limited(func(l *Limits) { l.FrameBytes = 1000 })).dial(t, "websocket").open()
		p.send(large(2000))
		if code := websocket.CloseStatus(p.waitEnded()); code != websocket.StatusMessageTooBig {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("gRPC: the largest goes, one byte more is refused", func(t *testing.T) {
		b, rt := start(t), newRuntime()
		stream := rawStream(t, b, frame("1", "open", rt, "mn:/session", ""))
		m := &pb.Message{Id: "2", Type: "event", From: rt, To: rt + "/sm", Resource: &pb.Resource{}}
		m.Resource.Content = make([]byte, message.MaxSize-proto.Size(m)-16)
		m.Resource.MimeType = strings.Repeat("x", message.MaxSize-proto.Size(m)-2)
		if size := proto.Size(m); size != message.MaxSize {
			t.Fatalf("%d bytes", size)
		}
		over := message.Clone(m)
		over.Id, over.Resource.MimeType = "3", m.Resource.MimeType+"x"
		for _, sent := range []*pb.Message{m, over} {
			if err := stream.Send(&pb.MessageNodeConnectRequest{Messages: []*pb.Message{sent}}); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for len(got) < 3 {
			resp, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range resp.Messages {
				code, _ := message.Result(m)
				got = append(got, fmt.Sprint(m.Id, " ", m.Type, " ", code))
			}
		}
		slices.Sort(got) // answers may overtake messages
		if s := strings.Join(got, ", "); s != "1 response 200, 2 event 200, 3 response 413" {
			t.Error(s)
		}
	})
}

func TestSlowReader(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		p, slow, other := dial(t).open(), dial(t).open(), dial(t).open()
		slow.subscribe("to-slow-" + t.Name())
		other.subscribe("to-other-" + t.Name())
		queue := b.silence(slow)
		for range 3 {
			p.post("event", p.runtime+"/x", "to-slow-"+t.Name(), "")
		}
		p.must(429, "event", p.runtime+"/x", "to-slow-"+t.Name(), "")
		p.post("event", p.runtime+"/x", "to-other-"+t.Name(), "")
		if m := other.receive(); m.Type != "event" {
			t.Errorf("%+v", m)
		}
		if got := counted(t, b.node.metrics.dropped.WithLabelValues("full")); got < 1 {
			t.Errorf("%v dropped", got)
		}
		b.node.mu.RLock()
		waits := b.node.queued()
		b.node.mu.RUnlock()
		if waits.messages != 3 || waits.bytes < 3*20 {
			t.Errorf("%+v in the queues", waits)
		}
		idle := newQueue(&b.node.limits, func() {})
		idle.offer(&pb.Message{})
		b.node.mu.Lock()
		before := b.node.queued().control
		b.node.sockets["idle"] = &socket{queue: idle}
		after := b.node.queued().control
		delete(b.node.sockets, "idle")
		b.node.mu.Unlock()
		if after != before+1 {
			t.Errorf("%d answers in the queues, then %d", before, after)
		}
		if got := counted(t, b.node.metrics.bytes); got < 4*20 {
			t.Errorf("%v bytes relayed", got)
		}
		slow.must(200, "subscribe", slow.runtime+"/ua", sm, `{"resources":["x"]}`) // its session works on
		queue.goLive()
		for range 3 {
			slow.receive()
		}
		slow.nothing()
	}, limited(func(l *Limits) { l.RelayQueue = 3 }))
}

func TestClientThatDoesNotReadIsGivenUp(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.WriteTimeout = 100 * time.Millisecond }))
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			rt := newRuntime()
			open := frame("1", "open", rt, "mn:/session", "")
			if transport == "websocket" {
				if err := rawWebSocket(t, b).Write(t.Context(), websocket.MessageText, []byte(open)); err != nil {
					t.Fatal(err)
				}
			} else {
				rawStream(t, b, open)
			}
			b.eventually(t, "the opening", func(d *directory) bool { return d.isHeld(rt + "/sm") })
			large := &pb.Message{Id: "1", Type: "event", From: "x", To: rt + "/sm", Resource: &pb.Resource{Content: make([]byte, 1<<20)}}
			for range 15 {
				if err := b.relay(large); err != nil {
					t.Fatal(err)
				}
			}
			b.eventually(t, "the loss", func(d *directory) bool { return d.sessions[rt].Socket == "" })
		})
	}
}

// rawStream opens a session, and leaves reading to the test.
func rawStream(t *testing.T, b *bed, open string) pb.MessageNode_ConnectClient {
	t.Helper()
	conn, err := b.memory.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	stream, err := pb.NewMessageNodeClient(conn).Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m, err := message.ParseJSON([]byte(open))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.MessageNodeConnectRequest{Messages: []*pb.Message{m}}); err != nil {
		t.Fatal(err)
	}
	return stream
}

// answers gives id and code of the next n messages of a stream.
func answers(t *testing.T, stream pb.MessageNode_ConnectClient, n int) string {
	t.Helper()
	var all []string
	for len(all) < n {
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range resp.Messages {
			code, _ := message.Result(m)
			all = append(all, fmt.Sprint(m.Id, " ", code))
		}
	}
	return strings.Join(all, ", ")
}

func rawWebSocket(t *testing.T, b *bed) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(b.http.URL, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func TestSocketsAreBounded(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.Sockets, l.Sessions = 2, 1 }))
	p := b.dial(t, "websocket").open()
	b.dial(t, "grpc").must(429, "open", newRuntime(), "mn:/session", "")
	if code := websocket.CloseStatus(b.dial(t, "websocket").waitEnded()); code != websocket.StatusTryAgainLater {
		t.Errorf("the third socket is closed with %d", code)
	}
	p.nothing()
}

func TestSilentSocketIsClosed(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.OpenTimeout = time.Millisecond }))
	if code := websocket.CloseStatus(b.dial(t, "websocket").waitEnded()); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %d", code)
	}
}

func TestStoppingSaysSo(t *testing.T) {
	b := start(t)
	p, q := b.dial(t, "websocket").open(), b.dial(t, "grpc").open()
	b.stop()
	if code := websocket.CloseStatus(p.waitEnded()); code != websocket.StatusGoingAway {
		t.Errorf("closed with %d", code)
	}
	if err := q.waitEnded(); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("gRPC: %v", err)
	}
}

func TestReopenIsPaced(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.ReopenBurst, l.ReopenEvery, l.ReopenWait = 2, time.Second, 1500*time.Millisecond }))
	var waited []time.Duration
	b.node.wait = func(_ context.Context, d time.Duration) error { waited = append(waited, d); return nil }
	p, rt := b.dial(t, "websocket"), newRuntime()
	p.must(200, "open", rt, "mn:/session", "")
	for i, want := range []int{200, 200, 200, 429} {
		p.must(want, "re-open", fmt.Sprintf("%s/unknown%d", rt, i), "mn:/session", "")
	}
	if got := fmt.Sprint(waited); got != "[0s 0s 0s 1s]" {
		t.Errorf("waited %s", got)
	}
	b.clock.advance(time.Minute)
	p.must(200, "re-open", rt+"/unknown", "mn:/session", "")
}

// recorder keeps the attributes of the log lines with one text.
type recorder struct {
	slog.Handler
	text string
	mu   sync.Mutex
	got  []map[string]string
}

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }

func (r *recorder) Handle(_ context.Context, line slog.Record) error {
	if line.Message != r.text {
		return nil
	}
	attrs := map[string]string{"level": line.Level.String()}
	line.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value.String(); return true })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, attrs)
	return nil
}

func TestTrace(t *testing.T) {
	rec := &recorder{Handler: slog.DiscardHandler, text: "relayed"}
	b := start(t, logged(rec))
	p, q := b.dial(t, "websocket").open(), b.dial(t, "grpc").open()
	p.post("ping", p.runtime+"/x", q.runtime+"/sm", "")
	q.receive()
	b.stop()
	want := fmt.Sprint([]map[string]string{{
		"level": "DEBUG", "type": "ping", "from": p.runtime + "/x", "to": q.runtime + "/sm", "runtime": q.runtime,
	}})
	if got := fmt.Sprint(rec.got); got != want {
		t.Errorf("traced %s, want %s", got, want)
	}
}

func TestDeadClientIsFound(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.PingEvery, l.PingTimeout = time.Millisecond, time.Millisecond }))
	rawWebSocket(t, b) // reads nothing, and so answers no ping
	live := b.dial(t, "grpc").open()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		b.node.mu.RLock()
		count := len(b.node.sockets)
		b.node.mu.RUnlock()
		if count == 1 {
			live.nothing()
			return
		}
		live.must(404, "ping", live.runtime+"/x", "nobody", "")
	}
	t.Error("the dead socket is still there")
}
