package olderpeer

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	runtimeA = "hyperty-runtime://a.example/1"
	runtimeB = "runtime://b.example/2"
)

// world is two domains with a peer each.
type world struct {
	t            *testing.T
	ctx          context.Context
	nodeA, nodeB *fakeNode
	a, b         *Peer
}

// newWorld starts both peers; variant sets how old they are.
func newWorld(t *testing.T, variantA, variantB Config) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, nodeA: startNode(t, "a.example"), nodeB: startNode(t, "b.example")}
	w.a = w.start(runtimeA, variantA)
	w.b = w.start(runtimeB, variantB)
	return w
}

func (w *world) start(runtimeURL string, c Config) *Peer {
	w.t.Helper()
	c.RuntimeURL = runtimeURL
	c.Nodes = map[string]string{"a.example": w.nodeA.url, "b.example": w.nodeB.url}
	p, err := Start(w.ctx, c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	return p
}

func (w *world) connect() {
	w.t.Helper()
	w.must(w.a.Connect(w.ctx, runtimeB, w.b.HandlerURL()))
	w.must(w.b.WaitLive(w.ctx, runtimeA))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\nA: %q\nB: %q", err, w.a.Violations(), w.b.Violations())
	}
}

func (w *world) next(p *Peer) Message {
	w.t.Helper()
	select {
	case m := <-p.Messages():
		return m
	case <-w.ctx.Done():
		w.t.Fatalf("no message came: A %q, B %q", w.a.Violations(), w.b.Violations())
		return Message{}
	}
}

func (w *world) clean() {
	w.t.Helper()
	for _, p := range []*Peer{w.a, w.b} {
		if v := p.Violations(); len(v) > 0 {
			w.t.Errorf("%s saw %q", p.RuntimeURL(), v)
		}
	}
}

func event(to string, value any) Message {
	return Message{Type: "event", From: "hyperty://a.example/x", To: to, Body: Body{"value": value}}
}

func TestBothRolesInEveryVariant(t *testing.T) {
	variants := map[string]Config{
		"usual":                   {},
		"empty invitation":        {EmptyInvitation: true},
		"requester below runtime": {RequesterBelowRuntime: true},
	}
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, variant, variant)
			w.connect()
			w.must(w.a.SendOver(w.ctx, runtimeB, event("hyperty://b.example/y", "hello")))
			m := w.next(w.b)
			if m.Path != Channel || m.Body["value"] != "hello" || m.Body["peer"] != runtimeB {
				t.Errorf("B received %+v", m)
			}
			w.must(w.b.SendOver(w.ctx, runtimeA, event("hyperty://a.example/x", "hi")))
			if m := w.next(w.a); m.Path != Channel || m.Body["value"] != "hi" {
				t.Errorf("A received %+v", m)
			}
			w.clean()
		})
	}
}

func TestInvitationsPrecedeDescriptions(t *testing.T) {
	w := newWorld(t, Config{}, Config{EmptyInvitation: true})
	w.connect()
	offers := w.nodeB.find("create", w.b.HandlerURL())
	if len(offers) != 1 || at(offers[0].Body, "value", "data") == nil ||
		at(offers[0].Body, "value", "data", "connectionDescription") != nil {
		t.Errorf("A invited with %v", offers)
	}
	var requester string
	for _, s := range w.a.Statuses() {
		requester = s.From
	}
	if !strings.HasPrefix(requester, "runtime://b.example/p2prequester/") {
		t.Errorf("the requester is %s", requester)
	}
	answers := w.nodeB.find("create", requester)
	if len(answers) != 1 || at(answers[0].Body, "value", "data") != nil {
		t.Errorf("B invited with %v", answers)
	}
	if via := stringAt(offers[0].Body, "via"); via != "" && !strings.HasPrefix(via, runtimeA+"/") {
		t.Errorf("via is %q", via)
	}
}

func TestStatusesAreUpdatesInOrder(t *testing.T) {
	w := newWorld(t, Config{}, Config{})
	w.connect()
	for _, p := range []*Peer{w.a, w.b} {
		var got []string
		for _, m := range p.Statuses() {
			got = append(got, m.Type+" "+stringAt(m.Body, "value"))
		}
		if want := "[update create update in-progress update live]"; want != "["+strings.Join(got, " ")+"]" {
			t.Errorf("%s published %q", p.RuntimeURL(), got)
		}
	}
}

func TestCandidatesTrickle(t *testing.T) {
	w := newWorld(t, Config{}, Config{})
	w.connect()
	updates := w.nodeA.find("update", "/changes")
	if len(updates) == 0 {
		t.Fatal("A sent no update")
	}
	first := updates[0].Body
	if first["attribute"] != "iceCandidates.0" || first["attributeType"] != "array" || first["operation"] != "add" ||
		first["version"] != 2.0 || stringAt(first, "value", "type") != "candidate" {
		t.Errorf("the first update is %v", first)
	}
}

func TestRequestOverBothPaths(t *testing.T) {
	w := newWorld(t, Config{}, Config{})
	urls, err := w.b.Register(w.ctx)
	w.must(err)
	remote, handler, err := w.a.Lookup(w.ctx, urls[0])
	w.must(err)
	if remote != runtimeB || handler != w.b.HandlerURL() {
		t.Fatalf("the domain registry says %s, %s", remote, handler)
	}
	_, err = w.a.Register(w.ctx, "hyperty://a.example/x")
	w.must(err)
	w.connect()

	request := Message{Type: "read", From: "hyperty://a.example/x", To: urls[0], Body: Body{"value": "?"}}
	serve := func(path Path, send func(Message) error) {
		m := w.next(w.b)
		if m.Path != path {
			t.Errorf("the request came over the %s, not the %s", m.Path, path)
		}
		w.must(send(m.Response(100, nil)))
		w.must(send(m.Response(200, Body{"value": "!"})))
	}
	ask := func(f func() (Message, error)) chan Message {
		answers := make(chan Message, 1)
		go func() {
			answer, err := f()
			if err != nil {
				t.Error(err)
			}
			answers <- answer
		}()
		return answers
	}

	overNode := ask(func() (Message, error) { return w.a.Request(w.ctx, request) })
	serve(Node, func(m Message) error { return w.b.Send(w.ctx, m) })
	overChannel := ask(func() (Message, error) { return w.a.RequestOver(w.ctx, runtimeB, request) })
	serve(Channel, func(m Message) error { return w.b.SendOver(w.ctx, runtimeA, m) })
	for _, answers := range []chan Message{overNode, overChannel} {
		if answer := <-answers; answer.Code() != 200 || answer.Body["value"] != "!" {
			t.Errorf("the answer is %+v", answer)
		}
	}
	w.clean()
}

func TestLargeBinary(t *testing.T) {
	w := newWorld(t, Config{PacketIDLength: 12}, Config{PacketIDLength: 12})
	w.connect()
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	content = append(content, 'x')
	for _, to := range []struct {
		from, to *Peer
		runtime  string
	}{{w.a, w.b, runtimeB}, {w.b, w.a, runtimeA}} {
		m := event("hyperty://x/y", Body{"mimetype": "image/png", "content": content, "name": "p"})
		w.must(to.from.SendOver(w.ctx, to.runtime, m))
		got := w.next(to.to)
		if received, _ := at(got.Body, "value", "content").([]byte); !bytes.Equal(received, content) {
			t.Errorf("%d of %d bytes came", len(received), len(content))
		}
		if stringAt(got.Body, "value", "name") != "p" {
			t.Errorf("the message is %v", got.Body["value"])
		}
	}
	w.clean()
}

func TestBinaryUnderAnotherUUIDIsAViolation(t *testing.T) {
	w := newWorld(t, Config{PacketIDLength: 9}, Config{})
	w.connect()
	m := event("hyperty://b.example/y", Body{"mimetype": "image/png", "content": []byte("content")})
	w.must(w.a.SendOver(w.ctx, runtimeB, m))
	w.must(w.a.SendOver(w.ctx, runtimeB, event("hyperty://b.example/y", "after")))
	w.next(w.b)
	wantViolation(t, w.b, "uuid of 9 characters")
}

func TestLargeText(t *testing.T) {
	w := newWorld(t, Config{}, Config{})
	w.connect()
	long := strings.Repeat("ä€", 10000) // 50 KB, in one packet where it is no content
	w.must(w.a.SendOver(w.ctx, runtimeB, event("hyperty://b.example/y", Body{"text": long})))
	if m := w.next(w.b); stringAt(m.Body, "value", "text") != long {
		t.Error("the text came changed")
	}
	w.clean()
	// As content it is split, which an older receiver does not understand.
	m := event("hyperty://b.example/y", Body{"mimetype": "text/plain", "content": long})
	w.must(w.a.SendOver(w.ctx, runtimeB, m))
	w.must(w.a.SendOver(w.ctx, runtimeB, event("hyperty://b.example/y", "after")))
	if m := w.next(w.b); m.Body["value"] != "after" {
		t.Errorf("B received %v", m)
	}
	wantViolation(t, w.b, "text split into packets")
}

func TestDisconnectEndsBothSides(t *testing.T) {
	w := newWorld(t, Config{}, Config{})
	for range 2 { // and again, with a new connection
		w.connect()
		w.must(w.b.Disconnect(runtimeA))
		w.must(w.a.Wait(w.ctx, runtimeB, StatusDisconnected))
		w.must(w.b.Wait(w.ctx, runtimeA, StatusDisconnected))
	}
	if deletes := append(w.nodeA.find("delete", ""), w.nodeB.find("delete", "")...); len(deletes) > 0 {
		t.Errorf("an older stub deletes nothing: %v", deletes)
	}
	w.clean()
}

func TestGlareRefusesNobody(t *testing.T) {
	w := newWorld(t, Config{}, Config{})
	errs := make(chan error, 2)
	go func() { errs <- w.a.Connect(w.ctx, runtimeB, w.b.HandlerURL()) }()
	go func() { errs <- w.b.Connect(w.ctx, runtimeA, w.a.HandlerURL()) }()
	w.must(<-errs)
	w.must(<-errs)
	w.clean()
}

func TestObservedUpdatesGoIntoTheChannel(t *testing.T) {
	w := newWorld(t, Config{}, Config{})
	w.connect()
	c, err := w.a.live(runtimeB)
	w.must(err)
	c.mu.Lock()
	own := c.own
	c.own = "" // or A would drop what is of its own object
	c.mu.Unlock()
	w.must(w.a.Send(w.ctx, Message{Type: "update", From: strings.TrimSuffix(own, "/changes"), To: own, Body: Body{"version": 0}}))
	for m := w.next(w.a); numberAt(m.Body, "version") != 0; m = w.next(w.a) {
		if m.To != own || m.Path != Channel {
			t.Errorf("A received %+v", m)
		}
	}
}

func TestOwnUpdatesFromTheChannelAreDropped(t *testing.T) {
	w := newWorld(t, Config{}, Config{})
	w.connect()
	c, err := w.a.live(runtimeB)
	w.must(err)
	w.must(w.b.SendOver(w.ctx, runtimeA, Message{Type: "update", From: "connection://a.example/1", To: c.own}))
	w.must(w.b.SendOver(w.ctx, runtimeA, Message{Type: "delete", From: w.b.HandlerURL(), To: c.stub}))
	w.must(w.b.SendOver(w.ctx, runtimeA, event("hyperty://a.example/x", "after")))
	if m := w.next(w.a); m.Body["value"] != "after" {
		t.Errorf("A received %v", m)
	}
}

// A handler of ours that stands in for a newer peer: it takes the invitation and
// subscribes in a way that an older reporter does not bear.
func TestSubscriptionsThatStopAReporter(t *testing.T) {
	for name, c := range map[string]struct {
		body      Body
		violation string
	}{
		"empty identity": {Body{"subscriber": "x", "identity": Body{}}, "without a userProfile"},
		"no subscriber":  {Body{"source": "x"}, "names no subscriber"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{}, Config{})
			_, err := w.b.Register(w.ctx, "hyperty://b.example/handler")
			w.must(err)
			result := make(chan error, 1)
			go func() { result <- w.a.Connect(w.ctx, runtimeB, "hyperty://b.example/handler") }()
			invitation := w.next(w.b)
			w.must(w.b.Send(w.ctx, Message{Type: "subscribe", From: "hyperty://b.example/handler", To: invitation.From, Body: c.body}))
			if err := <-result; err == nil || !strings.Contains(err.Error(), c.violation) {
				t.Errorf("Connect returned %v", err)
			}
			wantViolation(t, w.a, c.violation)
		})
	}
}

func TestDescriptionInUpdatesIsNotForOlderPeers(t *testing.T) {
	t.Run("offer", func(t *testing.T) {
		w := newWorld(t, Config{DescriptionInUpdates: true}, Config{})
		go func() { _ = w.a.Connect(w.ctx, runtimeB, w.b.HandlerURL()) }()
		w.must(w.b.Wait(w.ctx, runtimeA, StatusFailed))
		wantViolation(t, w.b, "no offer in the answer")
	})
	t.Run("answer", func(t *testing.T) {
		w := newWorld(t, Config{}, Config{DescriptionInUpdates: true})
		if err := w.a.Connect(w.ctx, runtimeB, w.b.HandlerURL()); err == nil {
			t.Error("A took an answer in pieces")
		}
		wantViolation(t, w.a, "connectionDescription.sdp")
		w.must(w.nodeB.await(w.ctx, "update connectionDescription.type"))
		updates := w.nodeB.find("update", "/changes")
		if len(updates) < 2 || updates[0].Body["attribute"] != "connectionDescription.sdp" ||
			updates[1].Body["attribute"] != "connectionDescription.type" || updates[1].Body["value"] != "answer" {
			t.Errorf("B's updates are %v", updates)
		}
	})
}

func TestConnectToNobodyFails(t *testing.T) {
	w := newWorld(t, Config{}, Config{})
	err := w.a.Connect(w.ctx, runtimeB, runtimeB+"/p2phandler/none")
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("Connect returned %v", err)
	}
	w.clean()
}

func TestLostSocketIsReopened(t *testing.T) {
	const url = "hyperty://b.example/y"
	for name, expect := range map[string]struct {
		amnesia bool
		event   string
	}{
		"known":     {false, "re-open"},
		"forgotten": {true, "hold " + url},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{}, Config{})
			_, err := w.b.Register(w.ctx, url)
			w.must(err)
			w.must(w.nodeB.await(w.ctx, "hold "+url))
			w.nodeB.lose(expect.amnesia)
			w.must(w.nodeB.await(w.ctx, expect.event))
			w.must(w.a.Send(w.ctx, event(url, "again")))
			if m := w.next(w.b); m.Path != Node || m.Body["value"] != "again" {
				t.Errorf("B received %+v", m)
			}
		})
	}
}

func TestOlderPeersAreDeafBelowTheirRuntime(t *testing.T) {
	w := newWorld(t, Config{}, Config{})
	w.connect()
	for _, to := range []string{"/registry", "/registry/", "/p2pconnection/1"} {
		m := Message{Type: "subscribe", From: runtimeA + "/registry", To: runtimeB + to}
		w.must(w.a.SendOver(w.ctx, runtimeB, m))
	}
	w.must(w.a.SendOver(w.ctx, runtimeB, event("hyperty://b.example/y", "after")))
	if m := w.next(w.b); m.Body["value"] != "after" {
		t.Errorf("B received %v", m)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]Config{
		"no runtime": {},
		"no node":    {RuntimeURL: runtimeA, Nodes: map[string]string{"b.example": "ws://x"}},
		"uuid":       {RuntimeURL: runtimeA, Nodes: map[string]string{"a.example": "ws://x"}, PacketIDLength: -1},
	} {
		if p, err := Start(context.Background(), c); err == nil {
			p.Close()
			t.Errorf("%s: Start took %+v", name, c)
		}
	}
}

// The double is worth nothing if it shares code with what it is used against.
func TestImportsNothingOfOurs(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if strings.HasPrefix(path, "github.com/peerbus/") {
				t.Errorf("%s imports %s", file.Name(), path)
			}
		}
	}
}

func wantViolation(t *testing.T, p *Peer, text string) {
	t.Helper()
	for _, v := range p.Violations() {
		if strings.Contains(v, text) {
			return
		}
	}
	t.Errorf("%s saw %q, nothing of %q", p.RuntimeURL(), p.Violations(), text)
}
