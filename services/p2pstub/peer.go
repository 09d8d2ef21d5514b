package p2pstub

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// peer is one peer connection. Its loop is the only code that touches the
// machine, the Connection objects and the rtc.Peer: everything else, pion's
// callbacks among it, posts a function to the loop's inbox.
type peer struct {
	// Set when it is made.
	stub     *Stub
	url      string // the stub's address
	public   string // the one that others know
	role     role
	remote   string              // URL of the remote runtime
	from     []client.PostOption // of what comes from there
	invitee  string              // the other side's stub
	socket   rtc.Socket
	replaces string // the own object of the connection that this one is to replace
	log      *slog.Logger
	began    time.Time
	first    *peer // gives way before this one begins
	then     *peer // gives way once this one is created
	why      string
	inbox    chan func()
	done     chan struct{} // closed: the machine is over, nothing is taken any more
	sleep    sync.Mutex    // guards asleep alone
	asleep   bool          // the loop has no goroutine (sleep.go)
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup // reader and requests of this peer

	// Owned by the loop.
	m           machine
	events      []event // still to be taken
	reason      string  // of the last state
	rtc         *rtc.Peer
	inv         invitation // the other side's
	reporter    *datasync.Reporter
	observer    *datasync.Observer
	object      objectAddress // address of the own object
	tried       map[string]bool
	reading     bool            // the other side's object is being asked for
	follows     bool            // its changes have been subscribed
	followers   followers       // of the own one
	wake        <-chan struct{} // of the channel
	deadline    *time.Timer     // of the set-up
	heart       *rtc.Channel    // for heartbeats, until it is used
	said        *pb.Message     // the last word about a restart of ICE
	regenerated time.Time       // when ICE was begun anew last
	clock       clock
	laps        laps

	ownObject atomic.Pointer[objectAddress] // its address, from when it is allocated on

	out   atomic.Pointer[channel] // set once the data channel is open
	pulse atomic.Pointer[pulse]   // likewise

	// Guarded by the stub's mutex.
	info      *pb.Peer
	now       standing
	liveSince time.Time
	listeners []*client.Listener
	place     place
	muted     bool        // a handler's heir, or a newcomer: the registry does not know of it
	successor *peer       // that has taken over
	turn      *time.Timer // until the turn of its set-up is over; nil: it has none
}

// invitation is a `create` that came, and what it says.
type invitation struct {
	datasync.Invitation
	request *pb.Message
}

// ours is the address of the own Connection object; empty while it has none.
func (p *peer) ours() string {
	if object := p.ownObject.Load(); object != nil {
		return object.url
	}
	return ""
}

func (p *peer) live() bool { return p.now.state == status.Live }

// watched tells whether a peer is live, and heartbeats would say if it were not. The stub's
// mutex is held.
func (p *peer) watched() bool {
	if p == nil || !p.live() {
		return false
	}
	u := p.pulse.Load()
	return u != nil && u.answers
}

// post hands f to the loop. It waits while the inbox is full, and drops f when
// the peer is over.
func (p *peer) post(f func()) {
	select {
	case p.inbox <- f:
		p.rouse()
	case <-p.done:
	}
}

// tell posts an event.
func (p *peer) tell(e event) { p.post(func() { p.step(e) }) }

// run waits until the peer may begin, and begins.
func (p *peer) run() {
	if p.first != nil {
		p.first.tell(event{kind: displaced, reason: p.why})
		<-p.first.done
		p.first = nil // else each would keep all that were before it
		if !p.stub.isCurrent(p) {
			p.release() // another has taken its place: it need not begin
			return
		}
	}
	limit := p.stub.limits.SetUp
	p.deadline = time.AfterFunc(limit, func() { p.tell(event{kind: overdue, limit: limit}) })
	p.start()
	p.loop()
}

// loop takes what comes, until the machine is over, or the peer sleeps.
func (p *peer) loop() {
	for !p.m.over {
		p.clock.set(p.m)
		if p.sleeps() {
			return
		}
		select {
		case f := <-p.inbox:
			f()
		case <-p.wake:
			p.pulse.Load().used()
			if err := p.out.Load().pump(); err != nil {
				p.step(event{kind: channelGone, reason: err.Error()})
			}
		case <-p.clock.tick():
			p.tick()
		}
	}
	p.release()
}

// start makes the peer connection, and begins.
func (p *peer) start() {
	p.m, p.laps = machine{role: p.role}, laps{role: p.role, last: p.began}
	conn, err := p.stub.engine.NewPeerOn(p.socket, p.role == requester, rtc.Events{
		Candidate: func(c datasync.Candidate) { p.post(func() { p.report(c) }) },
		State:     p.pathChanged,
		ICE:       func() { at := time.Now(); p.post(func() { p.reach(phaseICE, at) }) },
		Channel:   func(c *rtc.Channel) { p.post(func() { p.opened(c) }) },
		Heartbeat: func(c *rtc.Channel) { p.post(func() { p.beats(c) }) },
	})
	if err != nil {
		p.step(event{kind: broke, reason: err.Error()})
		return
	}
	p.rtc = conn
	p.step(event{kind: begin, description: p.theirs().Description != nil})
}

// theirs is what the other side's object says by now.
func (p *peer) theirs() datasync.Connection {
	if p.observer != nil {
		return p.observer.Object().Connection()
	}
	return p.inv.Object.Connection()
}

// pathChanged takes what ICE and DTLS say. Where there are heartbeats, the path is not up
// again before they say so too, and is not down before they, or ICE has given it up: all that
// is connected with a machine that has too much to do would be set up again, which is more.
func (p *peer) pathChanged(s rtc.State, reason string) {
	u := p.pulse.Load()
	watched := u != nil && u.answers
	if watched && (s == rtc.Lost || s == rtc.Failed) {
		u.lose(reason)
	}
	switch s {
	case rtc.Connected:
		at := time.Now()
		p.post(func() {
			p.reach(phaseDTLS, at)
			p.step(event{kind: iceConnected})
			pair := p.rtc.Pair()
			p.stub.note(p, func() { p.info.CandidatePair = pair })
		})
	case rtc.Disconnected:
		if !watched {
			p.tell(event{kind: pathDown, reason: reason})
		}
	case rtc.Lost:
		p.tell(event{kind: iceLost, reason: reason})
	case rtc.Failed:
		p.tell(event{kind: broke, reason: reason})
	}
}

// step takes an event and those that follow from its effects.
func (p *peer) step(e event) {
	p.events = append(p.events, e)
	if len(p.events) > 1 {
		return // an effect's: the loop below takes it
	}
	for len(p.events) > 0 {
		var effects []effect
		before := p.m
		p.m, effects = step(p.m, p.events[0])
		for _, phase := range reached(before, p.m) {
			p.reach(phase, time.Now())
		}
		for _, f := range effects {
			p.effect(f)
		}
		p.events = p.events[1:]
	}
}

// opened begins to use the data channel.
func (p *peer) opened(raw *rtc.Channel) {
	if p.m.over {
		return
	}
	p.deadline.Stop()
	name, theirs := framing.Rethink, p.theirs()
	if theirs.Announces(framing.PeerBus) {
		name = framing.PeerBus
	}
	c, decoder := newChannel(raw, name, theirs, p.stub.limits, p.stub.metrics, p.rouse)
	c.flow = name == framing.PeerBus && message.Announces(theirs.Flow)
	reader := raw.NewReader(largestPacket(name))
	u := newPulse(p, theirs.Heartbeat, func() {
		reader.Rest()
		select {
		case p.inbox <- func() {}: // the loop looks whether it may sleep
			p.rouse()
		default: // it does so anyway
		}
	})
	p.wake = c.wake
	p.pulse.Store(u)
	p.out.Store(c)
	p.log.Debug("channel open", "framing", name)
	p.stub.note(p, func() { p.info.Framing, p.info.CandidatePair, p.info.Flow = name, p.rtc.Pair(), c.flow })
	p.step(event{kind: channelOpen, revives: theirs.Heartbeat})
	if theirs.Heartbeat && p.role == requester {
		if err := p.rtc.OpenHeartbeat(); err != nil {
			p.log.Debug("no heartbeats", "error", err)
		}
	}
	p.work.Go(func() { p.read(reader, c, u, decoder) })
	u.signal()
	p.startHeart()
}

// beats takes the heartbeat channel, which may be open before the data channel is.
func (p *peer) beats(c *rtc.Channel) {
	p.heart = c
	p.startHeart()
}

// startHeart begins to answer heartbeats, once both channels are open.
func (p *peer) startHeart() {
	u, c := p.pulse.Load(), p.heart
	if u == nil || c == nil || !u.answers || p.m.over {
		return
	}
	p.heart = nil
	p.work.Go(func() { u.read(c) })
}

// listening notes an address of the mini bus.
func (p *peer) listening(url string, on bool) {
	p.stub.note(p, func() {
		var left []string
		for _, l := range p.info.Listeners {
			if l != url {
				left = append(left, l)
			}
		}
		if on {
			left = append(left, url)
		}
		p.info.Listeners = left
	})
}

// release lets go of everything, once the machine is over.
func (p *peer) release() {
	defer p.stub.work.Done()
	close(p.done)
	p.cancel()
	p.clock.stop()
	if p.deadline != nil {
		p.deadline.Stop()
	}
	if u := p.pulse.Load(); u != nil {
		u.stop()
	}
	p.sayGoodbye()
	p.closeChannel()
	if p.rtc != nil && !p.rtc.Close() {
		p.stub.metrics.overdue.Inc()
		p.log.Warn("the end of a P2P connection is not waited for any longer", "took_seconds", p.stub.limits.Close.Seconds())
	}
	p.work.Wait()
	ctx, cancel := context.WithTimeout(p.stub.last, p.stub.limits.Stop)
	defer cancel()
	p.leave(ctx)
	p.stub.unleadAll(ctx, p)
	p.stub.forget(ctx, p)
}

// closeChannel ends sending. Who waits for an answer to what has not left is told.
func (p *peer) closeChannel() {
	c := p.out.Load()
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.stub.last, p.stub.limits.Stop)
	defer cancel()
	for _, m := range c.close() {
		p.stub.metrics.drop(dropClosed)
		p.stub.refuse(ctx, m, errClosed)
	}
}
