package nodestub

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// errStubClosed refuses what is queued or comes when a stub ends.
var errStubClosed = fault.New(fault.Unavailable, "the Message Node stub is closed")

// session is the stub of one domain: it does what the machine says.
type session struct {
	// Set before run, not changed.
	domain, stubURL, runtimeURL string
	limits                      Limits
	log                         *slog.Logger
	metrics                     *metrics
	point                       *tracing.Point
	bus                         *client.Bus
	find                        func(context.Context, string) ([]endpoint, error)
	dial                        func(context.Context, endpoint, time.Duration) (conn, error)
	// changed is called by run, after each change that a watcher is to see.
	changed func(s *pb.NodeSession, renewed bool)

	out     *outbox
	events  chan event    // from the link
	asked   chan struct{} // closed by close
	done    chan struct{} // closed when run has ended
	askOnce sync.Once

	// Owned by the link while it connects, else by run.
	known   []endpoint    // where the node was found last
	places  places        // which of them comes first
	at      endpoint      // the one that was connected last
	patient time.Duration // how long the next attempt may take

	// Owned by run.
	state     state
	orderly   bool // it was last lost to a node that had said that it stops
	link      *link
	openID    int64
	backoff   retry.Backoff
	liveSince time.Time
	lostAt    time.Time   // zero until a session was lost
	timer     *time.Timer // of the phase
	countdown *time.Timer // to overdue
	refusals  sync.WaitGroup
}

func (s *session) init() {
	s.out = newOutbox(s.limits, s.metrics)
	s.events, s.asked, s.done = make(chan event), make(chan struct{}), make(chan struct{})
	s.backoff = retry.Backoff{Min: s.limits.RetryMin, Max: s.limits.RetryMax}
	s.patient = s.limits.ConnectTimeout
	s.places.runtime = s.runtimeURL
}

// close asks run to end the session at the node, and to return.
func (s *session) close() { s.askOnce.Do(func() { close(s.asked) }) }

// run keeps the session up until close, or until ctx is done: then it sends what
// is queued, and the node keeps the session for the next process.
func (s *session) run(ctx context.Context) {
	defer close(s.done)
	defer s.refusals.Wait()
	defer s.end()
	s.timer, s.countdown = time.NewTimer(0), time.NewTimer(0)
	s.timer.Stop()
	s.countdown.Stop()
	s.apply(ctx, started{})
	asked := s.asked
	for s.state.phase != closed {
		select {
		case e := <-s.events:
			s.apply(ctx, e)
		case <-s.timer.C:
			s.apply(ctx, elapsed{})
		case <-s.countdown.C:
			s.apply(ctx, overdue{})
		case <-asked:
			asked = nil
			s.apply(ctx, closeAsked{})
		case <-ctx.Done():
			s.drain()
			return
		}
	}
}

// drain lets the link send what is queued, and waits until the node has taken it
// and ended the connection.
func (s *session) drain() {
	if s.state.phase != live {
		return
	}
	s.out.finish()
	late := time.NewTimer(s.limits.DrainTimeout)
	defer late.Stop()
	for {
		select {
		case e := <-s.events:
			if _, over := e.(lost); over {
				return
			}
		case <-late.C:
			s.log.Warn("not all messages are sent before the end", "domain", s.domain)
			return
		}
	}
}

// end leaves nothing behind, and nobody waiting for room in the queue.
func (s *session) end() {
	s.timer.Stop()
	s.countdown.Stop()
	if s.link != nil {
		s.link.hangUp()
	}
	s.out.refuse(errStubClosed)
	s.metrics.moved(s.state.name(), "")
}

// apply steps the machine and does what it says. Run calls it.
func (s *session) apply(ctx context.Context, e event) {
	before := s.state
	if l, ok := e.(lost); ok {
		s.orderly = l.stopping
	}
	after, effects := step(before, e)
	s.state = after
	if after.phase != before.phase {
		s.timer.Stop()
	}
	renewed := false
	for _, do := range effects {
		if do == reportRenewed {
			renewed = true
			s.metrics.renewals.Inc()
			s.warnOfLoss(ctx, before)
			continue
		}
		s.do(ctx, do)
	}
	s.tell(ctx, before, renewed)
}

func (s *session) do(ctx context.Context, e effect) {
	switch e {
	case connect:
		s.openID++
		s.link = startLink(context.WithoutCancel(ctx), s, message.NumberID(s.openID)) // run ends it
	case sayOpen:
		s.link.control <- s.sessionMessage(s.state.request())
	case sayClose:
		s.link.control <- s.sessionMessage("close")
	case disconnect:
		if s.link != nil {
			s.link.hangUp()
			s.link = nil
		}
	case avoid:
		s.places.avoid(s.at)
	case release:
		s.liveSince = time.Now()
		s.out.open()
	case hold:
		if time.Since(s.liveSince) >= s.limits.Settled {
			s.backoff.Reset()
		}
		s.lostAt, s.patient = time.Now(), s.limits.ConnectFirst
		s.out.hold()
	case refuse:
		s.refuseQueue(ctx)
	case startTimer:
		s.timer.Reset(s.phaseTime())
	case startCountdown:
		s.countdown.Reset(s.limits.QueueTime)
	case stopCountdown:
		s.countdown.Stop()
	}
}

// phaseTime is how long the phase may last.
func (s *session) phaseTime() time.Duration {
	switch s.state.phase {
	case opening:
		return s.limits.OpenTimeout
	case closing:
		return s.limits.CloseTimeout
	}
	s.backoff.Max = s.limits.RetryMax
	if !s.lostAt.IsZero() && time.Since(s.lostAt) < s.limits.RetrySoon {
		s.backoff.Max = min(s.limits.RetryQuick, s.limits.RetryMax)
	}
	return s.backoff.Next()
}

// announcement is the body of what opens a session: this runtime knows flows.
var announcement = message.MarshalBody(map[string][]string{"flow": {message.FlowV1}})

// sessionMessage is one to the node's session service (wire contract, section
// 3). Its id is that of the link's `open`: a link has one, and what follows it
// is not answered with anything that matters.
func (s *session) sessionMessage(typ string) *pb.Message {
	m := &pb.Message{Id: s.link.openID, Type: typ, From: s.runtimeURL, To: address.Session}
	if typ != "open" && s.state.token != "" {
		m.From += "/" + s.state.token
	}
	if typ != "close" {
		m.Body = announcement
	}
	return m
}

// refuseQueue answers what is queued, beside run and within CloseTimeout: the
// bus may be slow.
func (s *session) refuseQueue(ctx context.Context) {
	why := fault.New(s.state.refusing, "the Message Node of %s cannot be reached: %s", s.domain, s.state.reason)
	if s.state.refusing == fault.NotFound {
		why = fault.New(fault.NotFound, "%s", s.state.reason)
	}
	queued := s.out.refuse(why)
	if len(queued) == 0 {
		return
	}
	s.refusals.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, s.limits.CloseTimeout)
		defer cancel()
		for _, c := range queued {
			s.refuse(ctx, c.Message(), why)
		}
	})
}

// tell logs, counts and publishes what has changed.
func (s *session) tell(ctx context.Context, before state, renewed bool) {
	was, is := before.name(), s.state.name()
	if before == (state{}) {
		was = "" // it has just started
	}
	if was != is {
		s.log.DebugContext(ctx, "session", "domain", s.domain, "state", is)
		s.logChange(ctx)
		s.metrics.moved(was, is)
		if is == "live" && before.wasLive {
			s.metrics.reconnects.Inc()
		}
	}
	if was != is || renewed || before.reason != s.state.reason || before.endpoint != s.state.endpoint {
		s.changed(s.view(), renewed)
	}
}

// warnOfLoss tells of a session that the node does not know any more, which its state
// outlives; a common reason is that its replicas do not share one.
func (s *session) warnOfLoss(ctx context.Context, before state) {
	if before.token != "" {
		s.log.WarnContext(ctx, "the Message Node has lost this runtime's session and gives a new one; if it has replicas, do they share a NATS?",
			"domain", s.domain, "endpoint", s.state.endpoint)
	}
}

// logChange says what a person on call needs.
func (s *session) logChange(ctx context.Context) {
	log := s.log.With("domain", s.domain, "endpoint", s.state.endpoint)
	switch name := s.state.name(); {
	case name == "live":
		log.InfoContext(ctx, "session with the Message Node is live")
	case s.state.phase == closing || s.state.phase == closed:
		log.InfoContext(ctx, "session with the Message Node is closed")
	case name != "connecting":
		level := slog.LevelWarn
		if name == "disconnected" && s.orderly {
			level = slog.LevelInfo // a warning follows when it is not back in time
		}
		log.Log(ctx, level, "session with the Message Node is not live", "state", name, "reason", s.state.reason)
	}
}

func (s *session) view() *pb.NodeSession {
	return &pb.NodeSession{
		Domain: s.domain, StubUrl: s.stubURL,
		State: s.state.name(), Reason: s.state.reason, Endpoint: s.state.endpoint,
	}
}

// connect finds the node and opens a connection, the first that can be had of
// its endpoints: a node that has replicas is left by a runtime whose replica is gone
// with the first attempt. A node that was found before is still there when its domain
// cannot be looked up. The link calls it.
func (s *session) connect(ctx context.Context) (conn, endpoint, error) {
	endpoints, err := s.find(ctx, s.domain)
	if err != nil && s.known == nil {
		return nil, endpoint{}, err
	}
	if err == nil {
		s.known = endpoints
	}
	var failed []string
	within := s.patient
	s.patient = min(2*within, s.limits.ConnectTimeout)
	for _, e := range s.places.order(s.known) {
		c, err := s.dial(ctx, e, within)
		if err == nil {
			s.at = e
			return c, e, nil
		}
		s.places.avoid(e)
		failed = append(failed, e.String()+": "+fault.From(err).Description)
	}
	return nil, endpoint{}, fault.New(fault.Unavailable, "%s", strings.Join(failed, "; "))
}
