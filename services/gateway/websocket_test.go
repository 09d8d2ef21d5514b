package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// plainConn is a connection that is not used.
type plainConn struct{ grpc.ClientConnInterface }

// visitor is a client of /ws.
type visitor struct {
	d    *door
	conn *websocket.Conn
}

func (d *door) visit() *visitor {
	d.t.Helper()
	conn, resp, err := websocket.Dial(d.ctx, d.url+"/ws", &websocket.DialOptions{HTTPClient: d.client})
	if err != nil {
		d.t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	conn.SetReadLimit(-1)
	d.t.Cleanup(func() { _ = conn.CloseNow() })
	v := &visitor{d: d, conn: conn}
	if a := v.next(); a.Op != opWelcome || a.RuntimeURL != runtimeURL {
		d.t.Fatalf("it begins with %+v", a)
	}
	return v
}

func (v *visitor) send(format string, args ...any) {
	v.d.t.Helper()
	if err := v.conn.Write(v.d.ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		v.d.t.Fatal(err)
	}
}

func (v *visitor) next() (a answer) {
	v.d.t.Helper()
	_, frame, err := v.conn.Read(v.d.ctx)
	if err == nil {
		err = json.Unmarshal(frame, &a)
	}
	if err != nil {
		v.d.t.Fatalf("%q: %v", frame, err)
	}
	return a
}

// call sends a frame and gives its outcome.
func (v *visitor) call(format string, args ...any) answer {
	v.d.t.Helper()
	v.send(format, args...)
	return v.next()
}

func TestASocketListens(t *testing.T) {
	d := newDoor(t, impatient())
	v := d.visit()
	if a := v.call(`{"op":"listen","address":%q,"ref":1}`, bob); a.Op != opOutcome || a.Code != 200 || string(a.Ref) != "1" {
		t.Fatalf("%+v", a)
	}
	d.bus.send(bob, 1, 100)
	for n := 1; n <= 100; n++ {
		if a := v.next(); a.Op != opMessage || a.Address != bob || numberIn(t, string(a.Message)) != n {
			t.Fatalf("%d: %+v", n, a)
		}
	}
	d.bus.untilDealt(100)
	if a := v.call(`{"op":"unlisten","address":%q,"ref":2}`, bob); a.Code != 200 || string(a.Ref) != "2" {
		t.Errorf("%+v", a)
	}
	if a := v.call(`{"op":"unlisten","address":%q,"ref":3}`, bob); a.Code != 404 || a.Field != "address" {
		t.Errorf("%+v", a)
	}
}

// With ack the next message comes after the word of the client; what it has not said so
// of comes to the next who listens.
func TestASocketAcknowledges(t *testing.T) {
	d := newDoor(t, impatient())
	v := d.visit()
	v.call(`{"op":"listen","address":%q,"ack":true,"ref":1}`, bob)
	d.bus.send(bob, 1, 3)
	first := v.next()
	if a := v.call(`{"op":"ack","delivery":%d}`, first.Delivery); numberIn(t, string(a.Message)) != 2 {
		t.Errorf("after the first: %+v", a)
	}
	d.bus.untilDealt(1)
	_ = v.conn.CloseNow()
	d.bus.untilStreams(0)
	v = d.visit()
	v.send(`{"op":"listen","address":%q,"ack":true,"ref":1}`, bob)
	for n := 2; n <= 3; {
		a := v.next()
		if a.Op != opMessage {
			continue
		}
		if numberIn(t, string(a.Message)) != n {
			t.Fatalf("%+v is not %d", a, n)
		}
		v.send(`{"op":"ack","delivery":%d}`, a.Delivery)
		n++
	}
	d.bus.untilDealt(3)
}

func TestASocketPosts(t *testing.T) {
	d := newDoor(t, impatient())
	d.bus.answer = func(m *pb.Message) (*pb.Message, error) {
		switch m.To {
		case "nobody":
			return nil, fault.New(fault.NotFound, "no one has nobody").In("to")
		case bob:
			return message.Answer(m, 200, map[string]int{"value": 7}), nil
		}
		return nil, nil
	}
	v := d.visit()
	for n := range 50 {
		v.send(`{"op":"post","message":{"id":%d,"type":"ping","from":%q,"to":"x"},"ref":%d}`, n, alice, n)
	}
	for range 50 {
		if a := v.next(); a.Code != 200 {
			t.Fatalf("%+v", a)
		}
	}
	for n, p := range d.bus.posts {
		if p.Message.Id != fmt.Sprint(n) || p.Message.From != alice {
			t.Fatalf("post %d is %v", n, p.Message)
		}
	}
	if a := v.call(`{"op":"post","message":{"type":"ping","to":"nobody"},"ref":1}`); a.Code != 404 || a.Field != "to" {
		t.Errorf("%+v", a)
	}
	for _, key := range []string{"", "k"} {
		if a := v.call(`{"op":"post","message":{"id":"q","type":"read","to":%q},"wait":"response","key":%q,"ref":1}`, bob, key); a.Code != 200 || !strings.Contains(string(a.Response), `"value":7`) {
			t.Errorf("%+v", a)
		}
	}
	if got := d.bus.lastPosted(); got.IdempotencyKey != "k" || got.Wait != pb.Wait_WAIT_RESPONSE {
		t.Errorf("posted %v", got)
	}
}

func TestASocketOutlivesWhatItDoesNotUnderstand(t *testing.T) {
	d := newDoor(t, Limits{Addresses: 1})
	v := d.visit()
	for _, tc := range []struct {
		frame, op, field string
		code             int
	}{
		{`nonsense`, opError, "frame", 400},
		{`{"op":"shout"}`, opError, "op", 400},
		{`{"op":"shout","ref":1}`, opOutcome, "op", 400},
		{`{"op":"post","message":{"to":"x","type":"ping"},"wait":"long","ref":1}`, opOutcome, "wait", 400},
		{`{"op":"listen","address":"refused","ref":1}`, opOutcome, "", 403},
		{`{"op":"listen","address":"one","ref":1}`, opOutcome, "", 200},
		{`{"op":"listen","address":"two","ref":1}`, opOutcome, "address", 429},
	} {
		if a := v.call("%s", tc.frame); a.Op != tc.op || a.Code != tc.code || a.Field != tc.field {
			t.Errorf("%s: %+v", tc.frame, a)
		}
	}
	if err := v.conn.Write(d.ctx, websocket.MessageBinary, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if a := v.next(); a.Op != opError || a.Field != "frame" {
		t.Errorf("a binary frame: %+v", a)
	}
}

func TestSocketsAreBounded(t *testing.T) {
	d := newDoor(t, Limits{Sockets: 1, Body: 1000})
	v := d.visit()
	_, resp, err := websocket.Dial(d.ctx, d.url+"/ws", &websocket.DialOptions{HTTPClient: d.client})
	if err == nil || resp == nil || resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a second socket: %v, %v", resp, err)
	}
	if resp != nil {
		_ = resp.Body.Close()
	}
	v.send(`{"op":"post","message":{"to":"%s"}}`, strings.Repeat("x", 1000))
	if _, _, err := v.conn.Read(d.ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a large frame: %v", err)
	}
	d.bus.untilStreams(0)
}

func TestASocketIsToldThatTheGatewayStops(t *testing.T) {
	d := newDoor(t, Limits{Goodbye: time.Hour})
	v := d.visit()
	closed := make(chan websocket.StatusCode, 1)
	go func() {
		_, _, err := v.conn.Read(d.ctx)
		closed <- websocket.CloseStatus(err)
	}()
	d.stop()
	if code := <-closed; code != websocket.StatusGoingAway {
		t.Errorf("it was closed with %d", code)
	}
}

func TestASilentSocketHoldsNothingUp(t *testing.T) {
	d := newDoor(t, Limits{Goodbye: time.Millisecond, Write: time.Hour})
	v := d.visit()
	v.call(`{"op":"listen","address":%q,"ref":1}`, bob) // and reads nothing more
	for range 20 {
		d.bus.deliver(big(bob, `{"filling":"`+strings.Repeat("x", 1<<20)+`"}`))
	}
	d.bus.untilDealt(3)
	d.stop()
}

// A client that does not answer probes is dead.
func TestADeadSocketEnds(t *testing.T) {
	d := newDoor(t, Limits{Heartbeat: time.Millisecond, Write: 200 * time.Millisecond}) // the handshake is to be in time
	conn, resp, err := websocket.Dial(d.ctx, d.url+"/ws", &websocket.DialOptions{HTTPClient: d.client})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	defer func() { _ = conn.CloseNow() }()
	for _, sockets, _ := d.sizes(); sockets > 0 && d.ctx.Err() == nil; _, sockets, _ = d.sizes() {
	}
	if d.ctx.Err() != nil {
		t.Error("it lives on")
	}
}

func TestHandshakes(t *testing.T) {
	d := newDoor(t, impatient())
	for _, tc := range []struct {
		headers []string
		code    int
		field   string
	}{
		{nil, 426, "Upgrade"},
		{[]string{"Connection: Upgrade"}, 426, "Upgrade"},
		{[]string{"Connection: keep-alive, Upgrade", "Upgrade: websocket"}, 400, "Sec-WebSocket-Version"},
		{[]string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 8"}, 400, "Sec-WebSocket-Version"},
		{[]string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"}, 400, "Sec-WebSocket-Key"},
	} {
		if e := d.refusal(d.ask(http.MethodGet, "/ws", "", tc.headers...)); e.Code != tc.code || e.Field != tc.field {
			t.Errorf("%v: %+v", tc.headers, e)
		}
	}
	if e := d.refusal(d.ask(http.MethodGet, "/ws?x=1", "")); e.Field != "x" {
		t.Errorf("%+v", e)
	}
}
