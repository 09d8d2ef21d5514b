package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
)

// domain is one that is served by three replicas of a Message Node over three servers
// of NATS, with two pairs of runtimes.
type replicated struct {
	system   *local.System
	nats     *natsCluster
	nodes    []*local.Node
	runtimes []*local.Runtime
	courses  []*course
	foreign  *foreign
	token    string // of the foreign session
	tick     time.Time
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

// goOn waits until all courses do, and gives the longest pause that there was.
func (d *replicated) goOn(t *testing.T) (longest time.Duration) {
	t.Helper()
	ctx := eventualContext(t)
	for _, c := range d.courses {
		c.goesOn(ctx, t)
		longest = max(longest, c.pause())
	}
	return longest
}

// foreignHyperty is an address of the foreign runtime.
const foreignHyperty = "hyperty://example.org/foreign-1"

func (d *replicated) openForeign(t *testing.T) {
	t.Helper()
	d.foreign = openForeign(t, d.nodes[0], "hyperty-runtime://example.org/foreign")
	d.token, _ = d.foreign.ask("open", d.foreign.url, "mn:/session", nil).Body["runtimeToken"].(string)
	d.foreign.ask("subscribe", d.foreign.url+"/ua", "domain://msg-node.example.org/sm", map[string]any{"resources": []string{foreignHyperty}})
}

// keeps checks that the foreign runtime is as it was when it re-opens its session at
// another replica than the one that it was at: its token is right, what is registered
// is found, and what is sent to the address that it has subscribed comes.
func (d *replicated) keeps(t *testing.T, node *local.Node) {
	t.Helper()
	f := d.foreign
	_ = f.ws.CloseNow()
	for ctx := eventualContext(t); ; {
		err := f.reopen(ctx, node, d.token)
		if err == nil {
			break
		}
		if !pause(ctx) {
			t.Fatal(err)
		}
	}
	entry := f.ask("read", f.url+"/registry", "domain://registry.example.org", map[string]any{"resource": d.courses[0].to})
	if value, _ := entry.Body["value"].(map[string]any); value["runtime"] != d.runtimes[1].URL || value["status"] != "live" {
		t.Errorf("the domain registry says %v", entry.Body)
	}
	came := make(chan wireMessage, 1)
	go func() {
		for {
			if m, err := f.readOne(t.Context()); err != nil || m.To == foreignHyperty {
				came <- m
				return
			}
		}
	}()
	for ctx := eventualContext(t); ; {
		post(t, d.runtimes[0], numbered(d.courses[0].from, foreignHyperty, 1))
		select {
		case m := <-came:
			if m.To != foreignHyperty {
				t.Errorf("nothing comes for the foreign runtime")
			}
			return
		case <-time.After(pollPause):
		}
		if ctx.Err() != nil {
			t.Fatal("nothing comes for the foreign runtime")
		}
	}
}

// reopen re-opens the session at a replica.
func (f *foreign) reopen(ctx context.Context, node *local.Node, token string) error {
	ws, _, err := websocket.Dial(ctx, "ws://"+node.HTTPAddr+"/ws", nil) //nolint:bodyclose // the WebSocket's
	if err != nil {
		return err
	}
	f.t.Cleanup(func() { _ = ws.CloseNow() })
	f.ws = ws
	text, _ := json.Marshal(wireMessage{ID: "again", Type: "re-open", From: f.url + "/" + token, To: "mn:/session"})
	if err := ws.Write(ctx, websocket.MessageText, text); err != nil {
		return err
	}
	m, err := f.readOne(ctx)
	if err != nil {
		return err
	}
	if m.Body["code"] != 200.0 {
		return errorOf(m)
	}
	if m.Body["runtimeToken"] != nil {
		f.t.Errorf("the session was lost: %v", m.Body)
	}
	return nil
}

type errorOf wireMessage

func (e errorOf) Error() string { text, _ := json.Marshal(e.Body); return string(text) }

func (f *foreign) readOne(ctx context.Context) (m wireMessage, err error) {
	_, data, err := f.ws.Read(ctx)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(data, &m)
}

// Three replicas of a Message Node over three servers of NATS, any one of which is
// killed or stopped under traffic: nothing is lost, doubled or reordered, and sessions,
// subscriptions and the domain registry are kept.
func TestNATSAndMessageNodesStopOneByOne(t *testing.T) {
	d := startReplicated(t)
	var stops []func()
	for i, name := range []string{"alice-bob", "bob-alice", "carol-dave", "dave-carol"} {
		pair := d.runtimes[i/2*2 : i/2*2+2]
		c, stop := startCourse(t, name, pair[i%2], pair[1-i%2], 20*time.Millisecond)
		d.courses, stops = append(d.courses, c), append(stops, stop)
	}
	d.openForeign(t)
	waitConnection(t, d.runtimes[2], d.runtimes[3].URL, live)
	d.goOn(t)
	for _, p := range d.parts() {
		t.Run(p.name+" killed", func(t *testing.T) {
			d.survives(t, p, func(p *local.Process) error { p.Kill(); return nil })
		})
		t.Run(p.name+" stopped", func(t *testing.T) { d.survives(t, p, (*local.Process).Stop) })
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
		t.Logf("longest pause %v", d.goOn(t))
		d.keeps(t, d.nodes[0])
	})
	for i, c := range d.courses {
		stops[i]()
		c.verdict(eventualContext(t), t)
	}
	for _, r := range d.runtimes {
		if n := counter(t, r.MetricsAddrs["runtime"], "peerbus_nodestub_renewals_total"); n != 1 {
			t.Errorf("%s was given %d sessions, want the first one kept", r.URL, n)
		}
	}
}

// survives stops a part, checks that all goes on without it, and starts it again.
func (d *replicated) survives(t *testing.T, p *part, stop func(*local.Process) error) {
	t.Helper()
	var moved []*local.Runtime
	other := d.nodes[0]
	for i, n := range d.nodes {
		if n.Process != p.process {
			other = n
			continue
		}
		other = d.nodes[(i+1)%len(d.nodes)]
		for _, r := range d.runtimes {
			if d.at(t, r) == n.GRPCAddr {
				moved = append(moved, r)
			}
		}
		break
	}
	at := time.Now()
	if err := stop(p.process); err != nil {
		t.Fatal(err)
	}
	back := d.back(t, moved, at)
	d.keeps(t, other)
	kept := time.Since(at)
	longest := d.goOn(t)
	d.restart(t, p)
	d.whole(t)
	t.Logf("%d runtimes were elsewhere after %v; a session was re-opened and used after %v; longest pause of traffic %v; all back after %v",
		len(moved), back.Round(time.Millisecond), kept.Round(time.Millisecond), longest.Round(time.Millisecond), time.Since(at).Round(time.Millisecond))
}
