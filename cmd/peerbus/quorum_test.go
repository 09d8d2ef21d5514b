package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/protocol/message"
)

// shared is a domain whose Message Node and one of whose runtimes have replicas, over
// three servers of NATS. The other runtime keeps its own.
type shared struct {
	system *local.System
	nats   *natsCluster
	nodes  []*local.Node
	alice  *controlled
	bob    *local.Runtime
}

func startShared(t *testing.T) *shared {
	t.Helper()
	d := &shared{system: newSystem(t)}
	d.nats = startNATSCluster(t, d.system)
	for range 2 {
		node, err := d.system.StartNode("example.org", "--nats-url", d.nats.url())
		if err != nil {
			t.Fatal(err)
		}
		d.nodes = append(d.nodes, node)
	}
	d.alice = startControlled(t, d.system, "alice", d.nats.url(), d.nodes)
	d.bob = startRuntime(t, d.system, "bob", local.AllInOne, d.nodes)
	if err := d.system.StartGateway(d.alice.Runtime); err != nil {
		t.Fatal(err)
	}
	d.whole(t)
	d.nats.whole(eventualContext(t), t, nodeStreams...)
	return d
}

// whole waits until every process is ready and both runtimes have all they need.
func (d *shared) whole(t *testing.T) {
	t.Helper()
	ctx := eventualContext(t)
	for _, n := range d.nodes {
		if err := n.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []*local.Runtime{d.alice.Runtime, d.bob} {
		if err := d.system.GatewayReady(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
}

// asked gives the status and the text of an answer; 0 when there is none.
func asked(ctx context.Context, method, url, body string) (int, string) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// posts has alice's gateway deliver a message to bob, and say that it is ready.
func (d *shared) posts(t *testing.T, to string) {
	t.Helper()
	ctx := testContext(t)
	if code, text := asked(ctx, http.MethodGet, "http://"+d.alice.HTTPAddr+"/readyz", ""); code != http.StatusOK {
		t.Errorf("the gateway is not ready: %d %s", code, text)
	}
	body := fmt.Sprintf(`{"type":"create","to":%q,"body":{"value":1}}`, to)
	code, text := asked(ctx, http.MethodPost, "http://"+d.alice.HTTPAddr+"/v1/messages?wait=delivered", body)
	if code != http.StatusOK || !strings.Contains(text, `"delivered":true`) {
		t.Errorf("a message is not delivered: %d %s", code, text)
	}
}

// notReady waits until both Message Nodes say that they are not, and why.
func (d *shared) notReady(t *testing.T, why string) {
	t.Helper()
	for ctx := eventualContext(t); ; {
		said := 0
		var text string
		for _, n := range d.nodes {
			var code int
			if code, text = asked(ctx, http.MethodGet, "http://"+n.HTTPAddr+"/readyz", ""); code == http.StatusServiceUnavailable && strings.Contains(text, why) {
				said++
			}
		}
		if said == len(d.nodes) {
			return
		}
		if !pause(ctx) {
			t.Fatalf("the message nodes say %q, want %q", text, why)
		}
	}
}

// diagnosis waits until the doctor's findings are as wanted.
func (d *shared) diagnosis(t *testing.T, wanted func(map[string]finding) bool) {
	t.Helper()
	for ctx := eventualContext(t); ; {
		_, found := doctor(t, "--bus-addr", d.alice.BusAddr, "--registry-addr", d.alice.RegistryAddr, "--node-http", "http://"+d.nodes[0].HTTPAddr)
		for check, f := range found {
			if contains(f.Text, "Message Node of :") || contains(f.Text, "about to take over") && found["nats"].Verdict == isFail {
				t.Errorf("%s: %+v", check, f)
			}
		}
		if wanted(found) {
			return
		}
		if !pause(ctx) {
			t.Fatalf("the doctor finds %+v", found)
		}
	}
}

// repeated gives the lines of the log that came too often.
func (d *shared) repeated(since time.Time, often int) (too []string) {
	lines := map[string]int{}
	for _, e := range d.system.Events() {
		if e.Time.After(since) && e.Attrs["level"] != "DEBUG" && e.Message != "attached" && e.Message != "detached" { // the doctor's
			lines[fmt.Sprintf("%s of %s: %s %s", e.Service, e.Runtime, e.Message, e.Attrs["part"])]++
		}
	}
	for line, n := range lines {
		if n > often {
			too = append(too, fmt.Sprintf("%d times: %s", n, line))
		}
	}
	return too
}

// With one of three servers of NATS left nothing can be written, and everybody says so;
// messages between runtimes that are connected go on, and a gateway takes them. With none
// that is said likewise. All is well again when the servers are back.
func TestNATSWithoutAMajority(t *testing.T) {
	d := startShared(t)
	to := register(t, d.bob, "user://example.org/bob")
	if _, err := attachTo(t, d.bob).Listen(testContext(t), to, func(context.Context, *pb.Message) {}); err != nil {
		t.Fatal(err)
	}
	d.posts(t, to)
	waitConnection(t, d.alice.Runtime, d.bob.URL, live)
	d.posts(t, to)

	at := time.Now()
	d.nats.servers[1].process.Kill()
	d.nats.servers[2].process.Kill()
	d.notReady(t, "NATS has no majority")
	t.Logf("the message nodes were not ready after %d ms", time.Since(at).Milliseconds())
	d.posts(t, to)
	d.diagnosis(t, func(f map[string]finding) bool {
		return f["nats"].Verdict == isFail && contains(f["nats"].Text, "NATS has no majority") && f["node-ready"].Verdict == isFail &&
			contains(f["node-ready"].Text, "NATS has no majority") && f["components"].Verdict == isFail && f["session"].Verdict == isSkip
	})
	t.Logf("no registry led after %d ms", time.Since(at).Milliseconds())
	// It has what the last one that led has said, or, if that is not known, refuses.
	if code, _, errs := command(t, nil, "connections", "--registry-addr", d.alice.RegistryAddr); !contains(errs, "no registry leads") {
		t.Errorf("exit %d, %s", code, errs)
	}
	d.posts(t, to)

	d.nats.servers[0].process.Kill()
	d.diagnosis(t, func(f map[string]finding) bool { return contains(f["nats"].Text, "NATS does not answer") })
	d.notReady(t, "NATS does not answer")
	stopping := time.Now()
	if err := d.nodes[1].Stop(); err != nil { // in good order, though it can note nothing
		t.Error(err)
	}
	t.Logf("a message node stopped within %d ms", time.Since(stopping).Milliseconds())
	for _, line := range d.repeated(at, 10) {
		t.Error(line)
	}

	at = time.Now()
	for _, p := range []**local.Process{&d.nats.servers[0].process, &d.nats.servers[1].process, &d.nats.servers[2].process, &d.nodes[1].Process} {
		again, err := d.system.Restart(*p)
		if err != nil {
			t.Fatal(err)
		}
		*p = again
	}
	d.whole(t)
	t.Logf("all was back after %d ms", time.Since(at).Milliseconds())
	d.diagnosis(t, func(f map[string]finding) bool {
		return f["nats"].Verdict == isOK && f["node-ready"].Verdict == isOK && f["components"].Verdict == isOK && f["session"].Verdict == isOK
	})
	waitConnection(t, d.alice.Runtime, d.bob.URL, live)
	d.posts(t, to)
	d.stop(t)
}

// stop ends what uses NATS before NATS.
func (d *shared) stop(t *testing.T) {
	t.Helper()
	users := []*local.Process{d.alice.Processes["gateway"]}
	for _, p := range d.alice.parts {
		users = append(users, p)
	}
	for _, n := range d.nodes {
		users = append(users, n.Process)
	}
	for _, p := range users {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// replyTo has a runtime answer what comes to one of its addresses.
func replyTo(t *testing.T, r *local.Runtime, to string) {
	t.Helper()
	b := attachTo(t, r)
	_, err := b.Listen(testContext(t), to, func(ctx context.Context, m *pb.Message) {
		if err := b.Post(ctx, message.Answer(m, 200, nil)); err != nil {
			t.Log("an answer is not posted: ", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What goes over the Message Node does not wait for what its runtime asks the node while
// NATS takes nothing: set-ups of connections, which begin again and again. A runtime that
// has no NATS of its own is told of it by doctor.
func TestRequestsGoOnWithoutAMajority(t *testing.T) {
	s := newSystem(t)
	nats := startNATSCluster(t, s)
	node, err := s.StartNode("example.org", "--nats-url", nats.url())
	if err != nil {
		t.Fatal(err)
	}
	nodes := []*local.Node{node}
	alice, bob := startRuntime(t, s, "alice", local.AllInOne, nodes), startRuntime(t, s, "bob", local.AllInOne, nodes)
	carol := startRuntime(t, s, "carol", local.AllInOne, nodes, "--p2p", "never")
	ready(t, alice, bob, carol)
	nats.whole(eventualContext(t), t, nodeStreams...)
	to := register(t, bob, "user://example.org/bob")
	replyTo(t, bob, to)
	askers := map[string]*client.Bus{"alice": attachTo(t, alice), "carol": attachTo(t, carol)}
	request := func(within time.Duration) {
		t.Helper()
		for name, b := range askers {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			m, err := b.Request(ctx, &pb.Message{Type: message.Read, To: to})
			cancel()
			if err != nil {
				t.Fatalf("%s asks bob: %v", name, err)
			}
			if code, err := message.Result(m); code != fault.OK {
				t.Fatalf("%s asks bob: %d, %v", name, code, err)
			}
		}
	}
	request(patience)
	waitConnection(t, alice, bob.URL, live)

	nats.servers[1].process.Kill()
	nats.servers[2].process.Kill()
	d := &shared{nodes: nodes, alice: &controlled{Runtime: alice}}
	d.notReady(t, "NATS has no majority")
	request(patience)
	if code, _, errs := command(t, nil, "connections", "close", bob.URL, "--registry-addr", alice.RegistryAddr); code != 0 {
		t.Fatal(errs)
	}
	const lessThanTheStoreTakes = 4 * time.Second
	begun := time.Now()
	for time.Since(begun) < 15*time.Second { // several set-ups
		request(lessThanTheStoreTakes)
		if !pause(t.Context()) {
			t.Fatal("the test is over")
		}
	}
	_, found := doctor(t, "--bus-addr", alice.BusAddr, "--registry-addr", alice.RegistryAddr)
	if f := found["node-ready"]; f.Verdict != isFail || !contains(f.Text, node.GRPCAddr) {
		t.Errorf("%+v", f)
	}
	dan := startRuntime(t, s, "dan", local.AllInOne, nodes)
	told(t, dan, "NATS has no majority")
	for _, i := range []int{1, 2} {
		if nats.servers[i].process, err = s.Restart(nats.servers[i].process); err != nil {
			t.Fatal(err)
		}
	}
	ready(t, dan)
	request(patience)
	waitConnection(t, alice, bob.URL, live)
	saidOnce(t, s, "ready again")
	saidOnce(t, s, "not ready")
	for _, r := range []*local.Runtime{alice, bob, carol, dan} {
		if err := r.Processes["runtime"].Stop(); err != nil {
			t.Error(err)
		}
	}
	if err := node.Stop(); err != nil {
		t.Error(err)
	}
}

// saidOnce waits until a Message Node says something, which it does once: it looks now and
// then.
func saidOnce(t *testing.T, s *local.System, what string) {
	t.Helper()
	for ctx := testContext(t); ; {
		n := 0
		for _, e := range s.Events() {
			if e.Service == "msgnode" && e.Message == what {
				n++
			}
		}
		if n == 1 {
			return
		}
		if n > 1 || !pause(ctx) {
			t.Fatalf("%q is said %d times", what, n)
		}
	}
}

// told waits until a runtime says why it has no session.
func told(t *testing.T, r *local.Runtime, why string) {
	t.Helper()
	for ctx := testContext(t); ; {
		_, out, _ := command(t, nil, "status", "-o", "json", "--registry-addr", r.RegistryAddr)
		if strings.Contains(out, why) {
			return
		}
		if !pause(ctx) {
			t.Fatalf("%s is not told %q: %s", r.URL, why, out)
		}
	}
}
