package olderpeer

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// fakeNode is a Message Node of one domain, as far as these tests need one:
// sessions, subscriptions, allocation, a domain registry, relay (sections 3 to 6).
type fakeNode struct {
	domain string
	url    string

	mu       sync.Mutex
	sessions map[string]*fakeSession          // by token
	holders  map[string]map[*fakeSession]bool // by address
	entries  map[string]any                   // the domain registry
	relayed  []Message                        // what went from one session to another

	events chan string // "open", "re-open", "hold <address>", "<type> <attribute>"
}

type fakeSession struct {
	address string // <runtimeURL>/<token>
	conn    *websocket.Conn
}

func startNode(t *testing.T, domain string) *fakeNode {
	t.Helper()
	n := &fakeNode{
		domain:   domain,
		sessions: map[string]*fakeSession{},
		holders:  map[string]map[*fakeSession]bool{},
		entries:  map[string]any{},
		events:   make(chan string, 1024),
	}
	server := httptest.NewServer(http.HandlerFunc(n.serve))
	t.Cleanup(server.Close)
	n.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/ws"
	return n
}

func (n *fakeNode) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxFrame)
	ctx := context.Background()
	var s *fakeSession
	for {
		m, err := read(ctx, conn)
		if err != nil {
			return
		}
		switch {
		case m.Type == "open" || m.Type == "re-open":
			s = n.open(m, conn)
			token := s.address[strings.LastIndex(s.address, "/")+1:]
			_ = write(ctx, conn, m.Response(200, Body{"runtimeToken": token}))
		case m.Type == "close":
			_ = write(ctx, conn, m.Response(200, nil))
			n.forget(s)
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return
		default:
			n.take(ctx, s, m)
		}
	}
}

func (n *fakeNode) open(m Message, conn *websocket.Conn) *fakeSession {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer func() { n.events <- m.Type }()
	runtimeURL := m.From
	if m.Type == "re-open" {
		if s := n.sessions[m.From]; s != nil {
			s.conn = conn
			return s
		}
		runtimeURL = m.From[:strings.LastIndex(m.From, "/")]
	}
	s := &fakeSession{address: runtimeURL + "/" + rand.Text(), conn: conn}
	n.sessions[s.address] = s
	n.hold(s, runtimeURL+"/sm")
	return s
}

func (n *fakeNode) forget(s *fakeSession) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.sessions, s.address)
	for _, holders := range n.holders {
		delete(holders, s)
	}
}

// lose cuts all sockets; with amnesia the node also forgets the sessions.
func (n *fakeNode) lose(amnesia bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sessions {
		_ = s.conn.CloseNow()
	}
	if amnesia {
		clear(n.sessions)
		clear(n.holders)
	}
}

// hold gives an address to a session; the caller holds mu.
func (n *fakeNode) hold(s *fakeSession, address string) {
	if n.holders[address] == nil {
		n.holders[address] = map[*fakeSession]bool{}
	}
	n.holders[address][s] = true
	n.events <- "hold " + address
}

// await waits for an event.
func (n *fakeNode) await(ctx context.Context, event string) error {
	for {
		select {
		case e := <-n.events:
			if e == event {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("no %q: %w", event, ctx.Err())
		}
	}
}

func (n *fakeNode) take(ctx context.Context, s *fakeSession, m Message) {
	if strings.HasPrefix(m.To, "domain://") {
		_ = write(ctx, s.conn, n.serviceFor(s, m))
		return
	}
	n.relay(ctx, s, m)
}

func (n *fakeNode) serviceFor(s *fakeSession, m Message) Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case m.To == "domain://msg-node."+n.domain+"/sm" && m.Type == "subscribe":
		for _, field := range []string{"subscribe", "resources"} {
			list, _ := m.Body[field].([]any)
			for _, address := range list {
				n.hold(s, address.(string))
			}
		}
		return m.Response(200, nil)
	case m.To == "domain://msg-node."+n.domain+"/hyperty-address-allocation":
		url := "hyperty://" + n.domain + "/" + rand.Text()
		n.hold(s, url)
		return m.Response(200, Body{"value": Body{"allocated": []string{url}}})
	case m.To == "domain://registry."+n.domain && m.Type == "create":
		n.entries[stringAt(m.Body, "value", "url")] = m.Body["value"]
		return m.Response(200, nil)
	case m.To == "domain://registry."+n.domain && m.Type == "read":
		if entry := n.entries[stringAt(m.Body, "resource")]; entry != nil {
			return m.Response(200, Body{"value": entry})
		}
	}
	return m.Response(404, Body{"desc": "not found"})
}

func (n *fakeNode) relay(ctx context.Context, from *fakeSession, m Message) {
	n.mu.Lock()
	receivers := make([]*fakeSession, 0, 1)
	for s := range n.holders[m.To] {
		receivers = append(receivers, s)
	}
	n.relayed = append(n.relayed, m.with("via", m.Body["via"]))
	n.events <- m.Type + " " + stringAt(m.Body, "attribute")
	n.mu.Unlock()
	if len(receivers) == 0 && m.Type != "response" {
		_ = write(ctx, from.conn, m.Response(404, Body{"desc": "nobody has " + m.To}))
	}
	for _, s := range receivers {
		if s != from {
			delete(m.Body, "via")
		}
		_ = write(ctx, s.conn, m)
	}
}

// find returns what was relayed of a type to an address with this suffix.
func (n *fakeNode) find(kind, suffix string) []Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(n.relayed), func(m Message) bool {
		return m.Type != kind || !strings.HasSuffix(m.To, suffix)
	})
}
