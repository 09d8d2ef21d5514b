package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/internal/local"
)

// spanCollector is an OpenTelemetry collector that keeps what it gets.
type spanCollector struct {
	collector.UnimplementedTraceServiceServer
	addr string

	mu    sync.Mutex
	spans map[string]placedSpan // by id
	more  chan struct{}         // closed, and made anew, when there are more
}

// placedSpan is a span and the service it is from, as in `bus of alice`.
type placedSpan struct {
	*otlp.Span
	place string
}

func newCollector(t *testing.T) *spanCollector {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &spanCollector{addr: lis.Addr().String(), spans: map[string]placedSpan{}, more: make(chan struct{})}
	srv, served := grpc.NewServer(), make(chan struct{})
	collector.RegisterTraceServiceServer(srv, c)
	go func() {
		defer close(served)
		_ = srv.Serve(lis)
	}()
	t.Cleanup(func() {
		srv.Stop()
		<-served
	})
	return c
}

// Export is OTLP's.
func (c *spanCollector) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range req.ResourceSpans {
		attrs := map[string]string{}
		for _, a := range r.Resource.GetAttributes() {
			attrs[a.Key] = a.Value.GetStringValue()
		}
		at := attrs["service.instance.id"]
		place := strings.TrimPrefix(attrs["service.name"], "peerbus-") + " of " + at[strings.LastIndexByte(at, '/')+1:]
		for _, scope := range r.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans[hex.EncodeToString(s.SpanId)] = placedSpan{s, place}
			}
		}
	}
	close(c.more)
	c.more = make(chan struct{})
	return &collector.ExportTraceServiceResponse{}, nil
}

// chain waits until the whole way of a trace has come, and gives it from its first
// span to its last, which is the one that is at a place and has a name.
func (c *spanCollector) chain(t *testing.T, length int, place, name string) (way []placedSpan) {
	t.Helper()
	ctx := testContext(t)
	for {
		c.mu.Lock()
		longest := []placedSpan(nil)
		for _, s := range c.spans {
			if s.place == place && s.Name == name {
				if up := c.up(s); len(up) > len(longest) {
					longest = up
				}
			}
		}
		more := c.more
		c.mu.Unlock()
		if len(longest) >= length {
			return longest
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("the way has %d spans: %s", len(longest), names(longest))
		}
	}
}

// first waits for the first span of a trace, at a place and with a name.
func (c *spanCollector) first(t *testing.T, place, name string) placedSpan {
	t.Helper()
	ctx := testContext(t)
	for {
		c.mu.Lock()
		for _, s := range c.spans {
			if s.place == place && s.Name == name && len(s.ParentSpanId) == 0 {
				c.mu.Unlock()
				return s
			}
		}
		more := c.more
		c.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("no trace begins with %s %s", place, name)
		}
	}
}

// up gives a span and those that it is a part of, the first one first.
func (c *spanCollector) up(s placedSpan) (way []placedSpan) {
	for ok := true; ok; s, ok = c.spans[hex.EncodeToString(s.ParentSpanId)] {
		way = append(way, s)
	}
	slices.Reverse(way)
	return way
}

func names(way []placedSpan) string {
	var out []string
	for _, s := range way {
		out = append(out, s.place+" "+s.Name)
	}
	return strings.Join(out, "\n")
}

// checkWay checks that spans are one trace, and each what is wanted.
func checkWay(t *testing.T, way []placedSpan, want ...string) {
	t.Helper()
	if got := names(way); got != strings.Join(want, "\n") {
		t.Errorf("the way is\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	for _, s := range way {
		if string(s.TraceId) != string(way[0].TraceId) {
			t.Errorf("%s %s is in another trace", s.place, s.Name)
		}
		if s.EndTimeUnixNano < s.StartTimeUnixNano || s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
			t.Errorf("%v", s)
		}
	}
}

func tracedPair(t *testing.T, c *spanCollector, layout local.Layout, extra ...string) *pair {
	t.Helper()
	extra = append(extra, "--otlp-endpoint", c.addr)
	p := &pair{system: newSystem(t)}
	var err error
	if p.node, err = p.system.StartNode("example.org", "--otlp-endpoint", c.addr); err != nil {
		t.Fatal(err)
	}
	p.alice = startRuntime(t, p.system, "alice", layout, []*local.Node{p.node}, extra...)
	p.bob = startRuntime(t, p.system, "bob", layout, []*local.Node{p.node}, extra...)
	for _, r := range []*local.Runtime{p.alice, p.bob} {
		ready(t, r)
	}
	p.aliceURL, p.bobURL = register(t, p.alice, "alice"), register(t, p.bob, "bob")
	return p
}

// A request by relay and its response are one trace, with spans of both runtimes and
// of the Message Node; over REST it is the caller's.
func TestOneTraceByRelay(t *testing.T) {
	c := newCollector(t)
	p := tracedPair(t, c, local.AllInOne, "--p2p", "never")
	in := listen(t, p.bob, p.bobURL)
	go answerAll(in, p.bob)
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	body := fmt.Sprintf(`{"type":"read","from":%q,"to":%q,"body":{"value":1}}`, p.aliceURL, p.bobURL)
	req, err := http.NewRequestWithContext(testContext(t), http.MethodPost,
		"http://"+p.alice.MetricsAddrs["runtime"]+"/v1/messages?wait=response", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-"+trace+"-"+span+"-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	way := c.chain(t, 12, "bus of alice", "deliver")
	checkWay(t, way,
		"bus of alice post", "nodestub of alice send", "msgnode of example.org relay", "nodestub of bob receive", "bus of bob post",
		"bus of bob deliver", "bus of bob post", "nodestub of bob send", "msgnode of example.org relay", "nodestub of alice receive",
		"bus of alice post", "bus of alice deliver")
	if hex.EncodeToString(way[0].TraceId) != trace || hex.EncodeToString(way[0].ParentSpanId) != span {
		t.Errorf("%v is not in the caller's trace", way[0])
	}
	last := way[len(way)-1]
	if way[0].EndTimeUnixNano < last.StartTimeUnixNano {
		t.Error("the request's span has ended before its response came")
	}
}

// Over the data channel likewise, between the separate processes of two runtimes; the
// trace begins at the bus.
func TestOneTraceOverTheDataChannel(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	p := tracedPair(t, c, local.Separate)
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 0))
	in.next()
	waitConnection(t, p.alice, p.bob.URL, live)
	settle(t, p, in)
	in.close()
	stop := startReply(t, p, "--template", "{}")
	defer stop()
	request(t, p.alice, pingOf(p.aliceURL, p.bobURL, 1))
	way := c.chain(t, 10, "bus of alice", "deliver")
	checkWay(t, way,
		"bus of alice post", "p2pstub of alice send", "p2pstub of bob receive", "bus of bob post", "bus of bob deliver",
		"bus of bob post", "p2pstub of bob send", "p2pstub of alice receive", "bus of alice post", "bus of alice deliver")
	if len(way[0].ParentSpanId) != 0 {
		t.Errorf("%v has a parent", way[0])
	}
}

// What is refused is a trace too, with the reason.
func TestARefusalIsTraced(t *testing.T) {
	c := newCollector(t)
	p := tracedPair(t, c, local.AllInOne, "--p2p", "never")
	code, _, errs := command(t, nil, "request", "hyperty://example.org/nobody", "--bus-addr", p.alice.BusAddr)
	if code != exitFailed {
		t.Fatalf("exit %d, %s", code, errs)
	}
	if s := c.first(t, "bus of alice", "post"); s.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR || s.Status.GetMessage() == "" {
		t.Errorf("%v", s)
	}
}
