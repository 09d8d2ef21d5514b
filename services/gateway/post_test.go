package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestPosts(t *testing.T) {
	d := newDoor(t, impatient())
	const text = `{"id":"a-1","type":"ping","from":"` + alice + `","to":"` + bob + `","body":{"value": 1}}`
	m := func() *pb.Message {
		return &pb.Message{Id: `"a-1"`, Type: "ping", From: alice, To: bob, Body: []byte(`{"value": 1}`)}
	}
	content := &pb.Message{Id: `"7"`, Type: "create", From: alice, To: bob, P2P: true,
		Resource: &pb.Resource{Content: []byte("\x89PNG"), MimeType: "image/png"}}
	traced := m()
	traced.Trace = &pb.Trace{Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	for _, tc := range []struct {
		query, body, header string
		wait                pb.Wait
		timeout             time.Duration
		key                 string
		want                *pb.Message
		answer              string
	}{
		{"", text, "", pb.Wait_WAIT_ACCEPTED, 10 * time.Second, "", m(), `{"accepted":true,"id":"a-1"}`},
		{"?wait=delivered&timeout=500ms", text, "Content-Type: application/json; charset=utf-8", pb.Wait_WAIT_DELIVERED, 500 * time.Millisecond, "", m(), `{"accepted":true,"delivered":true,"id":"a-1"}`},
		{"?idempotency_key=k", text, "Content-Type: application/x-www-form-urlencoded", pb.Wait_WAIT_ACCEPTED, 10 * time.Second, "k", m(), ""},
		{"", text, "Idempotency-Key: h", pb.Wait_WAIT_ACCEPTED, 10 * time.Second, "h", m(), ""},
		{"", text, "Traceparent: " + traced.Trace.Traceparent, pb.Wait_WAIT_ACCEPTED, 10 * time.Second, "", traced, ""},
		{"?id=7&p2p=true&from=" + alice + "&to=" + bob, "\x89PNG", "Content-Type: image/png", pb.Wait_WAIT_ACCEPTED, 10 * time.Second, "", content, `{"accepted":true,"id":"7"}`},
	} {
		headers := []string{}
		if tc.header != "" {
			headers = append(headers, tc.header)
		}
		resp := d.ask(http.MethodPost, "/v1/messages"+tc.query, tc.body, headers...)
		answer := strings.TrimSpace(d.read(resp))
		got := d.bus.lastPosted()
		if resp.StatusCode != 200 || tc.answer != "" && answer != tc.answer {
			t.Errorf("%s %s: %d %s", tc.query, tc.header, resp.StatusCode, answer)
		}
		if !proto.Equal(got.Message, tc.want) || got.Wait != tc.wait || got.Timeout.AsDuration() != tc.timeout || got.IdempotencyKey != tc.key {
			t.Errorf("%s %s: posted %v", tc.query, tc.header, got)
		}
	}
}

// What is posted again with its key is the same message; without one it is another.
func TestARepeatedPostIsTheSameMessage(t *testing.T) {
	d := newDoor(t, impatient())
	id := func(query string) string {
		_ = d.read(d.ask(http.MethodPost, "/v1/messages"+query, `{"type":"ping","to":"x"}`))
		return d.bus.lastPosted().Message.Id
	}
	if a, b := id("?idempotency_key=k"), id("?idempotency_key=k"); a != b || a == id("?idempotency_key=l") {
		t.Errorf("ids of one key: %s, %s", a, b)
	}
	if a, b := id(""), id(""); a == b {
		t.Error("two messages have one id")
	}
}

func TestResponses(t *testing.T) {
	d := newDoor(t, impatient())
	for _, tc := range []struct {
		answer func(*pb.Message) (*pb.Message, error)
		status int
		want   string
	}{
		{func(m *pb.Message) (*pb.Message, error) {
			return message.Answer(m, 200, map[string]int{"value": 7}), nil
		}, 200, `"value":7`},
		{func(m *pb.Message) (*pb.Message, error) { return message.Refuse(m, fault.New(404, "nobody")), nil }, 404, `"type":"response"`},
		{func(*pb.Message) (*pb.Message, error) { return nil, fault.New(408, "time ran out").In("timeout") }, 408, `"field":"timeout"`},
		{func(*pb.Message) (*pb.Message, error) { return nil, fault.New(429, "full") }, 429, `"code":429`},
	} {
		d.bus.mu.Lock()
		d.bus.answer = tc.answer
		d.bus.mu.Unlock()
		resp := d.ask(http.MethodPost, "/v1/messages?wait=response", `{"id":1,"type":"read","to":"x"}`)
		text := d.read(resp)
		if resp.StatusCode != tc.status || !strings.Contains(text, tc.want) || (resp.Header.Get("Retry-After") != "") != (tc.status == 429) {
			t.Errorf("%d %s; want %d, %s", resp.StatusCode, text, tc.status, tc.want)
		}
	}
}

func TestPostsThatWaitAreBounded(t *testing.T) {
	d := newDoor(t, Limits{Waiting: 1})
	release, asked := make(chan struct{}), make(chan struct{}, 1)
	d.bus.mu.Lock()
	d.bus.answer = func(*pb.Message) (*pb.Message, error) {
		asked <- struct{}{}
		<-release
		return nil, nil
	}
	d.bus.mu.Unlock()
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = d.read(d.ask(http.MethodPost, "/v1/messages", `{"type":"ping","to":"x"}`))
	}()
	<-asked
	if e := d.refusal(d.ask(http.MethodPost, "/v1/messages", `{"type":"ping","to":"x"}`)); e.Code != 429 {
		t.Errorf("%+v", e)
	}
	close(release)
	<-over
}

// One who does not read the response that it has asked for keeps no place of those who
// wait, and one who reads slowly gets all of it.
func TestAResponseThatIsNotRead(t *testing.T) {
	d := newDoor(t, Limits{Waiting: 1, Write: 100 * time.Millisecond})
	d.narrow()
	d.bus.mu.Lock()
	d.bus.answer = func(m *pb.Message) (*pb.Message, error) {
		return message.Answer(m, fault.OK, map[string]any{"value": strings.Repeat("x", 3<<20)}), nil
	}
	d.bus.mu.Unlock()
	const post = `{"type":"ping","to":"x"}`
	silent := d.dial()
	defer func() { _ = silent.Close() }()
	_ = silent.(*net.TCPConn).SetReadBuffer(4 << 10)
	if _, err := fmt.Fprintf(silent, "POST /v1/messages?wait=response HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(post), post); err != nil {
		t.Fatal(err)
	}
	d.bus.until(func() bool { return len(d.bus.posted) == 1 })
	for {
		resp := d.ask(http.MethodPost, "/v1/messages?wait=response", post)
		text := d.read(resp)
		if resp.StatusCode == http.StatusTooManyRequests {
			continue
		}
		if resp.StatusCode != http.StatusOK || len(text) < 3<<20 {
			t.Errorf("%d, %d bytes", resp.StatusCode, len(text))
		}
		return
	}
}

// What all bodies have in memory is bounded; what is small gets in all the same, and all
// is free again at the end.
func TestBodiesAreBounded(t *testing.T) {
	d := newDoor(t, Limits{Bodies: 1 << 20})
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	large := `{"type":"ping","to":"x","body":{"value":"` + strings.Repeat("x", 900<<10) + `"}}`
	r, w := io.Pipe()
	over := make(chan struct{})
	go func() {
		defer close(over)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/v1/messages", r)
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := d.client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	if _, err := io.WriteString(w, large); err != nil {
		t.Fatal(err)
	}
	for d.bodies.now.Load() < 800<<10 { // until it has come
		runtime.Gosched()
	}
	if e := d.refusal(d.ask(http.MethodPost, "/v1/messages", large)); e.Code != 429 || e.Field != "body" {
		t.Errorf("%+v", e)
	}
	const small = `{"type":"ping","to":"x"}`
	if resp := d.ask(http.MethodPost, "/v1/messages", small); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, d.read(resp))
	} else {
		_ = d.read(resp)
	}
	cancel()
	_ = w.Close()
	<-over
	for d.bodies.now.Load() != 0 {
		runtime.Gosched()
	}
	if resp := d.ask(http.MethodPost, "/v1/messages", large); resp.StatusCode != 200 {
		t.Errorf("at the end: %d %s", resp.StatusCode, d.read(resp))
	} else {
		_ = d.read(resp)
	}
}

// A body that does not come is not waited for without end.
func TestABodyThatDoesNotCome(t *testing.T) {
	d := newDoor(t, Limits{Upload: time.Millisecond})
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	body := stuck{ctx.Done()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/v1/messages", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if e := d.refusal(resp); e.Code != 408 || e.Field != "body" {
		t.Errorf("%+v", e)
	}
}

// stuck has nothing to read until its end.
type stuck struct{ over <-chan struct{} }

func (s stuck) Read([]byte) (int, error) {
	<-s.over
	return 0, context.Canceled
}

// FuzzReadMessage: what is read is refused, or a message of its own fields alone.
func FuzzReadMessage(f *testing.F) {
	for _, s := range []string{`{"type":"ping","to":"x"}`, `{"id":1,"body":{"value":{"mimetype":"image/png","content":"aGk="}}}`, `{"flow":{}}`, `[]`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := readMessage(text)
		if err != nil {
			if code := fault.CodeOf(err); code != fault.BadRequest {
				t.Errorf("%q: %d %v", text, code, err)
			}
			return
		}
		complete(m, "")
		if m.Id == "" || m.Flow != nil || len(m.Origin) > 0 {
			t.Errorf("%q: %v", text, m)
		}
		if _, err := message.JSON(m); err != nil {
			t.Errorf("%q has no JSON: %v", text, err)
		}
	})
}
