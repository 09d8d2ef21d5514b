package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
)

// replicated is a domain that is served by three replicas of a Message Node over three servers
// of NATS, with two pairs of runtimes.
type replicated struct {
	system   *local.System
	nats     *natsCluster
	nodes    []*local.Node
	runtimes []*local.Runtime
	crossing crossing
	nomad    *nomad
}

// streams are those of the buckets of a Message Node of example.org.
var nodeStreams = []string{"KV_msgnode-example_org-state", "KV_msgnode-example_org-registry"}

// eventualContext bounds what may have to wait for NATS to choose a leader.
func eventualContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	return ctx
}

func startReplicated(t *testing.T) *replicated {
	t.Helper()
	d := &replicated{system: newSystem(t)}
	d.nats = startNATSCluster(t, d.system)
	for range 3 {
		node, err := d.system.StartNode("example.org", "--nats-url", d.nats.url())
		if err != nil {
			t.Fatal(err)
		}
		d.nodes = append(d.nodes, node)
	}
	for _, r := range []struct{ id, p2p string }{{"alice", "never"}, {"bob", "never"}, {"carol", "always"}, {"dave", "always"}} {
		d.runtimes = append(d.runtimes, startRuntime(t, d.system, r.id, local.AllInOne, d.nodes, "--p2p", r.p2p))
	}
	d.whole(t)
	return d
}

// whole waits until every process is there and has all it needs.
func (d *replicated) whole(t *testing.T) {
	t.Helper()
	ctx := eventualContext(t)
	for _, n := range d.nodes {
		if err := n.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
	d.nats.whole(ctx, t, nodeStreams...)
	for _, r := range d.runtimes {
		if err := r.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// parts are the processes that are stopped.
func (d *replicated) parts() []*part {
	parts := slices.Clone(d.nats.servers)
	for i, n := range d.nodes {
		parts = append(parts, &part{"message node " + string(rune('1'+i)), n.Process})
	}
	return parts
}

// restart runs a part again, which has ended.
func (d *replicated) restart(t *testing.T, p *part) {
	t.Helper()
	again, err := d.system.Restart(p.process)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range d.nodes {
		if n.Process == p.process {
			n.Process = again
		}
	}
	p.process = again
}

// at gives the Message Node that a runtime's session is with.
func (d *replicated) at(t *testing.T, r *local.Runtime) string {
	t.Helper()
	resp, err := pb.NewRegistryClient(r.Registry).GetRuntime(testContext(t), &pb.GetRuntimeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range resp.Nodes {
		if n.State == "live" {
			return strings.TrimPrefix(n.Endpoint, "grpc://")
		}
	}
	return ""
}

// back is when the last of some runtimes had its session again after a time.
func (d *replicated) back(t *testing.T, runtimes []*local.Runtime, after time.Time) time.Duration {
	t.Helper()
	var last time.Duration
	for _, r := range runtimes {
		for ctx := eventualContext(t); ; {
			at := d.liveAt(r, after)
			if !at.IsZero() {
				last = max(last, at.Sub(after))
				break
			}
			if !pause(ctx) {
				t.Fatalf("%s is not back", r.URL)
			}
		}
	}
	return last
}

// liveAt is when a runtime's log says that its session is live, after a time.
func (d *replicated) liveAt(r *local.Runtime, after time.Time) time.Time {
	for _, e := range slices.Backward(d.system.Events()) {
		if e.Runtime == r.URL && e.Message == "session with the Message Node is live" && e.Time.After(after) {
			return e.Time
		}
	}
	return time.Time{}
}

// nomad is a foreign runtime over the WebSocket, which goes from one Message Node to
// another and keeps its session.
type nomad struct {
	token string
	ws    *websocket.Conn
	in    chan wireMessage // closed when the socket ends
}

const (
	nomadURL     = "hyperty-runtime://example.org/nomad"
	nomadHyperty = "hyperty://example.org/nomad-1"
)

// goTo leaves the socket that there is, and opens or re-opens the session elsewhere.
func (n *nomad) goTo(ctx context.Context, t *testing.T, node *local.Node) {
	t.Helper()
	for {
		err := n.tryAt(ctx, t, node)
		if err == nil {
			return
		}
		if !pause(ctx) {
			t.Fatal(err)
		}
	}
}

func (n *nomad) tryAt(ctx context.Context, t *testing.T, node *local.Node) error {
	if n.ws != nil {
		_ = n.ws.CloseNow()
		for range n.in { // until its reader has ended
		}
		n.ws = nil
	}
	ws, _, err := websocket.Dial(ctx, "ws://"+node.HTTPAddr+"/ws", nil)
	if err != nil {
		return err
	}
	n.ws, n.in = ws, make(chan wireMessage, 1000)
	go n.pump(ws, n.in)
	kind, from := "open", nomadURL
	if n.token != "" {
		kind, from = "re-open", nomadURL+"/"+n.token
	}
	body, err := n.ask(ctx, kind, from, "mn:/session", nil)
	token, _ := body["runtimeToken"].(string)
	switch {
	case err != nil:
		return err
	case n.token != "" && token != "":
		t.Errorf("the session was lost: %v", body)
	}
	n.token = cmp.Or(token, n.token)
	return nil
}

func (n *nomad) pump(ws *websocket.Conn, in chan<- wireMessage) {
	defer close(in)
	for {
		_, data, err := ws.Read(context.Background())
		var m wireMessage
		if err != nil || json.Unmarshal(data, &m) != nil {
			return
		}
		in <- m
	}
}

// ask sends a request and waits for its response, whose code must be 200.
func (n *nomad) ask(ctx context.Context, kind, from, to string, body map[string]any) (map[string]any, error) {
	text, _ := json.Marshal(wireMessage{ID: kind, Type: kind, From: from, To: to, Body: body})
	if err := n.ws.Write(ctx, websocket.MessageText, text); err != nil {
		return nil, err
	}
	m, err := n.next(ctx, func(m wireMessage) bool { return m.Type == "response" && m.ID == kind })
	if err == nil && m.Body["code"] != 200.0 {
		err = fmt.Errorf("%s is answered with %v", kind, m.Body)
	}
	return m.Body, err
}

// next waits for a message.
func (n *nomad) next(ctx context.Context, wanted func(wireMessage) bool) (wireMessage, error) {
	for {
		select {
		case m, ok := <-n.in:
			if !ok {
				return m, errors.New("the socket has ended")
			}
			if wanted(m) {
				return m, nil
			}
		case <-ctx.Done():
			return wireMessage{}, ctx.Err()
		}
	}
}

// settle makes the nomad reachable at its hyperty.
func (d *replicated) settle(t *testing.T) {
	t.Helper()
	ctx := eventualContext(t)
	d.nomad = &nomad{}
	d.nomad.goTo(ctx, t, d.nodes[0])
	t.Cleanup(func() {
		if d.nomad.ws != nil {
			_ = d.nomad.ws.CloseNow()
		}
	})
	_, err := d.nomad.ask(ctx, "subscribe", nomadURL+"/ua", "domain://msg-node.example.org/sm", map[string]any{"resources": []string{nomadHyperty}})
	if err != nil {
		t.Fatal(err)
	}
}

// keeps checks that the nomad is as it was when it re-opens its session at a Message
// Node: its token is right, what is registered is found, and what is sent to the
// address that it has subscribed comes.
func (d *replicated) keeps(t *testing.T, node *local.Node) {
	t.Helper()
	ctx := eventualContext(t)
	d.nomad.goTo(ctx, t, node)
	entry, err := d.nomad.ask(ctx, "read", nomadURL+"/registry", "domain://registry.example.org", map[string]any{"resource": d.crossing.courses[0].to.url})
	value, _ := entry["value"].(map[string]any)
	if err != nil || value["runtime"] != d.runtimes[1].URL || value["status"] != "live" {
		t.Errorf("the domain registry says %v, %v", entry, err)
	}
	// A peer without flows may miss what is on its way when a process dies.
	for {
		post(t, d.runtimes[0], pingOf(d.crossing.courses[0].from.url, nomadHyperty, 1))
		soon, cancel := context.WithTimeout(ctx, 5*pollPause)
		_, err := d.nomad.next(soon, func(m wireMessage) bool { return m.To == nomadHyperty })
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("nothing comes for the foreign runtime: %v", err)
		}
	}
}

// Three replicas of a Message Node over three servers of NATS, any one of which is
// killed or stopped under traffic: nothing is lost, doubled or reordered, and sessions,
// subscriptions and the domain registry are kept.
func TestNATSAndMessageNodesStopOneByOne(t *testing.T) {
	t.Parallel()
	d := startReplicated(t)
	for i, name := range []string{"alice-bob", "bob-alice", "carol-dave", "dave-carol"} {
		pair := d.runtimes[i/2*2 : i/2*2+2]
		from, to := newEnd(t, pair[i%2], name+"-from"), newEnd(t, pair[1-i%2], name+"-to")
		d.crossing.start(t, name, from, to, 20*time.Millisecond)
	}
	d.settle(t)
	waitConnection(t, d.runtimes[2], d.runtimes[3].URL, live)
	d.crossing.goOn(eventualContext(t), t)
	for _, how := range []struct {
		name string
		stop func(*local.Process) error
	}{
		{"killed", func(p *local.Process) error { p.Kill(); return nil }},
		{"stopped", (*local.Process).Stop},
	} {
		moved := 0
		for _, p := range d.parts() {
			t.Run(p.name+" "+how.name, func(t *testing.T) { moved += d.survives(t, p, how.stop) })
		}
		if moved == 0 { // each runtime is somewhere
			t.Errorf("no runtime was at a message node that was %s", how.name)
		}
	}
	t.Run("rolling restart of the message nodes", func(t *testing.T) {
		for _, p := range d.parts()[len(d.nats.servers):] {
			if err := p.process.Stop(); err != nil {
				t.Fatal(err)
			}
			d.restart(t, p)
			for _, n := range d.nodes {
				if err := n.Ready(eventualContext(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Logf("longest pause %v", d.crossing.goOn(eventualContext(t), t))
		d.keeps(t, d.nodes[0])
	})
	d.crossing.end(t, eventualContext)
	for _, r := range d.runtimes {
		if n := counter(t, r.MetricsAddrs["runtime"], "peerbus_nodestub_renewals_total"); n != 1 {
			t.Errorf("%s was given %d sessions, want the first one kept", r.URL, n)
		}
	}
}

// survives stops a part, checks that all goes on without it, and starts it again. It
// gives how many runtimes had to go to another Message Node.
func (d *replicated) survives(t *testing.T, p *part, stop func(*local.Process) error) int {
	t.Helper()
	other := d.nodes[0]
	var moved []*local.Runtime
	if i := slices.IndexFunc(d.nodes, func(n *local.Node) bool { return n.Process == p.process }); i >= 0 {
		d.keeps(t, d.nodes[i]) // the foreign session is where it has to leave
		other = d.nodes[(i+1)%len(d.nodes)]
		for _, r := range d.runtimes {
			if d.at(t, r) == d.nodes[i].GRPCAddr {
				moved = append(moved, r)
			}
		}
	}
	at := time.Now()
	if err := stop(p.process); err != nil {
		t.Fatal(err)
	}
	back := d.back(t, moved, at)
	d.keeps(t, other)
	kept := time.Since(at)
	longest := d.crossing.goOn(eventualContext(t), t)
	d.restart(t, p)
	d.whole(t)
	t.Logf("%d runtimes were elsewhere after %d ms; a session was re-opened and used after %d ms; longest pause of traffic %d ms; all back after %d ms",
		len(moved), back.Milliseconds(), kept.Milliseconds(), longest.Milliseconds(), time.Since(at).Milliseconds())
	return len(moved)
}
