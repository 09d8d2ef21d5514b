package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Over TLS browsers speak HTTP/2: calls, streams that are resumed and taken over, and
// the end of the gateway are the same.
func TestOverHTTP2(t *testing.T) {
	d := newDoor(t, impatient())
	web := httptest.NewUnstartedServer(d.Handler())
	web.EnableHTTP2 = true
	web.StartTLS()
	defer web.Close()
	d.url, d.client = web.URL, web.Client()
	if resp := d.ask(http.MethodPost, "/v1/messages", `{"id":1,"type":"ping","to":"x"}`); resp.ProtoMajor != 2 || d.read(resp) == "" || resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Proto, resp.Status)
	}
	s := d.messages("", bob)
	d.bus.send(bob, 1, 2)
	s.want(1, 2)
	newer := d.messages(s.last, bob)
	if e := s.next(); e.kind != "end" {
		t.Errorf("the older stream: %+v", e)
	}
	d.bus.send(bob, 3, 4)
	newer.want(3, 4)
	d.stop()
	if e := newer.next(); e.kind != "end" {
		t.Errorf("after the end: %+v", e)
	}
	if e := d.refusal(d.ask(http.MethodGet, "/v1/messages?address=x", "")); e.Code != 503 {
		t.Errorf("%+v", e)
	}
}

// A program of old times, which names no host, is served.
func TestHTTP10(t *testing.T) {
	d := newDoor(t, impatient())
	text := d.raw("GET /v1/runtime HTTP/1.0\r\n\r\n")
	if !strings.Contains(text, "200 OK") || !strings.Contains(text, runtimeURL) {
		t.Errorf("%s", text)
	}
	if text = d.raw("GET /ws HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); !strings.Contains(text, "426 ") || !strings.Contains(text, `"field":"Upgrade"`) {
		t.Errorf("%s", text)
	}
}

// The connection of a stream that has ended, and that of a body that was read under a
// deadline, serve what comes next.
func TestAConnectionIsUsedAgain(t *testing.T) {
	d := newDoor(t, impatient())
	conn := d.dial()
	defer func() { _ = conn.Close() }()
	answers := bufio.NewReader(conn)
	ask := func(text string) (*http.Response, string) {
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("%q: %v", body, err)
		}
		return resp, string(body)
	}
	const post = `{"id":1,"type":"ping","to":"x"}`
	for range 2 {
		resp, body := ask(fmt.Sprintf("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(post), post))
		if resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		ctx, cancel := context.WithCancel(d.ctx)
		go func() {
			defer cancel()
			d.registry.changes <- &pb.WatchConnectionsResponse{} // the stream has begun
			close(d.registry.changes)
		}()
		resp, _ = ask("GET /v1/connections:watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
		<-ctx.Done()
		if resp.StatusCode != 200 {
			t.Errorf("the stream: %d", resp.StatusCode)
		}
		d.registry.changes = make(chan *pb.WatchConnectionsResponse)
	}
}

// narrow serves at connections that hold little of what is not read.
func (d *door) narrow() {
	web := httptest.NewUnstartedServer(d.Handler())
	web.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		_ = conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
		return ctx
	}
	web.Start()
	d.t.Cleanup(web.Close)
	d.url = web.URL
}

func (d *door) dial() net.Conn {
	d.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		d.t.Fatal(err)
	}
	deadline, _ := d.ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	return conn
}

// raw sends bytes, and reads to the end.
func (d *door) raw(request string) string {
	d.t.Helper()
	conn := d.dial()
	defer func() { _ = conn.Close() }()
	_, err := io.WriteString(conn, request)
	if err != nil {
		d.t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}
