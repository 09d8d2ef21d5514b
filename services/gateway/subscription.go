package gateway

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// subscription is some listeners and what was written of what came to them. It
// outlives the connection that it is written to.
type subscription struct {
	id        string
	addresses []string
	cancel    context.CancelFunc
	// incoming hands over what comes. Its receiver is the connection, which alone
	// numbers and keeps events.
	incoming chan *event
	// turn is held by the connection that it is written to.
	turn chan struct{}

	mu     sync.Mutex
	replay *replay
	newest uint64             // counts the connections; it alone goes on
	leave  context.CancelFunc // ends the newest; nil while there is none
	idle   time.Time          // since when there is none; zero before the first
	expiry *time.Timer        // runs while there is none
	over   bool
}

var (
	// errOver is told to a connection that comes too late.
	errOver = fault.New(fault.Unavailable, "the subscription has ended")
	// errReplaced is told to one that a newer one has overtaken.
	errReplaced = fault.New(fault.Conflict, "a newer connection has taken this stream over")
)

// event is one message, in JSON.
type event struct {
	number uint64
	data   []byte
	taken  chan struct{} // closed when it is in the replay
}

// subscribe makes a subscription. It lives as long as the gateway runs, unless it
// expires.
func (g *Gateway) subscribe(ctx context.Context, addresses []string) (*subscription, error) {
	s := &subscription{
		id: uuid.NewString(), addresses: addresses,
		incoming: make(chan *event), turn: make(chan struct{}, 1),
		replay: newReplay(g.limits.ReplayEvents, g.limits.Replay),
	}
	bus, err := client.New(client.Config{Conn: g.cfg.Bus, Name: "gateway", Log: g.log})
	if err != nil {
		return nil, err
	}
	if err := g.keep(s, bus); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.limits.Call)
	defer cancel()
	for _, address := range addresses {
		if _, err := bus.Listen(ctx, address, s.take); err != nil {
			g.drop(s)
			return nil, err
		}
	}
	return s, nil
}

// keep starts a subscription's attachment, and remembers it until it ends.
func (g *Gateway) keep(s *subscription, bus *client.Bus) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.life == nil:
		return errNotUp
	case len(g.subscriptions) >= g.limits.Subscriptions && !g.evictLocked():
		return fault.New(fault.TooMany, "there are %d subscriptions, which is the bound", len(g.subscriptions))
	}
	ctx, cancel := context.WithCancel(g.life)
	s.cancel = cancel
	g.subscriptions[s.id] = s
	g.streams.Go(func() {
		defer g.drop(s)
		_ = bus.Run(ctx) // nil: it ends with its context
	})
	return nil
}

// drop ends a subscription.
func (g *Gateway) drop(s *subscription) {
	s.cancel()
	g.mu.Lock()
	delete(g.subscriptions, s.id)
	g.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.expiry != nil {
		s.expiry.Stop()
	}
	if s.leave != nil {
		s.leave()
	}
}

// take is the handler of its listeners: it returns when a connection has the
// message, or when the subscription ends.
func (s *subscription) take(ctx context.Context, m *pb.Message) {
	text, err := message.ApplicationJSON(m)
	if err != nil {
		return // no JSON has it, and none ever will
	}
	e := &event{data: text, taken: make(chan struct{})}
	select {
	case s.incoming <- e:
		<-e.taken
	case <-ctx.Done():
		client.Abandon(ctx)
	}
}

// note numbers an event and keeps it.
func (s *subscription) note(e *event) {
	s.mu.Lock()
	e.number = s.replay.add(e.data)
	s.mu.Unlock()
	close(e.taken)
}

// after gives what was written behind an event, as far as it is kept, and the number
// behind which that begins; ok is false when some of it is not kept.
func (s *subscription) after(number uint64) (events []*event, position uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replay.after(number)
}

// connect makes a connection the one that it is written to. The one before is
// ended, and so is one that waits for that. release lets it wait for the next.
func (s *subscription) connect(ctx context.Context, g *Gateway) (_ context.Context, release func(), err error) {
	ctx, mine, err := s.replace(ctx)
	if err != nil {
		return nil, nil, err
	}
	select {
	case s.turn <- struct{}{}:
		return ctx, func() {
			<-s.turn
			s.left(g, mine)
		}, nil
	case <-ctx.Done():
		return nil, nil, s.left(g, mine)
	}
}

// replace makes a connection the newest.
func (s *subscription) replace(ctx context.Context) (_ context.Context, mine uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil, 0, errOver
	}
	if s.leave != nil {
		s.leave()
	}
	if s.expiry != nil {
		s.expiry.Stop()
	}
	ctx, s.leave = context.WithCancel(ctx)
	s.newest++
	return ctx, s.newest, nil
}

// left tells that a connection has ended; if it was the newest, the subscription waits
// for the next. The error says why it has not had its turn, if it has not.
func (s *subscription) left(g *Gateway, mine uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return errOver
	}
	if s.newest != mine {
		return errReplaced
	}
	s.leave()
	s.leave, s.idle = nil, time.Now()
	s.expiry = time.AfterFunc(g.limits.Resume, func() { g.expire(s, mine) })
	return errReplaced
}

// expire drops a subscription that nobody has come back to since a connection.
func (g *Gateway) expire(s *subscription, last uint64) {
	s.mu.Lock()
	s.over = s.over || s.leave == nil && s.newest == last
	over := s.over
	s.mu.Unlock()
	if over {
		g.drop(s)
	}
}

// evictLocked makes room for a subscription: the one that has waited longest for its
// client goes. It tells whether there was one.
func (g *Gateway) evictLocked() bool {
	var oldest *subscription
	var since time.Time
	for _, s := range g.subscriptions {
		if idle, ok := s.idleSince(); ok && (oldest == nil || idle.Before(since)) {
			oldest, since = s, idle
		}
	}
	if oldest == nil {
		return false
	}
	delete(g.subscriptions, oldest.id)
	oldest.cancel() // the rest is done by drop, when its attachment has ended
	return true
}

func (s *subscription) idleSince() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idle, s.leave == nil && !s.over && !s.idle.IsZero()
}

// eventID is how a client names an event.
func (s *subscription) eventID(number uint64) string { return fmt.Sprintf("%s-%d", s.id, number) }

// resume finds the subscription of an event id. nil and no error: it is not known
// any more.
func (g *Gateway) resume(id string, addresses []string) (*subscription, uint64, error) {
	at := strings.LastIndexByte(id, '-')
	number, err := strconv.ParseUint(id[at+1:], 10, 64)
	if at < 0 || err != nil {
		return nil, 0, fault.New(fault.BadRequest, "Last-Event-ID %.80q is none of ours", id).In("Last-Event-ID")
	}
	g.mu.Lock()
	s := g.subscriptions[id[:at]]
	g.mu.Unlock()
	if s != nil && !slices.Equal(s.addresses, addresses) {
		return nil, 0, fault.New(fault.BadRequest, "Last-Event-ID is of a stream for other addresses").In("address")
	}
	return s, number, nil
}
