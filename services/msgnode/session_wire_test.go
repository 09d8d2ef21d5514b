package msgnode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestSession(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		t.Run("open answers with a token and subscribes the sync manager", func(t *testing.T) {
			p, rt := dial(t), newRuntime()
			m := p.must(200, "open", rt, "mn:/session", "")
			if m.From != "mn:/session" || m.To != rt || m.Body["runtimeToken"] == "" {
				t.Errorf("%+v", m)
			}
			p.runtime = rt
			q := dial(t).open()
			q.post("ping", q.runtime+"/x", rt+"/sm", `{"n":1}`)
			if m := p.receive(); m.Type != "ping" || m.From != q.runtime+"/x" || m.Body["n"] != 1.0 {
				t.Errorf("%+v", m)
			}
			q.post("ping", q.runtime+"/x", fmt.Sprintf("%s/%s", rt, m.Body["runtimeToken"]), `{"n":2}`)
			if m := p.receive(); m.Body["n"] != 2.0 {
				t.Errorf("to the session's own address: %+v", m)
			}
		})
		t.Run("a second open moves the session and leaves the old socket open and idle", func(t *testing.T) {
			old := dial(t).open()
			old.subscribe("moving-" + old.runtime)
			p := dial(t).openAs(old.runtime)
			if p.token != old.token {
				t.Errorf("token %q, want %q", p.token, old.token)
			}
			q := dial(t).open()
			q.post("event", q.runtime+"/x", "moving-"+old.runtime, "")
			if m := p.receive(); m.To != "moving-"+old.runtime {
				t.Errorf("%+v", m)
			}
			// The old socket answers still, on itself; and a close there closes
			// it alone.
			old.must(200, "subscribe", old.runtime+"/ua", sm, `{"resources":["z"]}`)
			old.must(200, "close", old.runtime, "mn:/session", "")
			_ = old.waitEnded()
			p.nothing()
		})
		t.Run("re-open keeps token and subscriptions", func(t *testing.T) {
			p := dial(t).open()
			name := "kept-" + p.runtime
			p.subscribe(name)
			p.drop()
			_ = p.waitEnded()
			r := dial(t)
			m := r.must(200, "re-open", p.runtime+"/"+p.token, "mn:/session", "")
			if m.Body["runtimeToken"] != nil || m.To != p.runtime+"/"+p.token {
				t.Errorf("%+v", m)
			}
			r.runtime = p.runtime
			r.post("event", p.runtime+"/x", name, "")
			if m := r.receive(); m.To != name {
				t.Errorf("%+v", m)
			}
		})
		t.Run("re-open with an unknown token gets a new session", func(t *testing.T) {
			p, rt := dial(t), newRuntime()
			m := p.must(200, "re-open", rt+"/unknown", "mn:/session", "")
			token, _ := m.Body["runtimeToken"].(string)
			if token == "" || token == "unknown" {
				t.Fatalf("%+v", m)
			}
			p.runtime = rt
			p.nothing()
		})
		t.Run("close ends the session, frees its addresses and closes the socket", func(t *testing.T) {
			p, q := dial(t).open(), dial(t).open()
			name := "freed-" + p.runtime
			p.subscribe(name)
			p.must(200, "close", p.runtime, "mn:/session", "")
			err := p.waitEnded()
			if code := websocket.CloseStatus(err); code != -1 && code != websocket.StatusNormalClosure {
				t.Errorf("closed with %d", code)
			}
			q.must(404, "ping", q.runtime+"/x", name, "")
			q.must(404, "ping", q.runtime+"/x", p.runtime+"/sm", "")
			r := dial(t)
			m := r.must(200, "re-open", p.runtime+"/"+p.token, "mn:/session", "")
			if m.Body["runtimeToken"] == nil {
				t.Error("the closed session is still there")
			}
		})
		t.Run("a socket whose session was closed on another can open again", func(t *testing.T) {
			old := dial(t).open()
			p := dial(t).openAs(old.runtime)
			p.must(200, "close", p.runtime, "mn:/session", "")
			old.must(403, "subscribe", old.runtime+"/ua", sm, `{"resources":["late"]}`)
			if token := old.token; old.openAs(old.runtime).token == token {
				t.Error("the closed session is still there")
			}
			old.nothing()
		})
		t.Run("pipelining behind open", func(t *testing.T) {
			p, rt := dial(t), newRuntime()
			p.runtime = rt
			p.post("open", rt, "mn:/session", "")
			p.post("subscribe", rt+"/ua", sm, fmt.Sprintf(`{"subscribe":["p-%s"]}`, rt))
			p.post("ping", rt+"/x", "p-"+rt, "")
			got := []string{}
			for range 3 {
				m := p.receive()
				got = append(got, fmt.Sprintf("%s %d", m.Type, m.code()))
			}
			if s := strings.Join(got, ", "); s != "response 200, response 200, ping 0" {
				t.Error(s)
			}
		})
		t.Run("an answer goes to the socket that asked", func(t *testing.T) {
			p, q := dial(t).open(), dial(t).open()
			for range 3 {
				p.must(200, "subscribe", "shared-requester", sm, `{"resources":["s"]}`)
				q.must(200, "subscribe", "shared-requester", sm, `{"resources":["s"]}`)
			}
		})
		t.Run("requests are idempotent", func(t *testing.T) {
			p := dial(t).open()
			ask := func(kind, from, to, body string) msg {
				p.send(frame("7", kind, from, to, body))
				return p.receive()
			}
			for _, r := range [][4]string{
				{"open", p.runtime, "mn:/session", ""},
				{"subscribe", p.runtime + "/ua", sm, `{"resources":["i"]}`},
				{"create", p.runtime + "/r", alloc, `{"value":{"number":3}}`},
				{"create", p.runtime + "/r", registry, `{"value":{"url":"comm://a.example/idem"}}`},
				{"delete", p.runtime + "/r", registry, `{"value":{"url":"comm://a.example/idem"}}`},
				{"unsubscribe", p.runtime + "/ua", sm, `{"resources":["i"]}`},
			} {
				first, again := ask(r[0], r[1], r[2], r[3]), ask(r[0], r[1], r[2], r[3])
				if first.code() != 200 || fmt.Sprint(first) != fmt.Sprint(again) {
					t.Errorf("%s to %s: %v, then %v", r[0], r[2], first, again)
				}
			}
		})
		t.Run("refused", func(t *testing.T) {
			p := dial(t)
			p.must(403, "ping", "x", "y", "")
			p.must(400, "open", "no-runtime", "mn:/session", "")
			p.must(400, "dance", "x", "mn:/session", "")
			p.open()
			p.must(409, "open", newRuntime(), "mn:/session", "")
			p.must(403, "close", newRuntime(), "mn:/session", "")
			p.must(404, "read", p.runtime+"/x", "domain://msg-node."+domain+"/nothing", "")
			p.must(400, "create", p.runtime+"/x", sm, "")
			p.must(400, "update", p.runtime+"/x", alloc, "")
			p.must(400, "dance", p.runtime+"/x", registry, "")
		})
		t.Run("an open that names a runtime with a closing slash", func(t *testing.T) {
			p, rt := dial(t), newRuntime()
			p.runtime = rt
			p.must(200, "open", rt+"/", "mn:/session", "")
			p.nothing()
		})
	})
}

func TestMissingFields(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		p := dial(t).open()
		for _, tc := range []struct{ frame, id, field string }{
			{`{"type":"a","from":"b","to":"c"}`, "null", "id"},
			{`{"id":1,"from":"b","to":"c"}`, "1", "type"},
			{`{"id":"2","type":"a","to":"c"}`, `"2"`, "from"},
			{`{"id":3,"type":"a","from":"b"}`, "3", "to"},
		} {
			p.send(tc.frame)
			m := p.receive()
			if m.Type != "response" || m.code() != 400 || string(m.ID) != tc.id || !strings.Contains(m.text(), tc.field) || m.Body["desc"] != m.text() {
				t.Errorf("%s: %+v", tc.frame, m)
			}
		}
		p.send(`{"id":4,"type":"response","from":"b"}`) // never answered
		p.nothing()
	})
}

func TestGRPCGarbage(t *testing.T) {
	b := start(t)
	p := b.dial(t, "grpc").open()
	conn, err := b.memory.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := pb.NewMessageNodeClient(conn).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	batch := []*pb.Message{
		{Id: "1", Type: "open", From: newRuntime(), To: "mn:/session"},
		{},
		{Id: "{", Type: "a", From: "b", To: "c"},
		{Id: "3", Type: "a", From: "b", To: "c", Body: []byte("no JSON")},
		{Id: "4", Type: strings.Repeat("a", 100), From: "b", To: "c"},
		{Id: "5", Type: "a", From: strings.Repeat("b", 3000), To: "c"},
		{Id: "6", Type: "a", From: "b", To: "nobody"},
	}
	if err := stream.Send(&pb.MessageNodeConnectRequest{Messages: batch}); err != nil {
		t.Fatal(err)
	}
	var codes []fault.Code
	for len(codes) < len(batch) {
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range resp.Messages {
			code, _ := message.Result(m)
			codes = append(codes, code)
		}
	}
	if got := fmt.Sprint(codes); got != "[200 400 400 400 400 400 404]" {
		t.Error(got)
	}
	p.nothing()
}

func TestFramesThatAreNoObject(t *testing.T) {
	b := start(t)
	p := b.dial(t, "websocket").open()
	for _, bad := range []string{"", "[]", "7", "{", "null", `"x"`, `{"id":1}x`, "\xff"} {
		p.send(bad)
		if m := p.receive(); m.code() != 400 || string(m.ID) != "null" || m.Type != "response" || m.From != "mn:/session" {
			t.Errorf("%q: %+v", bad, m)
		}
	}
	p.nothing()
}
