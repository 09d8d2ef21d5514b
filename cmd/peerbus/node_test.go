package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
)

// foreign is a bare session with a Message Node over its WebSocket: what a
// program of someone else's would write.
type foreign struct {
	t      *testing.T
	ws     *websocket.Conn
	url    string
	number int
}

type wireMessage struct {
	ID   any            `json:"id"`
	Type string         `json:"type"`
	From string         `json:"from"`
	To   string         `json:"to"`
	Body map[string]any `json:"body"`
}

func openForeign(t *testing.T, node *local.Node, runtimeURL string) *foreign {
	t.Helper()
	ws, resp, err := websocket.Dial(testContext(t), "ws://"+node.HTTPAddr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	f := &foreign{t: t, ws: ws, url: runtimeURL}
	f.ask("open", runtimeURL, "mn:/session", nil)
	return f
}

func (f *foreign) write(text string) {
	f.t.Helper()
	if err := f.ws.Write(testContext(f.t), websocket.MessageText, []byte(text)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *foreign) read() wireMessage {
	f.t.Helper()
	_, data, err := f.ws.Read(testContext(f.t))
	var m wireMessage
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// ask sends a request, and reads until its response, which must be 200.
func (f *foreign) ask(kind, from, to string, body map[string]any) wireMessage {
	f.t.Helper()
	f.number++
	text, _ := json.Marshal(wireMessage{ID: f.number, Type: kind, From: from, To: to, Body: body})
	f.write(string(text))
	for {
		m := f.read()
		if m.Type == "response" && m.ID == float64(f.number) {
			if m.Body["code"] != 200.0 {
				f.t.Fatalf("%s to %s: %v", kind, to, m.Body)
			}
			return m
		}
	}
}

// register makes a hyperty known whose runtime has a P2P handler.
func (f *foreign) register(hyperty, handler string) {
	f.t.Helper()
	f.ask("subscribe", f.url+"/ua", "domain://msg-node.example.org/sm",
		map[string]any{"resources": []string{hyperty, handler}, "source": hyperty})
	f.ask("create", f.url+"/registry", "domain://registry.example.org", map[string]any{"value": map[string]any{
		"url": hyperty, "runtime": f.url, "p2pHandler": handler, "status": "live", "expires": 3600,
		"user": "user://example.org/f", "descriptor": "", "dataSchemes": []string{}, "resources": []string{},
	}})
}

// While a connection is created or in progress, every message goes through the
// Message Node, and none waits for the set-up: here it never gets anywhere, as
// the other side's handler says nothing.
func TestASetUpHoldsNoMessageBack(t *testing.T) {
	t.Parallel()
	system := newSystem(t)
	node := startNode(t, system)
	alice := startRuntime(t, system, "alice", local.Separate, []*local.Node{node})
	ready(t, alice)
	from := register(t, alice, "alice")
	f := openForeign(t, node, "hyperty-runtime://example.org/silent")
	const hyperty = "hyperty://example.org/silent-1"
	f.register(hyperty, f.url+"/p2phandler/h")

	const n = 50
	invited := 0
	for i := range n {
		post(t, alice, pingOf(from, hyperty, i))
		for {
			m := f.read()
			if m.To == f.url+"/p2phandler/h" {
				invited++
				continue
			}
			if m.To == hyperty {
				if m.Body["value"] != float64(i) {
					t.Fatalf("message %d is %v", i, m)
				}
				break
			}
		}
		if i == 0 { // the look-up that starts the set-up runs beside the message
			waitConnection(t, alice, f.url, underWay)
		}
		if all := connections(t, alice); len(all) != 1 || !underWay(all[0]) {
			t.Fatalf("at message %d the table is %v", i, all)
		}
	}
	if got := counter(t, alice.MetricsAddrs["nodestub"], "peerbus_nodestub_messages_total", `direction="out"`, `kind="message"`, `outcome="sent"`); got != n {
		t.Errorf("%d messages went through the node, want %d", got, n)
	}
	if got := counter(t, alice.MetricsAddrs["p2pstub"], "peerbus_p2pstub_messages_total", `direction="out"`); got != 0 {
		t.Errorf("%d messages went over a data channel that is not there", got)
	}
	if invited == 0 {
		t.Error("the handler was not invited")
	}
	// The set-up's deadline makes it fail with its reason; messages go on.
	failed := waitConnection(t, alice, f.url, func(c *pb.Connection) bool {
		return c.State == pb.ConnectionState_CONNECTION_STATE_FAILED
	})
	if failed.Reason == "" {
		t.Error("no reason is given")
	}
	post(t, alice, pingOf(from, hyperty, n))
	for f.read().To != hyperty {
	}
}

func underWay(c *pb.Connection) bool {
	return c.State == pb.ConnectionState_CONNECTION_STATE_CREATED || c.State == pb.ConnectionState_CONNECTION_STATE_IN_PROGRESS
}

// Bad input from a foreign peer gets its error, and the session goes on.
func TestBadInputAtTheNode(t *testing.T) {
	system := newSystem(t)
	node := startNode(t, system)
	f := openForeign(t, node, "hyperty-runtime://example.org/f")
	other := openForeign(t, node, "hyperty-runtime://example.org/g")
	for _, tc := range []struct {
		frame string
		code  float64
		says  string
	}{
		{`{`, 400, "JSON"},
		{`[]`, 400, "JSON"},
		{`{"id":9,"from":"a","to":"b"}`, 400, "type"},
		{`{"id":9,"type":"t","to":"b"}`, 400, "from"},
		{`{"id":9,"type":"t","from":"a"}`, 400, "to"},
		{`{"type":"t","from":"a","to":"b"}`, 400, "id"},
		{`{"id":9,"type":"ping","from":"` + f.url + `/x","to":"hyperty://example.org/nobody"}`, 404, "nobody"},
		{`{"id":9,"type":"ping","from":"` + other.url + `/x","to":"` + f.url + `/sm"}`, 403, "another runtime"},
		{`{"id":9,"type":"subscribe","from":"` + f.url + `/ua","to":"domain://msg-node.example.org/sm","body":{}}`, 400, "resources"},
	} {
		f.write(tc.frame)
		m := f.read()
		if m.Body["code"] != tc.code || !strings.Contains(fmt.Sprint(m.Body["description"]), tc.says) {
			t.Errorf("%s: %v, want %v about %q", tc.frame, m, tc.code, tc.says)
		}
	}
	f.ask("subscribe", f.url+"/ua", "domain://msg-node.example.org/sm", map[string]any{"resources": []string{"x"}})
}

// Bad input from an application gets its error; the rest goes on.
func TestBadInputAtTheBus(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	bus := pb.NewMessageBusClient(p.alice.Bus)
	for _, tc := range []struct {
		m    *pb.Message
		says string
	}{
		{nil, "message is missing"},
		{&pb.Message{To: p.bobURL}, "type is missing"},
		{&pb.Message{Type: "ping"}, "to is missing"},
		{&pb.Message{Type: "ping", To: p.bobURL, Body: []byte("[]")}, "body"},
		{&pb.Message{Type: "ping", To: p.bobURL, Id: "{}"}, "id"},
		{&pb.Message{Type: "ping", To: p.bobURL, From: p.bobURL}, "register"},
		{&pb.Message{Type: "ping", To: strings.Repeat("x", 3000)}, "to is longer"},
		{&pb.Message{Type: "ping", To: p.bobURL, Body: []byte(`{"v":"` + strings.Repeat("x", 4<<20) + `"}`)}, "larger than"},
		{&pb.Message{Type: "ping", To: p.alice.URL + "/nobody"}, "nobody"},
	} {
		_, err := bus.Post(testContext(t), &pb.PostRequest{Message: tc.m, Wait: pb.Wait_WAIT_ACCEPTED})
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%.80v: %v, want %q", tc.m, err, tc.says)
		}
	}
	// An address that no one has is a response with 404, whoever says it.
	resp := request(t, p.alice, pingOf(p.aliceURL, "hyperty://example.org/nobody", 1))
	if !strings.Contains(string(resp.Body), "404") {
		t.Errorf("%s", resp.Body)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	stream, err := bus.Attach(ctx)
	if err == nil {
		err = stream.Send(&pb.AttachRequest{Posts: []*pb.Post{{}}})
	}
	if err == nil {
		_, err = stream.Recv()
	}
	if err == nil || !strings.Contains(err.Error(), "hello") {
		t.Errorf("a stream without hello: %v", err)
	}
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 7))
	if m := in.next(); string(m.Body) != `{"value":7}` {
		t.Errorf("%v", m)
	}
}
