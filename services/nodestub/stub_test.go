package nodestub

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/message"
)

// onBoth runs a test over each transport of a Message Node.
func onBoth(t *testing.T, test func(t *testing.T, transport string)) {
	t.Helper()
	for _, transport := range []string{"grpc", "websocket"} {
		t.Run(transport, func(t *testing.T) { test(t, transport) })
	}
}

func TestMessagesGoBothWaysInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		w := newWorld(t, transport, Limits{})
		w.live(t)
		const n = 300
		for i := range n {
			m := numbered(i, alice, bob)
			if i%2 == 1 {
				m.Via = runtimeURL + "/p2phandler/h"
			}
			w.bus.send(t, m)
			w.node.send(t, numbered(i, bob, alice))
		}
		for i := range n {
			got := receive(t, w.node.got, "message at the node")
			if got.Id != message.NumberID(int64(i)) || got.Via != "" || got.From != alice {
				t.Fatalf("message %d at the node is %v", i, got)
			}
			post := receive(t, w.bus.posts, "post")
			if post.Message.Id != message.NumberID(int64(i)) || post.Message.Via != stubURL {
				t.Fatalf("post %d is %v", i, post)
			}
			if post.Ingress == nil || post.Ingress.RemoteRuntimeUrl != "" || post.Sequence != 0 {
				t.Fatalf("post %d has the ingress %v and sequence %d", i, post.Ingress, post.Sequence)
			}
		}
		w.stop()
		for _, c := range []struct{ direction, kind, outcome string }{
			{"out", "message", "sent"}, {"in", "message", "posted"},
		} {
			if v := w.metric(t, "messages_total", c.direction, c.kind, c.outcome); v != n {
				t.Errorf("%v: %v, want %d", c, v, n)
			}
		}
		if v := w.metric(t, "messages_total", "out", "service", "sent"); v != 1 {
			t.Errorf("%v service messages, want the open alone", v)
		}
		for _, direction := range []string{"in", "out"} {
			if v := w.metric(t, "bytes_total", direction); v < 20 {
				t.Errorf("%v bytes %s", v, direction)
			}
		}
		if v := w.metric(t, "queue_bytes"); v != 0 {
			t.Errorf("queue has %v bytes", v)
		}
	})
}

func TestContentSurvives(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		w := newWorld(t, transport, Limits{})
		w.live(t)
		body := []byte(`{"p2p":true,"value":{"text":"` + strings.Repeat("é", 1<<20) + `"}}`)
		w.bus.send(t, &pb.Message{Id: `"x"`, Type: "create", From: alice, To: bob, P2P: true, Body: body})
		got := receive(t, w.node.got, "message at the node")
		if string(got.Body) != string(body) || !got.P2P || got.Id != `"x"` {
			t.Errorf("it came as id %s, p2p %v, %d bytes of body", got.Id, got.P2P, len(got.Body))
		}
	})
}

func TestReconnectKeepsTheSessionAndTheOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		w := newWorld(t, transport, Limits{QueueTime: time.Hour})
		wt := w.live(t)
		for round := range 3 {
			w.down(true)
			w.node.breakOff()
			w.watchUntil(t, wt, "disconnected")
			for i := range 100 {
				w.bus.send(t, numbered(100*round+i, alice, bob))
			}
			w.down(false)
			if change := w.watchUntil(t, wt, "live"); len(change.Renewed) > 0 {
				t.Error("the session is told to be renewed")
			}
			if m := receive(t, w.node.asked, "re-open"); m.Type != "re-open" || m.From != runtimeURL+"/token-1" {
				t.Errorf("the node was asked %v", m)
			}
			for i := range 100 {
				if got := receive(t, w.node.got, "queued message"); got.Id != message.NumberID(int64(100*round+i)) {
					t.Fatalf("message %d of round %d is %s", i, round, got.Id)
				}
			}
		}
		if v := w.metric(t, "reconnects_total"); v != 3 {
			t.Errorf("%v reconnects", v)
		}
	})
}

func TestNewSessionIsToldAsRenewed(t *testing.T) {
	w := newWorld(t, "grpc", Limits{})
	var log logText
	w.stub.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	wt := w.watch(t)
	w.deploy(t)
	if change := w.watchUntil(t, wt, "live"); len(change.Renewed) != 1 || change.Renewed[0] != "b.example" {
		t.Errorf("the first session is told as %v", change)
	}
	if log.has("has lost this runtime's session") {
		t.Error("the log warns of the first session")
	}
	w.node.set(func(n *fakeNode) { clear(n.tokens) })
	w.node.breakOff()
	w.watchUntil(t, wt, "disconnected")
	if change := w.watchUntil(t, wt, "live"); len(change.Renewed) != 1 || change.Renewed[0] != "b.example" {
		t.Errorf("the new session is told as %v", change)
	}
	if !log.has("has lost this runtime's session") {
		t.Error("the log says nothing of a session that was lost")
	}
	snapshot := receive(t, w.watch(t).changes, "snapshot")
	if !snapshot.Snapshot || len(snapshot.Sessions) != 1 || len(snapshot.Renewed) != 1 {
		t.Errorf("snapshot %v", snapshot)
	}
}

func TestRestartOpensAgainAndStoppingDoesNotClose(t *testing.T) {
	w := newWorld(t, "grpc", Limits{})
	w.live(t)
	w.stop()
	select {
	case m := <-w.node.asked:
		t.Errorf("stopping told the node %v", m)
	default:
	}
	if err := w.stub.Deploy(within(t), "c.example", runtimeURL+"/protostub/c.example"); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Deploy after the end gave %v", err)
	}
	if _, err := w.stub.watch(); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("watch after the end gave %v", err)
	}
}

func TestCloseEndsTheSessionAtTheNode(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		w := newWorld(t, transport, Limits{})
		wt := w.live(t)
		if err := w.stub.Close(within(t), stubURL); err != nil {
			t.Fatal(err)
		}
		if m := receive(t, w.node.asked, "close"); m.Type != "close" || m.From != runtimeURL+"/token-1" {
			t.Errorf("the node was asked %v", m)
		}
		for !receive(t, w.bus.listeners, "removal").Remove {
		}
		w.watchUntil(t, wt, "disconnected")
		if err := w.stub.Close(within(t), stubURL); err != nil {
			t.Errorf("closing again: %v", err)
		}
		w.deploy(t)
		w.watchUntil(t, wt, "live")
		if m := receive(t, w.node.asked, "open"); m.Type != "open" || m.From != runtimeURL {
			t.Errorf("the node was asked %v", m)
		}
	})
}

// refusal reads the answer to a message from the posts.
func (w *world) refusal(t *testing.T, of *pb.Message) fault.Code {
	t.Helper()
	post := receive(t, w.bus.posts, "refusal")
	m := post.Message
	if !message.IsResponse(m) || message.AnswerKey(m) != message.KeyOf(of) || m.Via != stubURL || post.Ingress == nil {
		t.Errorf("%v is no answer to %v", post, of)
	}
	code, err := message.Result(m)
	if err == nil {
		t.Errorf("the answer is no refusal: %v", m)
	}
	return code
}

func TestUnknownDomainIsRefusedWith404(t *testing.T) {
	w := newWorld(t, "websocket", Limits{QueueTime: time.Hour})
	wt := w.watch(t)
	nowhere := runtimeURL + "/protostub/nowhere.example"
	if err := w.stub.Deploy(within(t), "nowhere.example", nowhere); err != nil {
		t.Fatal(err)
	}
	w.watchUntil(t, wt, "failed")
	response := numbered(1, alice, bob)
	response.Type = message.Response
	request := numbered(2, alice, bob)
	for _, m := range []*pb.Message{response, request} {
		w.bus.deliver <- &pb.Delivery{Listener: nowhere, Message: m}
	}
	post := receive(t, w.bus.posts, "refusal")
	if code, _ := message.Result(post.Message); code != fault.NotFound || post.Message.Id != "2" || post.Message.Via != nowhere {
		t.Errorf("%v", post)
	}
}

func TestUnreachableNodeIsRefusedWith503AfterItsTime(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		w := newWorld(t, transport, Limits{QueueTime: 50 * time.Millisecond})
		w.down(true)
		wt := w.watch(t)
		w.deploy(t)
		m := numbered(1, alice, bob)
		w.bus.send(t, m)
		if code := w.refusal(t, m); code != fault.Unavailable {
			t.Errorf("code %d", code)
		}
		w.watchUntil(t, wt, "failed")
		later := numbered(2, alice, bob)
		w.bus.send(t, later)
		if code := w.refusal(t, later); code != fault.Unavailable {
			t.Errorf("code %d", code)
		}
		w.down(false)
		w.watchUntil(t, wt, "live")
		w.bus.send(t, numbered(3, alice, bob))
		if got := receive(t, w.node.got, "message"); got.Id != "3" {
			t.Errorf("got %v", got)
		}
	})
}

func TestFullQueueIsRefusedWith429WhileThereIsNoSession(t *testing.T) {
	w := newWorld(t, "grpc", Limits{QueueMessages: 2, QueueTime: time.Hour})
	w.down(true)
	w.deploy(t)
	for i := range 3 {
		w.bus.send(t, numbered(i, alice, bob))
	}
	if code := w.refusal(t, numbered(2, alice, bob)); code != fault.TooMany {
		t.Errorf("code %d", code)
	}
	w.down(false)
	for i := range 2 {
		if got := receive(t, w.node.got, "queued message"); got.Id != message.NumberID(int64(i)) {
			t.Errorf("message %d is %v", i, got)
		}
	}
}

func TestOwnViaIsDropped(t *testing.T) {
	w := newWorld(t, "grpc", Limits{})
	w.live(t)
	looped := numbered(1, alice, bob)
	looped.Via = stubURL
	w.bus.send(t, looped)
	w.bus.send(t, numbered(2, alice, bob))
	if got := receive(t, w.node.got, "message"); got.Id != "2" {
		t.Errorf("the node got %v", got)
	}
	if v := w.metric(t, "messages_total", "out", "message", "looped"); v != 1 {
		t.Errorf("%v looped", v)
	}
}

func TestTooLargeIsRefusedWith413(t *testing.T) {
	w := newWorld(t, "grpc", Limits{})
	w.live(t)
	m := numbered(1, alice, bob)
	m.Body = []byte(`{"v":"` + strings.Repeat("x", message.MaxSize) + `"}`)
	w.bus.send(t, m)
	if code := w.refusal(t, m); code != fault.TooLarge {
		t.Errorf("code %d", code)
	}
}

func TestTooLargeForAFrameIsRefusedAndTheRestGoesOn(t *testing.T) {
	w := newWorld(t, "websocket", Limits{Frame: 1000})
	w.live(t)
	large := numbered(2, alice, bob)
	large.Body = []byte(`{"v":"` + strings.Repeat("x", 1000) + `"}`)
	for _, m := range []*pb.Message{numbered(1, alice, bob), large, numbered(3, alice, bob)} {
		w.bus.send(t, m)
	}
	for _, id := range []string{"1", "3"} {
		if got := receive(t, w.node.got, "message"); got.Id != id {
			t.Errorf("got %v, want %s", got, id)
		}
	}
	if code := w.refusal(t, large); code != fault.TooLarge {
		t.Errorf("code %d", code)
	}
}

func TestInvalidMessageOfANodeIsAnsweredAndNotPosted(t *testing.T) {
	w := newWorld(t, "grpc", Limits{})
	w.live(t)
	for _, m := range []*pb.Message{
		{Id: "1", Type: "ping", From: bob, To: alice, Body: []byte(`[]`)}, // answered
		{Id: "2", From: bob, To: alice},                                   // answered: its type is missing
		{Type: "ping", From: bob, To: alice},
		{Id: "x", Type: "ping", From: bob, To: alice},
		{Id: "4", Type: "response", From: bob, To: alice, Body: []byte(`x`)},
		numbered(5, bob, alice),
	} {
		w.node.send(t, m)
	}
	if post := receive(t, w.bus.posts, "post"); post.Message.Id != "5" {
		t.Errorf("posted %v", post)
	}
	for _, id := range []string{"1", "2"} {
		m := receive(t, w.node.got, "refusal")
		if code, _ := message.Result(m); code != fault.BadRequest || m.Id != id || m.To != bob {
			t.Errorf("the node got %v", m)
		}
	}
	if v := w.metric(t, "messages_total", "in", "message", "invalid"); v != 5 {
		t.Errorf("%v invalid", v)
	}
}

func TestNodeThatRefusesOrIsDeafIsAskedAgain(t *testing.T) {
	w := newWorld(t, "grpc", Limits{OpenTimeout: 20 * time.Millisecond, QueueTime: time.Hour})
	w.node.set(func(n *fakeNode) { n.refuse = 503 })
	wt := w.watch(t)
	w.deploy(t)
	for reason := range map[string]bool{"not now": true, "the node did not answer open": true} {
		w.node.set(func(n *fakeNode) { n.deaf, n.refuse = reason != "not now", 503 })
		for {
			change := receive(t, wt.changes, reason)
			if len(change.Sessions) > 0 && change.Sessions[0].Reason == reason {
				break
			}
		}
	}
	w.node.set(func(n *fakeNode) { n.deaf, n.refuse = false, 0 })
	if change := w.watchUntil(t, wt, "live"); change.Sessions[0].Reason != "" {
		t.Errorf("live with a reason: %v", change)
	}
}

func TestDeployChecksAndIsIdempotent(t *testing.T) {
	w := newWorld(t, "grpc", Limits{Domains: 1})
	w.live(t)
	w.deploy(t)
	for _, c := range []struct {
		domain, stub string
		want         fault.Code
	}{
		{"", stubURL, fault.BadRequest},
		{"a/b", stubURL, fault.BadRequest},
		{"user@b.example", stubURL, fault.BadRequest},
		{"b.example", "", fault.BadRequest},
		{"b.example", "hyperty-runtime://other/r/protostub/b.example", fault.BadRequest},
		{"b.example", runtimeURL + "/protostub/", fault.BadRequest},
		{"b.example", runtimeURL + "/protostub/x", fault.Conflict},
		{"c.example", runtimeURL + "/protostub/c.example", fault.TooMany},
	} {
		if err := w.stub.Deploy(within(t), c.domain, c.stub); fault.CodeOf(err) != c.want {
			t.Errorf("Deploy(%q, %q): %v, want %d", c.domain, c.stub, err, c.want)
		}
	}
	if v := w.metric(t, "sessions", "live"); v != 1 {
		t.Errorf("%v sessions are live", v)
	}
}

func TestNewRefusesBadSettings(t *testing.T) {
	bus, err := rpc.NewMemory().Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	for name, cfg := range map[string]Config{
		"no runtime":    {Bus: bus},
		"no bus":        {RuntimeURL: runtimeURL},
		"a bad domain":  {RuntimeURL: runtimeURL, Bus: bus, Nodes: map[string][]string{"a/b": {"h:1"}}},
		"half a TLS":    {RuntimeURL: runtimeURL, Bus: bus, Security: rpc.Security{CertFile: "x"}},
		"an empty node": {RuntimeURL: runtimeURL, Bus: bus, Nodes: map[string][]string{"a": {""}}},
	} {
		if _, err := New(cfg); fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSlowWatcherIsCut(t *testing.T) {
	w := newWorld(t, "grpc", Limits{WatchQueue: 4, Watchers: 2})
	slow := w.watch(t)
	w.live(t)
	if _, err := w.stub.watch(); fault.CodeOf(err) != fault.TooMany {
		t.Errorf("a third watcher: %v", err)
	}
	for i := range 10 {
		w.stub.changed(&pb.NodeSession{Domain: "b.example", State: "live", Reason: fmt.Sprint(i)}, false)
	}
	n := 0
	for range slow.changes {
		n++
	}
	if n > 4 || fault.CodeOf(slow.why) != fault.TooMany {
		t.Errorf("it read %d changes and ended with %v", n, slow.why)
	}
	if v := w.metric(t, "watchers_cut_total"); v < 1 {
		t.Errorf("%v watchers were cut", v)
	}
}

// logText is a log that can be looked into while it is written.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}
