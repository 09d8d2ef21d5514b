package gateway

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// socket is one WebSocket: an attachment to the bus, with JSON text frames.
//
//	{"op":"listen","address":A,"ref":1}          → {"op":"outcome","ref":1,"code":200}
//	{"op":"post","message":{…},"wait":W,"ref":2} → {"op":"outcome","ref":2,"code":200}
//	{"op":"unlisten","address":A,"ref":3}        → {"op":"outcome","ref":3,"code":200}
//	what comes                                   → {"op":"message","address":A,"delivery":7,"message":{…}}
//	{"op":"ack","delivery":7}                      for a listener with "ack":true
//
// The first frame is {"op":"welcome","runtime_url":…}. A frame that is not understood
// is answered with op "error", and the socket goes on. When the gateway stops it closes
// the socket with 1001 (going away).
//
// One goroutine reads, those of the handlers and of the posts write, each a whole
// frame. What a handler has written is dealt with; with "ack", what the client says.
type socket struct {
	g    *Gateway
	conn *websocket.Conn
	raw  net.Conn // below conn
	bus  *client.Bus
	ctx  context.Context
	end  context.CancelFunc

	posts chan struct{} // a place for each that is under way
	calls sync.WaitGroup

	mu        sync.Mutex
	listeners map[string]*client.Listener
	delivery  uint64                   // number of the last one
	waiting   map[uint64]chan struct{} // for acks; closed then
}

// serveWebSocket is GET /ws.
func (g *Gateway) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	if err := g.openSocket(w, r); err != nil {
		writeError(w, err)
	}
}

// openSocket gives an error when nothing has been sent yet.
func (g *Gateway) openSocket(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	if err := checkHandshake(r); err != nil {
		w.Header().Set("Upgrade", "websocket")
		return err
	}
	ctx, over, err := g.begin(r.Context())
	if err != nil {
		return err
	}
	defer over()
	leave, err := g.enter()
	if err != nil {
		return err
	}
	defer leave()
	bus, err := client.New(client.Config{Conn: g.cfg.Bus, Name: "websocket", Log: g.log})
	if err != nil {
		return err
	}
	below := &hijacker{ResponseWriter: w}
	// guard has looked at the origin.
	conn, err := websocket.Accept(below, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return nil // Accept has answered
	}
	conn.SetReadLimit(g.limits.Body)
	ctx, cancel := context.WithCancel(ctx)
	s := &socket{
		g: g, conn: conn, raw: below.conn, bus: bus, ctx: ctx, end: cancel,
		posts:     make(chan struct{}, g.limits.Posts),
		listeners: map[string]*client.Listener{}, waiting: map[uint64]chan struct{}{},
	}
	s.run()
	return nil
}

// enter counts a socket.
func (g *Gateway) enter() (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sockets >= g.limits.Sockets {
		return nil, fault.New(fault.TooMany, "there are %d sockets, which is the bound", g.sockets)
	}
	g.sockets++
	return func() {
		g.mu.Lock()
		g.sockets--
		g.mu.Unlock()
	}, nil
}

// run serves until the client or the gateway ends.
func (s *socket) run() {
	var parts sync.WaitGroup
	parts.Go(func() { _ = s.bus.Run(s.ctx) })
	parts.Go(s.probe)
	parts.Go(s.goodbye)
	if s.welcome() == nil {
		s.read()
	}
	s.end()
	s.calls.Wait()
	parts.Wait()
}

// goodbye closes the socket once it is over: in order, if the client still answers.
func (s *socket) goodbye() {
	<-s.ctx.Done()
	late := time.AfterFunc(s.g.limits.Goodbye, func() { _ = s.raw.Close() })
	defer late.Stop()
	_ = s.conn.Close(websocket.StatusGoingAway, "the gateway has ended this")
	_ = s.raw.Close()
}

func (s *socket) welcome() error {
	ctx, cancel := context.WithTimeout(s.ctx, s.g.limits.Call)
	defer cancel()
	url, err := s.bus.Ready(ctx)
	if err != nil {
		_ = s.write(outcomeOf(opError, nil, nil, err))
		return err
	}
	return s.write(answer{Op: opWelcome, RuntimeURL: url})
}

// probe ends a socket whose client does not answer any more.
func (s *socket) probe() {
	tick := time.NewTicker(s.g.limits.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		ctx, cancel := s.writing()
		err := s.conn.Ping(ctx)
		cancel()
		if err != nil {
			s.end()
			return
		}
	}
}

func (s *socket) read() {
	for {
		kind, frame, err := s.conn.Read(context.WithoutCancel(s.ctx)) // ended by goodbye
		if err != nil {
			return
		}
		if kind != websocket.MessageText {
			err := fault.New(fault.BadRequest, "frame is binary: want JSON as text").In("frame")
			if s.write(outcomeOf(opError, nil, nil, err)) != nil {
				return
			}
			continue
		}
		if !s.handle(frame) {
			return
		}
	}
}

// handle does what a frame says. Posts are handed over in the order of their frames,
// unless they have keys, and waited for beside one another.
func (s *socket) handle(frame []byte) bool {
	r, err := parseRequest(frame)
	if err != nil {
		op := opOutcome
		if r.Ref == nil {
			op = opError
		}
		return s.write(outcomeOf(op, r.Ref, nil, err)) == nil
	}
	switch r.Op {
	case opListen:
		err = s.listen(r)
	case opUnlisten:
		err = s.unlisten(r.Address)
	case opAck:
		s.ack(r.Delivery)
		return true
	case opPost:
		return s.post(r)
	}
	return s.write(outcomeOf(opOutcome, r.Ref, nil, err)) == nil
}

// writing is the context of a write. It does not end with the socket, as the connection
// would be torn down then: goodbye ends it in order.
func (s *socket) writing() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(s.ctx), s.g.limits.Write)
}

func (s *socket) write(a answer) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	ctx, cancel := s.writing()
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, text); err != nil {
		s.end()
		return err
	}
	return nil
}

func (s *socket) listen(r request) error {
	s.mu.Lock()
	full := len(s.listeners) >= s.g.limits.Addresses
	s.mu.Unlock()
	if full {
		return fault.New(fault.TooMany, "a socket listens to %d addresses at most", s.g.limits.Addresses).In("address")
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.g.limits.Call)
	defer cancel()
	var opts []client.ListenOption
	if r.Ack {
		opts = append(opts, client.Window(oneAtATime))
	}
	l, err := s.bus.Listen(ctx, r.Address, func(ctx context.Context, m *pb.Message) { s.deliver(ctx, r, m) }, opts...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.listeners[r.Address] = l
	s.mu.Unlock()
	return nil
}

// oneAtATime is a window that lets one message out, whatever its size. The bus knows
// then of each that the client has dealt with: none comes again but the last.
const oneAtATime = 1

func (s *socket) unlisten(address string) error {
	s.mu.Lock()
	l := s.listeners[address]
	delete(s.listeners, address)
	s.mu.Unlock()
	if l == nil {
		return fault.New(fault.NotFound, "%q is not listened to", address).In("address")
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.g.limits.Call)
	defer cancel()
	return l.Close(ctx)
}

// deliver is the handler of a listener.
func (s *socket) deliver(ctx context.Context, r request, m *pb.Message) {
	text, err := message.ApplicationJSON(m)
	if err != nil {
		return // no JSON has it, and none ever will
	}
	number, acked := s.expect(r.Ack)
	if err := s.write(answer{Op: opMessage, Address: r.Address, Delivery: number, Message: text}); err != nil {
		<-ctx.Done() // the socket is over: it has not arrived
		client.Abandon(ctx)
		return
	}
	s.g.metrics.events.WithLabelValues(kindSocket).Inc()
	if acked == nil {
		return
	}
	select {
	case <-acked:
	case <-ctx.Done():
		client.Abandon(ctx)
		s.ack(number) // it is not waited for any more
	}
}

// expect numbers a delivery; with ack it gives what is closed at the client's word.
func (s *socket) expect(ack bool) (uint64, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivery++
	if !ack {
		return s.delivery, nil
	}
	acked := make(chan struct{})
	s.waiting[s.delivery] = acked // one for each listener at most
	return s.delivery, acked
}

func (s *socket) ack(delivery uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if acked := s.waiting[delivery]; acked != nil {
		delete(s.waiting, delivery)
		close(acked)
	}
}

// post hands a message to the bus, and tells the outcome when it is there. It waits
// while there are too many under way.
func (s *socket) post(r request) bool {
	req, err := s.g.waiting(r.Wait, r.Timeout)
	if err != nil {
		return s.write(outcomeOf(opOutcome, r.Ref, nil, err)) == nil
	}
	req.Message, req.IdempotencyKey = r.message, r.Key
	select {
	case s.posts <- struct{}{}:
	case <-s.ctx.Done():
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, req.Timeout.AsDuration()+time.Second)
	outcome, err := s.start(ctx, req)
	s.calls.Go(func() {
		defer func() { <-s.posts }()
		defer cancel()
		var response *pb.Message
		if err == nil {
			response, err = outcome(ctx)
		}
		_ = s.write(outcomeOf(opOutcome, r.Ref, response, err))
	})
	return true
}

// start hands over a message. One with a key is a call of its own, which finds what
// another socket has posted with it; others keep their order.
func (s *socket) start(ctx context.Context, req *pb.PostRequest) (outcome func(context.Context) (*pb.Message, error), err error) {
	if req.IdempotencyKey != "" {
		return func(ctx context.Context) (*pb.Message, error) {
			select {
			case s.g.posts <- struct{}{}:
				defer func() { <-s.g.posts }()
			case <-ctx.Done():
				return nil, fault.From(ctx.Err())
			}
			resp, err := s.g.bus.Post(ctx, req)
			return resp.GetResponse(), err
		}, nil
	}
	return s.bus.Start(ctx, req.Message, req.Wait, req.Timeout.AsDuration())
}
