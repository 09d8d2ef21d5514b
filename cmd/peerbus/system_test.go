package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/internal/sequence"
	"github.com/peerbus/peerbus/protocol/message"
)

// The system tests run what ships: separate processes, real sockets.

// pair is a Message Node and two runtimes, with a hyperty each.
type pair struct {
	system           *local.System
	node             *local.Node
	alice, bob       *local.Runtime
	aliceURL, bobURL string // hyperties
}

func newPair(t *testing.T, aliceLayout, bobLayout local.Layout, extra ...string) *pair {
	t.Helper()
	return newPairWith(t, newSystem(t), aliceLayout, bobLayout, extra...)
}

func newPairWith(t *testing.T, system *local.System, aliceLayout, bobLayout local.Layout, extra ...string) *pair {
	t.Helper()
	p := &pair{system: system, node: startNode(t, system)}
	p.alice = startRuntime(t, p.system, "alice", aliceLayout, []*local.Node{p.node}, extra...)
	p.bob = startRuntime(t, p.system, "bob", bobLayout, []*local.Node{p.node}, extra...)
	p.ready(t)
	return p
}

// ready waits for both runtimes, and registers their hyperties.
func (p *pair) ready(t *testing.T) {
	t.Helper()
	ready(t, p.alice, p.bob)
	p.aliceURL, p.bobURL = register(t, p.alice, "alice"), register(t, p.bob, "bob")
}

func ready(t *testing.T, all ...*local.Runtime) {
	t.Helper()
	for _, r := range all {
		if err := r.Ready(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// startNode starts a Message Node and waits until it serves, so that every
// process has lived before its test ends.
func startNode(t *testing.T, s *local.System, extra ...string) *local.Node {
	t.Helper()
	return startNodeOf(t, s, "example.org", extra...)
}

func startNodeOf(t *testing.T, s *local.System, domain string, extra ...string) *local.Node {
	t.Helper()
	node, err := s.StartNode(domain, extra...)
	if err == nil {
		err = node.Ready(testContext(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	return node
}

func startRuntime(t *testing.T, s *local.System, id string, layout local.Layout, nodes []*local.Node, extra ...string) *local.Runtime {
	t.Helper()
	r, err := s.StartRuntime(id, layout, nodes, extra...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func register(t *testing.T, r *local.Runtime, user string) string {
	t.Helper()
	url, err := registerHyperty(testContext(t), r, user)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// inbox takes what comes for an address.
type inbox struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[pb.ListenResponse]
	close  func() // a listener that is not read holds up the senders
	queue  []*pb.Message
}

func listen(t *testing.T, r *local.Runtime, address string) *inbox {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	stream, err := pb.NewMessageBusClient(r.Bus).Listen(ctx, &pb.ListenRequest{Addresses: []string{address}})
	if err == nil {
		_, err = stream.Header()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &inbox{t: t, stream: stream, close: cancel}
}

func (in *inbox) next() *pb.Message {
	in.t.Helper()
	for len(in.queue) == 0 {
		resp, err := in.stream.Recv()
		if err != nil {
			in.t.Fatalf("listening: %v", err)
		}
		for _, d := range resp.Deliveries {
			in.queue = append(in.queue, d.Message)
		}
	}
	m := in.queue[0]
	in.queue = in.queue[1:]
	return m
}

func post(t *testing.T, r *local.Runtime, m *pb.Message) {
	t.Helper()
	_, err := pb.NewMessageBusClient(r.Bus).Post(testContext(t), &pb.PostRequest{Message: m, Wait: pb.Wait_WAIT_ACCEPTED})
	if err != nil {
		t.Fatalf("posting to %s: %v", m.To, err)
	}
}

func request(t *testing.T, r *local.Runtime, m *pb.Message) *pb.Message {
	t.Helper()
	resp, err := pb.NewMessageBusClient(r.Bus).Post(testContext(t), &pb.PostRequest{
		Message: m, Wait: pb.Wait_WAIT_RESPONSE, Timeout: durationpb.New(patience / 2),
	})
	if err != nil {
		t.Fatalf("request to %s: %v", m.To, err)
	}
	return resp.Response
}

func pingOf(from, to string, n int) *pb.Message {
	return &pb.Message{Type: "ping", From: from, To: to, Body: []byte(fmt.Sprintf(`{"value":%d}`, n))}
}

func connections(t *testing.T, r *local.Runtime) []*pb.Connection {
	t.Helper()
	resp, err := pb.NewRegistryClient(r.Registry).ListConnections(testContext(t), &pb.ListConnectionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Connections
}

// waitConnection waits until the one entry for a remote runtime is as wanted.
func waitConnection(t *testing.T, r *local.Runtime, remote string, wanted func(*pb.Connection) bool) *pb.Connection {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	stream, err := pb.NewRegistryClient(r.Registry).WatchConnections(ctx, &pb.WatchConnectionsRequest{})
	var last *pb.Connection
	for err == nil {
		var resp *pb.WatchConnectionsResponse
		if resp, err = stream.Recv(); err != nil {
			break
		}
		for _, c := range resp.Connections {
			if c.RemoteRuntimeUrl == remote {
				if last = c; wanted(c) {
					return c
				}
			}
		}
	}
	t.Fatalf("connection of %s to %s is %v: %v", r.URL, remote, last, err)
	return nil
}

func live(c *pb.Connection) bool { return c.State == pb.ConnectionState_CONNECTION_STATE_LIVE }

// counter reads a metric of a service: the sum of all series that have the
// wanted labels.
func counter(t *testing.T, addr, name string, labels ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	sum, found := 0.0, false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if series, value, ok := seriesOf(lines.Text(), name, labels); ok {
			found = true
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("%s: %v", series, err)
			}
			sum += v
		}
	}
	if !found {
		t.Fatalf("no metric %s%v", name, labels)
	}
	return int(sum)
}

func seriesOf(line, name string, labels []string) (series, value string, ok bool) {
	series, value, ok = strings.Cut(line, " ")
	if !ok || !strings.HasPrefix(series, name+"{") && series != name {
		return "", "", false
	}
	for _, l := range labels {
		if !strings.Contains(series, l) {
			return "", "", false
		}
	}
	return series, value, true
}

// The seed's steps happen in the required order, between separate processes.
func TestSequenceOfSeparateProcesses(t *testing.T) {
	t.Parallel()
	p := newPair(t, local.Separate, local.Separate)
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 1))
	if m := in.next(); pathOf(m) != relayed {
		t.Errorf("the first message came over the %s", pathOf(m))
	}
	waitConnection(t, p.alice, p.bob.URL, live)
	waitConnection(t, p.bob, p.alice.URL, live)
	var found []sequence.Reached
	for ctx := testContext(t); ; {
		found = sequence.Find(p.system.Events(), p.alice.URL, p.bob.URL)
		if sequence.Check(found) == nil {
			break
		}
		if !pause(ctx) {
			t.Fatal(sequence.Check(found))
		}
	}
	for _, r := range found {
		t.Logf("%s %-12s %2s %s -> %s: %s", r.Time.Format("05.000000"), r.Diagram, r.Number, r.From, r.To, r.What)
	}
}

// pause waits a moment before a condition is looked at again; it tells whether
// there is still time.
func pause(ctx context.Context) bool { return run.Sleep(ctx, 20*time.Millisecond) == nil }

// Once live, no message goes through the Message Node; the counters of both
// stubs say so.
func TestOnceLiveNoMessageTakesTheNode(t *testing.T) {
	p := newPair(t, local.Separate, local.AllInOne)
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 0))
	in.next()
	waitConnection(t, p.alice, p.bob.URL, live)
	settle(t, p, in)

	relayedBefore, directBefore := p.sentByNode(t), p.sentDirectly(t)
	const n = 200
	for i := range n {
		post(t, p.alice, pingOf(p.aliceURL, p.bobURL, i))
	}
	for i := range n {
		m := in.next()
		if pathOf(m) != direct {
			t.Fatalf("message %d came over the %s", i, pathOf(m))
		}
		if want := fmt.Sprintf(`{"value":%d}`, i); string(m.Body) != want {
			t.Fatalf("message %d is %s", i, m.Body)
		}
	}
	if got := p.sentByNode(t) - relayedBefore; got != 0 {
		t.Errorf("%d messages went through the node", got)
	}
	if got := p.sentDirectly(t) - directBefore; got < n {
		t.Errorf("%d messages went over the data channel, want %d", got, n)
	}
}

// settle posts until a message comes directly: the route is pushed a moment
// after the connection has become live.
func settle(t *testing.T, p *pair, in *inbox) {
	t.Helper()
	for ctx := testContext(t); ; {
		post(t, p.alice, pingOf(p.aliceURL, p.bobURL, -1))
		if pathOf(in.next()) == direct {
			return
		}
		if !pause(ctx) {
			t.Fatal("no message comes directly")
		}
	}
}

func (p *pair) sentByNode(t *testing.T) int {
	t.Helper()
	return counter(t, p.alice.MetricsAddrs["nodestub"], "peerbus_nodestub_messages_total", `direction="out"`, `kind="message"`, `outcome="sent"`)
}

func (p *pair) sentDirectly(t *testing.T) int {
	t.Helper()
	return counter(t, p.alice.MetricsAddrs["p2pstub"], "peerbus_p2pstub_messages_total", `direction="out"`)
}

// A request over the data channel is answered over it; what comes in goes out.
func TestRequestAndResponse(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	in := listen(t, p.bob, p.bobURL)
	go answerAll(in, p.bob)
	for i := range 20 {
		req := pingOf(p.aliceURL, p.bobURL, i)
		req.Id = `"a-` + strconv.Itoa(i) + `"`
		resp := request(t, p.alice, req)
		if resp.Id != req.Id || resp.From != p.bobURL || resp.To != p.aliceURL {
			t.Fatalf("%v answers %v", resp, req)
		}
		var body struct {
			Code  int
			Value struct{ Value int }
		}
		if err := message.UnmarshalBody(resp, &body); err != nil || body.Code != 200 || body.Value.Value != i {
			t.Fatalf("%s, %v", resp.Body, err)
		}
	}
	waitConnection(t, p.alice, p.bob.URL, live)
}

// answerAll answers each request with its own body as value, until the stream
// ends.
func answerAll(in *inbox, r *local.Runtime) {
	for {
		resp, err := in.stream.Recv()
		if err != nil {
			return
		}
		for _, d := range resp.Deliveries {
			answer := message.Answer(d.Message, 200, map[string]any{"value": rawJSON(d.Message.Body)})
			_, _ = pb.NewMessageBusClient(r.Bus).Post(in.stream.Context(), &pb.PostRequest{Message: answer})
		}
	}
}

type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }
