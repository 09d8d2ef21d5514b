package olderpeer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pion/webrtc/v3"
)

var errClosed = errors.New("the older peer is closed")

// Peer is a running older runtime. All its methods may be called at once.
type Peer struct {
	config  Config
	handler string // address of the handler stub
	api     *webrtc.API
	inbox   chan Message
	numbers atomic.Int64 // ids of messages

	ctx    context.Context // ends what the peer has started
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu          sync.Mutex // guards what follows
	closed      bool
	sessions    map[string]*session      // by domain
	listeners   map[string]func(Message) // by address; they do not block
	pending     map[string]chan Message  // requests, by pendingKey
	connections map[*connection]bool
	objects     map[string]bool   // observed or about to be
	table       map[string]*entry // by remote runtime
	changed     chan struct{}     // closed and renewed at each change of the table
	statuses    []Message
	violations  []string
}

// Start opens the session with the peer's own Message Node, deploys the handler stub
// and subscribes its address. The context bounds the start alone.
func Start(ctx context.Context, config Config) (*Peer, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	p := newPeer(config)
	p.listen(p.handler, p.invited)
	err := p.subscribe(ctx, domainOf(config.RuntimeURL), config.RuntimeURL+"/ua",
		Body{"subscribe": []string{p.handler}, "source": p.handler})
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("start the older peer: %w", err)
	}
	return p, nil
}

// newPeer starts nothing.
func newPeer(config Config) *Peer {
	if config.RepeatAfter == 0 {
		config.RepeatAfter = repeatAfter
	}
	p := &Peer{
		config:      config,
		handler:     config.RuntimeURL + "/p2phandler/" + rand.Text(),
		api:         newAPI(config.NoCandidates),
		inbox:       make(chan Message, inboxSize),
		sessions:    map[string]*session{},
		listeners:   map[string]func(Message){},
		pending:     map[string]chan Message{},
		connections: map[*connection]bool{},
		objects:     map[string]bool{},
		table:       map[string]*entry{},
		changed:     make(chan struct{}),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Close closes all channels and sessions, and returns when all has ended.
func (p *Peer) Close() {
	p.mu.Lock()
	p.closed = true
	connections := make([]*connection, 0, len(p.connections))
	for c := range p.connections {
		connections = append(connections, c)
	}
	sessions := make([]*session, 0, len(p.sessions))
	for _, s := range p.sessions {
		sessions = append(sessions, s)
	}
	p.mu.Unlock()
	for _, c := range connections {
		c.close()
	}
	for _, s := range sessions {
		s.close()
	}
	p.cancel()
	p.group.Wait()
}

// spawn runs f until it returns, which it does when its context ends, and reports
// false if the peer is closed.
func (p *Peer) spawn(f func(context.Context)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.group.Go(func() { f(p.ctx) })
	return true
}

// RuntimeURL is the peer's address.
func (p *Peer) RuntimeURL() string { return p.config.RuntimeURL }

// HandlerURL is the address of the handler stub, which invitations go to.
func (p *Peer) HandlerURL() string { return p.handler }

// Messages returns what came for the peer's hyperties, with the path of each. Who
// does not read it loses what does not fit, and finds that among the violations.
func (p *Peer) Messages() <-chan Message { return p.inbox }

// Violations returns what the other side did that would have stopped an older peer.
func (p *Peer) Violations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.violations...)
}

func (p *Peer) violate(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.violations = append(p.violations, err.Error())
	return err
}

// Send sends a message over the Message Node of the domain of its to.
func (p *Peer) Send(ctx context.Context, m Message) error {
	if len(m.ID) == 0 {
		m.ID = p.number()
	}
	s, err := p.session(ctx, domainOf(m.To))
	if err != nil {
		return err
	}
	return s.send(ctx, m)
}

// SendOver sends a message over the live data channel to a remote runtime.
func (p *Peer) SendOver(ctx context.Context, remoteRuntime string, m Message) error {
	if len(m.ID) == 0 {
		m.ID = p.number()
	}
	c, err := p.live(remoteRuntime)
	if err != nil {
		return err
	}
	return c.send(ctx, m)
}

// Request is Send and returns the final response, whatever its code. A repeated 408
// or 500 is returned as such; without any response that is a 408 of the peer's own.
func (p *Peer) Request(ctx context.Context, m Message) (Message, error) {
	return p.request(ctx, m, p.Send)
}

// RequestOver is Request over the data channel.
func (p *Peer) RequestOver(ctx context.Context, remoteRuntime string, m Message) (Message, error) {
	return p.request(ctx, m, func(ctx context.Context, m Message) error {
		return p.SendOver(ctx, remoteRuntime, m)
	})
}

// ask is Request for what must be answered with 200.
func (p *Peer) ask(ctx context.Context, m Message) (Message, error) {
	answer, err := p.Request(ctx, m)
	if err == nil && answer.Code() != 200 {
		err = fmt.Errorf("%s to %s: %d %s", m.Type, m.To, answer.Code(), answer.Reason())
	}
	return answer, err
}

// listen sends what is addressed to address to f, which must not block.
func (p *Peer) listen(address string, f func(Message)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners[address] = f
}

func (p *Peer) unlisten(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.listeners, address)
}

// claim reports whether an object is new; invitations may be repeated.
func (p *Peer) claim(object string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.objects[object]
	p.objects[object] = true
	return !known
}

func (p *Peer) listener(address string) func(Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listeners[address]
}

// receive is the peer's bus. It does not block.
func (p *Peer) receive(m Message) {
	if m.Type == "response" && p.answered(m) {
		return
	}
	if f := p.listener(m.To); f != nil {
		f(m)
		return
	}
	// The registry, the sync manager and p2p connection addresses: an older peer
	// answers nothing there (section 9, step 5).
	if strings.HasPrefix(m.To, p.config.RuntimeURL+"/") {
		return
	}
	select {
	case p.inbox <- m:
	default:
		_ = p.violate("%d messages wait to be read; one for %s is lost", inboxSize, m.To)
	}
}
