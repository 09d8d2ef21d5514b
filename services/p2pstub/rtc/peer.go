package rtc

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v3"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/datasync"
)

// Label of the data channel (wire contract, section 7).
const Label = "P2PChannel"

// maxChannels is how many data channels the other side may open beside the one
// that is used. Each costs some KiB until the end.
const maxChannels = 16

// State of the path to the other side.
type State int

// States of the path.
const (
	Connected    State = iota // ICE and DTLS are up
	Disconnected              // silence; it may come back
	Failed                    // it will not
	Lost                      // ICE has given it up: Restart may find another one
)

func (s State) String() string { return [...]string{"connected", "disconnected", "failed", "lost"}[s] }

// Events are what a Peer reports, from goroutines that are not the owner's.
// They must not block.
type Events struct {
	// Candidate was found after the description was given.
	Candidate func(datasync.Candidate)
	// State has changed; reason says why it failed.
	State func(s State, reason string)
	// ICE has found a path; nil where nobody asks.
	ICE func()
	// Channel is open.
	Channel func(*Channel)
	// Heartbeat is open; nil where none is wanted.
	Heartbeat func(*Channel)
}

// Peer is one connection. Its methods are for one goroutine.
type Peer struct {
	engine    *Engine
	pc        *webrtc.PeerConnection
	tap       *tap
	socket    Socket
	requester bool
	events    Events
	search    *time.Timer   // for a path, until there is none
	most      int           // candidates of the other side that are tried
	closing   time.Duration // that Close waits at most

	mu        sync.Mutex
	hosts     int           // host candidates that the mux has
	found     int           // host candidates found
	remotes   int           // candidates of the other side
	ready     chan struct{} // closed when the description is complete
	described bool          // the description was given: candidates trickle from here on
	early     []datasync.Candidate
	channel   bool // one was reported
	beating   bool // the heartbeat was reported
	offers    int  // data channels that the other side has opened
	reading   []*Channel
	over      bool // no channel has anything more to read
}

// NewPeer makes a peer on the first socket; the requester's creates the data
// channel.
func (e *Engine) NewPeer(requester bool, events Events) (*Peer, error) {
	return e.NewPeerOn(First, requester, events)
}

// NewPeerOn makes a peer on one of the sockets.
func (e *Engine) NewPeerOn(s Socket, requester bool, events Events) (*Peer, error) {
	m, err := e.on(s)
	if err != nil {
		return nil, err
	}
	t := &tap{mux: m}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(e.settings(t)))
	pc, err := api.NewPeerConnection(e.config)
	if err != nil {
		return nil, fault.New(fault.Internal, "peer connection: %w", err)
	}
	p := &Peer{
		engine: e, pc: pc, tap: t, socket: s, requester: requester, events: events, most: e.given.Candidates, closing: e.given.Close,
		hosts: len(m.GetListenAddresses()), ready: make(chan struct{}),
	}
	p.search = time.AfterFunc(math.MaxInt64, p.searched)
	pc.OnICECandidate(p.candidate)
	pc.OnConnectionStateChange(p.state)
	pc.OnICEConnectionStateChange(p.iceState)
	pc.OnDataChannel(p.offered)
	pc.SCTP().OnClose(p.associationOver)
	pc.SCTP().Transport().OnStateChange(func(webrtc.DTLSTransportState) { t.gate.lift() }) // pion reads from the first one on
	if !requester {
		return p, nil
	}
	dc, err := pc.CreateDataChannel(Label, nil)
	if err != nil {
		return nil, joinClose(p, fault.New(fault.Internal, "data channel: %w", err))
	}
	p.open(dc)
	return p, nil
}

func joinClose(p *Peer, err error) error {
	p.Close()
	return err
}

// Records is how many DTLS records the peer has sent.
func (p *Peer) Records() uint64 { return p.tap.records.Load() }

// Checked is when ICE has heard of the other side last, by a STUN message; what goes over
// a TURN server is not seen.
func (p *Peer) Checked() time.Time { return began.Add(time.Duration(p.tap.checked.Load())) }

// Offer gives the requester's description, complete with host candidates. ctx
// bounds the wait for them.
func (p *Peer) Offer(ctx context.Context) (datasync.Description, error) {
	d, err := p.pc.CreateOffer(nil)
	if err != nil {
		return datasync.Description{}, fault.New(fault.Internal, "offer: %w", err)
	}
	return p.describe(ctx, d)
}

// Answer takes an offer, and gives the handler's description, complete with
// host candidates.
func (p *Peer) Answer(ctx context.Context, offer datasync.Description) (datasync.Description, error) {
	if strings.Contains(offer.SDP, "a=ice-lite") { // it would need nothing of the answer: who has offered would not be known
		return datasync.Description{}, fault.New(fault.BadRequest, "an ICE-lite agent is not connected with")
	}
	if err := p.setRemote(webrtc.SDPTypeOffer, offer); err != nil {
		return datasync.Description{}, err
	}
	d, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return datasync.Description{}, fault.New(fault.BadRequest, "offer cannot be answered: %w", err)
	}
	return p.describe(ctx, d)
}

// SetAnswer takes the handler's description.
func (p *Peer) SetAnswer(answer datasync.Description) error {
	return p.setRemote(webrtc.SDPTypeAnswer, answer)
}

func (p *Peer) setRemote(want webrtc.SDPType, d datasync.Description) error {
	if webrtc.NewSDPType(d.Type) != want {
		return fault.New(fault.BadRequest, "description is %.20q, not %v", d.Type, want)
	}
	sdp, candidates := firstCandidates(d.SDP, p.most)
	p.addRemotes(candidates)
	p.tap.describe(sdp)
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: want, SDP: sdp}); err != nil {
		return fault.New(fault.BadRequest, "description is refused: %w", err)
	}
	return nil
}

// AddCandidate takes one of the other side's candidates, after its description.
// 429 when there are too many.
func (p *Peer) AddCandidate(c datasync.Candidate) error {
	if p.remoteCount() >= p.most {
		return fault.New(fault.TooMany, "the other side has named %d candidates already", p.most)
	}
	err := p.pc.AddICECandidate(webrtc.ICECandidateInit{
		Candidate: c.Candidate, SDPMid: c.SDPMid, SDPMLineIndex: c.SDPMLineIndex,
	})
	if err != nil {
		return fault.New(fault.BadRequest, "candidate %.80q is refused: %w", c.Candidate, err)
	}
	p.addRemotes(1)
	return nil
}

func (p *Peer) addRemotes(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remotes += n
}

func (p *Peer) remoteCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remotes
}

func (p *Peer) describe(ctx context.Context, d webrtc.SessionDescription) (datasync.Description, error) {
	if err := p.pc.SetLocalDescription(d); err != nil {
		return datasync.Description{}, fault.New(fault.Internal, "own description: %w", err)
	}
	select {
	case <-p.ready:
	case <-ctx.Done():
		return datasync.Description{}, fault.From(ctx.Err())
	}
	out := p.Description()
	p.mu.Lock()
	p.described = true
	early := p.early
	p.early = nil
	p.mu.Unlock()
	for _, c := range early {
		p.events.Candidate(c)
	}
	return out, nil
}

// Description is this side's, with the candidates that are known by now.
func (p *Peer) Description() datasync.Description {
	d := p.pc.LocalDescription()
	if d == nil {
		return datasync.Description{}
	}
	return datasync.Description{SDP: d.SDP, Type: d.Type.String()}
}

// candidate is called by pion for each candidate of ours, and with nil at the
// end. The host candidates come first and make the description complete.
func (p *Peer) candidate(c *webrtc.ICECandidate) {
	if one, late := p.note(c); late {
		p.events.Candidate(one) // without the lock: the owner may need it before it takes this
	}
}

// note takes a candidate in, and tells whether it must be reported by itself.
func (p *Peer) note(c *webrtc.ICECandidate) (one datasync.Candidate, late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c != nil && c.Typ == webrtc.ICECandidateTypeHost {
		p.found++
	}
	if c == nil || p.found >= p.hosts {
		select {
		case <-p.ready:
		default:
			close(p.ready)
		}
	}
	if c == nil || c.Typ == webrtc.ICECandidateTypeHost {
		return one, false
	}
	init := c.ToJSON()
	one = datasync.Candidate{
		Type: "candidate", Candidate: init.Candidate, SDPMid: init.SDPMid, SDPMLineIndex: init.SDPMLineIndex,
	}
	if !p.described {
		p.early = append(p.early, one)
	}
	return one, p.described
}

func (p *Peer) state(s webrtc.PeerConnectionState) {
	switch s {
	case webrtc.PeerConnectionStateConnected:
		p.events.State(Connected, "")
	case webrtc.PeerConnectionStateDisconnected:
		p.events.State(Disconnected, "the path has gone quiet")
	case webrtc.PeerConnectionStateFailed:
		p.failed()
	}
}

// iceState also bounds the search for a path: pion's own bound is that of a path that is silent.
func (p *Peer) iceState(s webrtc.ICEConnectionState) {
	if s == webrtc.ICEConnectionStateChecking {
		p.seek()
	} else {
		p.search.Stop()
	}
	if s == webrtc.ICEConnectionStateConnected && p.events.ICE != nil {
		p.events.ICE()
	}
}

// seek begins the time of a search.
func (p *Peer) seek() { p.search.Reset(2 * p.engine.given.Patience) }

// searched is when a path has been sought for long enough.
func (p *Peer) searched() {
	if p.pc.ICEConnectionState() == webrtc.ICEConnectionStateChecking {
		p.events.State(p.noPath())
	}
}

// failed says what did not work. pion tells of it beside all else: ICE may have been begun
// anew since, and then nothing has failed any more.
func (p *Peer) failed() {
	switch {
	case p.pc.ICEConnectionState() == webrtc.ICEConnectionStateFailed:
		p.events.State(p.noPath())
	case p.pc.SCTP().Transport().State() == webrtc.DTLSTransportStateFailed:
		p.events.State(Failed, "DTLS failed")
	}
}

func (p *Peer) noPath() (State, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Lost, fmt.Sprintf("ICE failed: no path between %d local and %d remote candidates", p.found, p.remotes)
}

// offered takes a data channel that the other side has opened; a requester has its
// own. Far more than two are no set-up but an attack.
func (p *Peer) offered(dc *webrtc.DataChannel) {
	p.mu.Lock()
	p.offers++
	n := p.offers
	p.mu.Unlock()
	switch {
	case n == maxChannels+1:
		p.events.State(Failed, fmt.Sprintf("the other side has opened more than %d data channels", maxChannels))
	case n > maxChannels || p.requester:
	case dc.Label() == Label:
		p.open(dc)
	case dc.Label() == HeartbeatLabel:
		p.openHeartbeat(dc)
	}
}

func (p *Peer) open(dc *webrtc.DataChannel) { p.reportOpen(dc, &p.channel, p.events.Channel) }

// reportOpen reports a channel once it is open, and only the first of its kind.
func (p *Peer) reportOpen(dc *webrtc.DataChannel, reported *bool, report func(*Channel)) {
	dc.OnOpen(func() {
		detached, err := dc.Detach()
		p.mu.Lock()
		again := *reported
		*reported = true
		p.mu.Unlock()
		if err != nil || again {
			return
		}
		c := newChannel(detached, p.maxMessage())
		p.endsWithPeer(c)
		report(c)
	})
}

// endsWithPeer has a channel end with the association and with the peer, be it over
// already.
func (p *Peer) endsWithPeer(c *Channel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		c.end()
		return
	}
	p.reading = append(p.reading, c)
}

// associationOver is called by pion when the association has ended, and with an error
// when it only takes no further channels.
func (p *Peer) associationOver(err error) {
	if err == nil {
		p.endChannels()
	}
}

func (p *Peer) endChannels() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for _, c := range p.reading {
		c.end()
	}
	p.reading = nil
}

// maxMessage is the longest message that the other side takes.
func (p *Peer) maxMessage() int {
	if d := p.pc.RemoteDescription(); d != nil {
		return maxMessageIn(d.SDP)
	}
	return defaultMaxMessage
}

// Pair is the path in use, `local - remote`; empty while there is none.
func (p *Peer) Pair() string {
	pair, err := p.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return ""
	}
	show := func(c *webrtc.ICECandidate) string { return fmt.Sprintf("%s %s:%d", c.Typ, c.Address, c.Port) }
	return show(pair.Local) + " - " + show(pair.Remote)
}

// Close ends the connection and its channels, and waits for its goroutines, but no
// longer than Config.Close: then it gives false, and they end by themselves. It may be
// called again, and while the other methods run.
func (p *Peer) Close() (ended bool) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer p.search.Stop()
		_ = p.pc.GracefulClose() // what cannot be told to the other side any more
	}()
	limit := time.NewTimer(p.closing)
	defer limit.Stop()
	select {
	case <-over:
		ended = true
	case <-limit.C:
	}
	p.endChannels()
	return ended
}
