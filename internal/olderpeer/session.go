package olderpeer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const sessionService = "mn:/session"

// session is the session with one Message Node (section 3). A lost socket is
// re-opened; when the node has forgotten the session, what was subscribed is
// subscribed again.
type session struct {
	peer   *Peer
	url    string        // of the node's WebSocket
	opened chan struct{} // closed when open has ended
	ended  chan struct{} // closed when the reader has ended

	mu            sync.Mutex
	err           error // why open failed
	conn          *websocket.Conn
	token         string
	closing       bool
	subscriptions []Message // to be repeated in a new session
}

// session returns the open session with the node of a domain. It opens it at the
// first use.
func (p *Peer) session(ctx context.Context, domain string) (*session, error) {
	if domain == "" {
		domain = domainOf(p.config.RuntimeURL)
	}
	url := p.config.Nodes[domain]
	if url == "" {
		return nil, fmt.Errorf("no Message Node is configured for the domain %q", domain)
	}
	p.mu.Lock()
	s := p.sessions[domain]
	first := s == nil
	if first {
		s = &session{peer: p, url: url, opened: make(chan struct{}), ended: make(chan struct{})}
		p.sessions[domain] = s
	}
	p.mu.Unlock()
	if first {
		s.open(ctx, domain)
	}
	select {
	case <-s.opened:
		return s, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open opens the session and starts its reader; after an error the next use tries
// anew.
func (s *session) open(ctx context.Context, domain string) {
	defer close(s.opened)
	conn, err := s.connect(ctx)
	if err == nil && !s.peer.spawn(func(ctx context.Context) { s.run(ctx, conn) }) {
		_ = conn.CloseNow()
		err = errClosed
	}
	if err == nil {
		return
	}
	s.err = fmt.Errorf("open the session with %s: %w", domain, err)
	close(s.ended)
	s.peer.mu.Lock()
	delete(s.peer.sessions, domain)
	s.peer.mu.Unlock()
}

// connect dials and sends open, or re-open if there was a session before.
func (s *session) connect(ctx context.Context) (*websocket.Conn, error) {
	conn, _, err := websocket.Dial(ctx, s.url, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxFrame)
	if err := s.handshake(ctx, conn); err != nil {
		_ = conn.CloseNow()
		return nil, err
	}
	return conn, nil
}

func (s *session) handshake(ctx context.Context, conn *websocket.Conn) error {
	request := Message{ID: s.peer.number(), Type: "open", From: s.peer.config.RuntimeURL, To: sessionService}
	if s.address() != "" {
		request.Type, request.From = "re-open", s.address()
	}
	if err := write(ctx, conn, request); err != nil {
		return err
	}
	for {
		m, err := read(ctx, conn)
		if err != nil {
			return err
		}
		if m.Type != "response" || m.From != sessionService || string(m.ID) != string(request.ID) {
			s.receive(m)
			continue
		}
		if m.Code() != 200 {
			return fmt.Errorf("%s is refused: %d %s", request.Type, m.Code(), m.Reason())
		}
		s.adopt(conn, stringAt(m.Body, "runtimeToken"))
		return nil
	}
}

// adopt takes the socket into use. A new token means that the node knows nothing of
// what was subscribed.
func (s *session) adopt(conn *websocket.Conn, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	if token == "" || token == s.token {
		return
	}
	s.token = token
	for _, m := range s.subscriptions {
		s.peer.spawn(func(ctx context.Context) { _, _ = s.peer.request(ctx, m, s.send) })
	}
}

// run reads until the session is closed, over as many sockets as that takes.
func (s *session) run(ctx context.Context, conn *websocket.Conn) {
	defer close(s.ended)
	for conn != nil {
		s.readAll(ctx, conn)
		_ = conn.CloseNow()
		conn = s.reconnect(ctx)
	}
}

func (s *session) readAll(ctx context.Context, conn *websocket.Conn) {
	for {
		m, err := read(ctx, conn)
		var malformed *malformedError
		switch {
		case errors.As(err, &malformed):
			s.peer.violate("a frame of the Message Node: %v", err)
		case err != nil:
			return
		default:
			s.receive(m)
		}
	}
}

// reconnect returns nil when the session is over.
func (s *session) reconnect(ctx context.Context) *websocket.Conn {
	for {
		s.mu.Lock()
		over := s.closing
		s.mu.Unlock()
		if over || ctx.Err() != nil {
			return nil
		}
		if conn, err := s.connect(ctx); err == nil {
			return conn
		}
		select {
		case <-time.After(redialAfter):
		case <-ctx.Done():
		}
	}
}

// receive drops what this session itself has sent and hands over the rest.
func (s *session) receive(m Message) {
	if via := stringAt(m.Body, "via"); via != "" && via == s.address() {
		return
	}
	m.Path = Node
	s.peer.receive(m)
}

// address is <runtimeURL>/<token>, empty before the session is open.
func (s *session) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" {
		return ""
	}
	return s.peer.config.RuntimeURL + "/" + s.token
}

// send writes a message with the session's address in via, as older stubs do.
func (s *session) send(ctx context.Context, m Message) error {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	return write(ctx, conn, m.with("via", s.address()))
}

// subscribe is a request that is repeated should the node forget the session.
func (s *session) subscribe(ctx context.Context, m Message) error {
	answer, err := s.peer.request(ctx, m, s.send)
	if err != nil {
		return err
	}
	if answer.Code() != 200 {
		return fmt.Errorf("subscribe %v: %d %s", m.Body, answer.Code(), answer.Reason())
	}
	s.mu.Lock()
	s.subscriptions = append(s.subscriptions, m)
	s.mu.Unlock()
	return nil
}

// close ends the session with a close message; the node closes the socket.
func (s *session) close() {
	<-s.opened
	s.mu.Lock()
	conn := s.conn
	s.closing = true
	s.mu.Unlock()
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	request := Message{ID: s.peer.number(), Type: "close", From: s.address(), To: sessionService}
	if write(ctx, conn, request) != nil {
		return
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
	}
}

func write(ctx context.Context, conn *websocket.Conn, m Message) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the message: %w", err)
	}
	return conn.Write(ctx, websocket.MessageText, data)
}

// malformedError is a frame that is no message; the socket is none the worse.
type malformedError struct{ err error }

func (e *malformedError) Error() string { return "no message: " + e.err.Error() }

func read(ctx context.Context, conn *websocket.Conn) (Message, error) {
	kind, data, err := conn.Read(ctx)
	if err != nil {
		return Message{}, err
	}
	var m Message
	if kind != websocket.MessageText {
		return m, &malformedError{errors.New("a binary frame")}
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, &malformedError{err}
	}
	return m, nil
}
