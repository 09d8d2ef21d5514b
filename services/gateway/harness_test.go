package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	runtimeURL = "hyperty-runtime://a.example/r1"
	alice      = "hyperty://a.example/alice"
	bob        = "hyperty://b.example/bob"
)

// door is a gateway on loopback, before a bus and a registry of the test.
type door struct {
	*Gateway
	t        *testing.T
	url      string
	bus      *fakeBus
	registry *fakeRegistry
	metrics  *prometheus.Registry
	server   *rpc.Server
	client   *http.Client
	ctx      context.Context
	stop     func() // ends Run, and waits for it
}

// impatient are limits under which a test that fails does so soon.
func impatient() Limits { return Limits{Call: 10 * time.Second} }

func newDoor(t *testing.T, limits Limits, origins ...string) *door {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	d := &door{t: t, bus: newFakeBus(), registry: newFakeRegistry(), metrics: prometheus.NewRegistry(), ctx: ctx}
	context.AfterFunc(ctx, d.bus.giveUp)
	mem := rpc.NewMemory()
	srv, err := rpc.NewServer(rpc.Security{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	d.server = srv
	pb.RegisterMessageBusServer(srv, d.bus)
	pb.RegisterRegistryServer(srv, d.registry)
	conn, err := mem.Dial()
	if err != nil {
		t.Fatal(err)
	}
	d.Gateway, err = New(Config{
		Bus: conn, Registry: conn, Origins: origins, Limits: limits, Metrics: d.metrics, Log: quiet(),
		Monitoring: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.start(srv, mem, conn, cancel)
	return d
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start runs it all until the test is over.
func (d *door) start(srv *rpc.Server, mem *rpc.Memory, conn *grpc.ClientConn, cancel func()) {
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(mem)
	}()
	life, end := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := d.Run(life); err != nil {
			d.t.Errorf("Run gave %v", err)
		}
	}()
	for { // until Run has begun
		if _, end, err := d.begin(d.ctx); err == nil {
			end()
			break
		}
	}
	web := httptest.NewServer(d.Handler())
	d.url, d.client = web.URL, &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	d.stop = func() {
		end()
		select {
		case <-over:
		case <-d.ctx.Done():
			d.t.Error("Run does not end")
		}
	}
	d.t.Cleanup(func() {
		d.stop()
		d.client.CloseIdleConnections()
		web.CloseClientConnections()
		web.Close()
		srv.Stop()
		_ = conn.Close()
		<-served
		cancel()
	})
}

// ask sends a request. headers are "Name: value".
func (d *door) ask(method, path, body string, headers ...string) *http.Response {
	d.t.Helper()
	return d.askCtx(d.ctx, method, path, body, headers...)
}

func (d *door) askCtx(ctx context.Context, method, path, body string, headers ...string) *http.Response {
	d.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if req.Header.Set(name, value); name == "Host" {
			req.Host = value
		}
	}
	resp, err := d.client.Do(req)
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp
}

// read gives a whole answer.
func (d *door) read(resp *http.Response) string {
	d.t.Helper()
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// refusal reads an answer that must be one.
func (d *door) refusal(resp *http.Response) errorBody {
	d.t.Helper()
	text := d.read(resp)
	var e errorBody
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Code != resp.StatusCode || e.Description == "" {
		d.t.Errorf("%s %s: %d %q is no error in JSON", resp.Request.Method, resp.Request.URL, resp.StatusCode, text)
	}
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
		d.t.Errorf("%s %s: an error of type %q", resp.Request.Method, resp.Request.URL, kind)
	}
	return e
}

// sse is one Server-Sent Event, or a block without data.
type sse struct{ id, kind, data, comment string }

// stream is a stream of events that a test reads.
type stream struct {
	d     *door
	resp  *http.Response
	lines *bufio.Reader
	last  string // id of the last event
	cut   context.CancelFunc
}

// events opens a stream and waits for its first block.
func (d *door) events(path string, headers ...string) *stream {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.ctx)
	resp := d.askCtx(ctx, http.MethodGet, path, "", append([]string{"Accept: " + typeSSE}, headers...)...)
	s := &stream{d: d, resp: resp, lines: bufio.NewReader(resp.Body), cut: func() {
		cancel()
		_ = resp.Body.Close()
	}}
	d.t.Cleanup(s.cut)
	if resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %d %s", path, resp.StatusCode, d.read(resp))
	}
	return s
}

// messages is events of some addresses.
func (d *door) messages(last string, addresses ...string) *stream {
	d.t.Helper()
	var headers []string
	if last != "" {
		headers = append(headers, "Last-Event-ID: "+last)
	}
	s := d.events("/v1/messages?address="+strings.Join(addresses, "&address="), headers...)
	if first := s.block(); first.id == "" || first.data != "" {
		d.t.Fatalf("the stream begins with %+v", first)
	}
	return s
}

// block reads up to an empty line. At the end of the stream it gives nothing.
func (s *stream) block() (b sse) {
	s.d.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return sse{kind: "end"}
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if b.id != "" {
				s.last = b.id
			}
			return b
		case name == "id":
			b.id = value
		case name == "event":
			b.kind = value
		case name == "data":
			b.data = value
		case name == "":
			b.comment = "beat"
		}
	}
}

// next is the next event.
func (s *stream) next() sse {
	s.d.t.Helper()
	for {
		if b := s.block(); b.data != "" || b.kind == "end" {
			return b
		}
	}
}

// want reads the messages with bodies {"n":first} to {"n":last}.
func (s *stream) want(first, last int) {
	s.d.t.Helper()
	for n := first; n <= last; n++ {
		e := s.next()
		if got := numberIn(s.d.t, e.data); e.kind != "message" || e.id == "" || got != n {
			s.d.t.Fatalf("%+v is not message %d", e, n)
		}
	}
}

func numberIn(t *testing.T, text string) int {
	t.Helper()
	var m struct{ Body struct{ N int } }
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return m.Body.N
}
