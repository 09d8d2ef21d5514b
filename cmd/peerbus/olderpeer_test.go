package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/olderpeer"
	"github.com/peerbus/peerbus/protocol/message"
)

// meeting is a runtime of ours and an older peer in one domain, with a hyperty
// each.
type meeting struct {
	bob      *local.Runtime
	handler  string // Bob's handler stub
	bobURL   string
	older    *olderpeer.Peer
	olderURL string
	in       *inbox // what comes to Bob
}

func meet(t *testing.T, cfg olderpeer.Config) *meeting {
	t.Helper()
	ctx := testContext(t)
	system := newSystem(t)
	node := startNode(t, system)
	m := &meeting{bob: startRuntime(t, system, "bob", local.AllInOne, []*local.Node{node})}
	ready(t, m.bob)
	about, err := pb.NewRegistryClient(m.bob.Registry).GetRuntime(ctx, &pb.GetRuntimeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	m.handler = about.P2PHandlerUrl
	m.bobURL = register(t, m.bob, "bob")
	m.in = listen(t, m.bob, m.bobURL)

	cfg.RuntimeURL = "runtime://example.org/older"
	cfg.Nodes = map[string]string{"example.org": "ws://" + node.HTTPAddr + "/ws"}
	if m.older, err = olderpeer.Start(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.older.Close)
	urls, err := m.older.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m.olderURL = urls[0]
	return m
}

// An older peer sets up a connection with us, in both roles, and exchanges
// small, large text and large binary messages: JSON over the Message Node's
// WebSocket, and the older framing on its data channel.
func TestOlderPeer(t *testing.T) {
	t.Parallel()
	variants := map[string]olderpeer.Config{
		"as most are":             {},
		"description in updates":  {DescriptionInUpdates: true},
		"invitation without data": {EmptyInvitation: true, DescriptionInUpdates: true},
		"requester below runtime": {RequesterBelowRuntime: true, PacketIDLength: 8},
		"uuids of 13 characters":  {PacketIDLength: 13},
	}
	for name, cfg := range variants {
		t.Run("it starts/"+name, func(t *testing.T) {
			m := meet(t, cfg)
			if err := m.older.Connect(testContext(t), m.bob.URL, m.handler); err != nil {
				t.Fatalf("%v; violations: %v", err, m.older.Violations())
			}
			m.exchange(t)
		})
	}
	t.Run("we start", func(t *testing.T) {
		m := meet(t, olderpeer.Config{})
		post(t, m.bob, pingOf(m.bobURL, m.olderURL, 0))
		if first := m.receive(t); first.Path != olderpeer.Node {
			t.Errorf("the first message came by %v", first.Path)
		}
		if err := m.older.WaitLive(testContext(t), m.bob.URL); err != nil {
			t.Fatalf("%v; violations: %v", err, m.older.Violations())
		}
		m.exchange(t)
	})
}

func (m *meeting) receive(t *testing.T) olderpeer.Message {
	t.Helper()
	select {
	case got := <-m.older.Messages():
		return got
	case <-testContext(t).Done():
		t.Fatal("nothing came to the older peer")
		return olderpeer.Message{}
	}
}

// exchange sends messages of every kind both ways over the data channel.
func (m *meeting) exchange(t *testing.T) {
	t.Helper()
	waitConnection(t, m.bob, m.older.RuntimeURL(), live)
	m.settle(t)
	text := strings.Repeat("wörter ", 9000) // some 70 KB in UTF-8
	binary := bytes.Repeat([]byte{0, 1, 2, 254, 255}, 60_000)
	m.toUs(t, olderpeer.Body{"value": map[string]any{"n": 1}}, nil)
	m.toUs(t, olderpeer.Body{"value": map[string]any{"mimetype": "text/plain", "content": text}}, nil)
	m.toUs(t, olderpeer.Body{"value": map[string]any{"mimetype": "image/png", "content": binary}}, binary)

	m.toThem(t, &pb.Message{Body: []byte(`{"value":{"n":2}}`)}, map[string]any{"n": 2.0})
	traced := &pb.Trace{Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Record: true}
	m.toThem(t, &pb.Message{Body: []byte(`{"value":{"n":3}}`), Trace: traced}, map[string]any{"n": 3.0})
	short := text[:30_000] // what fits into one packet
	m.toThem(t, &pb.Message{Body: message.MarshalBody(map[string]any{"value": map[string]string{"mimetype": "text/plain", "content": short}})},
		map[string]any{"mimetype": "text/plain", "content": short})
	m.toThem(t, &pb.Message{Body: []byte(`{"value":{"name":"x"}}`), Resource: &pb.Resource{Content: binary, MimeType: "image/png"}},
		map[string]any{"name": "x", "mimetype": "image/png", "content": binary})

	if v := m.older.Violations(); len(v) > 0 {
		t.Errorf("what would have stopped an older peer: %v", v)
	}
}

// settle waits until Bob's messages take the channel.
func (m *meeting) settle(t *testing.T) {
	t.Helper()
	for ctx := testContext(t); ; {
		post(t, m.bob, pingOf(m.bobURL, m.olderURL, -1))
		if m.receive(t).Path == olderpeer.Channel {
			return
		}
		if !pause(ctx) {
			t.Fatal("no message takes the channel")
		}
	}
}

func (m *meeting) toUs(t *testing.T, body olderpeer.Body, binary []byte) {
	t.Helper()
	sent := olderpeer.Message{Type: "create", From: m.olderURL, To: m.bobURL, Body: body}
	if err := m.older.SendOver(testContext(t), m.bob.URL, sent); err != nil {
		t.Fatal(err)
	}
	got := m.in.next()
	for got.Type == message.Response { // how far a long one has come
		if code, _ := message.Result(got); code != 183 {
			t.Fatalf("%v", got)
		}
		got = m.in.next()
	}
	if pathOf(got) != direct {
		t.Errorf("it came over the %s", pathOf(got))
	}
	if binary != nil {
		if r := got.Resource; r == nil || !bytes.Equal(r.Content, binary) || r.MimeType != "image/png" {
			t.Errorf("the resource came as %d bytes of %s", len(r.GetContent()), r.GetMimeType())
		}
		return
	}
	want, _ := json.Marshal(body["value"])
	var have struct{ Value map[string]any }
	if err := json.Unmarshal(got.Body, &have); err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(have.Value); !bytes.Equal(text, want) {
		t.Errorf("%.80s… came as %.80s…", want, text)
	}
}

func (m *meeting) toThem(t *testing.T, sent *pb.Message, want map[string]any) {
	t.Helper()
	sent.Type, sent.From, sent.To = "create", m.bobURL, m.olderURL
	post(t, m.bob, sent)
	got := m.receive(t)
	if got.Path != olderpeer.Channel {
		t.Errorf("it came by %v", got.Path)
	}
	if have := fmt.Sprint(got.Body["value"]); have != fmt.Sprint(want) {
		t.Errorf("%.80s… came as %.80s…", fmt.Sprint(want), have)
	}
}

// An older peer only closes the channel: the entry becomes disconnected, and
// messages go on over the Message Node.
func TestOlderPeerCloses(t *testing.T) {
	m := meet(t, olderpeer.Config{})
	if err := m.older.Connect(testContext(t), m.bob.URL, m.handler); err != nil {
		t.Fatal(err)
	}
	waitConnection(t, m.bob, m.older.RuntimeURL(), live)
	if err := m.older.Disconnect(m.bob.URL); err != nil {
		t.Fatal(err)
	}
	waitConnection(t, m.bob, m.older.RuntimeURL(), func(c *pb.Connection) bool { return !live(c) })
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	for {
		post(t, m.bob, pingOf(m.bobURL, m.olderURL, 1))
		if m.receive(t).Body["value"] == 1.0 {
			return
		}
		if !pause(ctx) {
			t.Fatal("no message comes any more")
		}
	}
}
