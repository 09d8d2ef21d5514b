package baseline

import (
	"context"

	"github.com/pion/datachannel"
	"github.com/pion/webrtc/v3"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
)

// PionRole is a peer.
const PionRole = "pion-end"

// Calls of a peer, besides those of an end: who offers gives an offer, the other one
// answers it, who offers takes the answer, and both wait until the channel is open.
const (
	DoOffer  = "offer"  // → string
	DoAnswer = "answer" // string → string
	DoAccept = "accept" // string
	DoOpen   = "open"
)

// PionConfig of a peer.
type PionConfig struct {
	Answers bool // it sends back what comes
}

// pionEnd is a load.End.
type pionEnd struct {
	cfg     PionConfig
	pc      *webrtc.PeerConnection
	channel *webrtc.DataChannel
	counter *load.Counter
	opened  chan struct{}
	raw     datachannel.ReadWriteCloser // once opened is closed
	low     chan struct{}
	answers chan struct{}
}

// NewPion is the Role.
func NewPion(ctx context.Context, cfg PionConfig) (worker.Ops, error) {
	settings, err := tuned()
	if err != nil {
		return nil, err
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = pc.Close() })
	e := &pionEnd{
		cfg: cfg, pc: pc, counter: load.NewCounter(),
		opened: make(chan struct{}), low: make(chan struct{}, 1), answers: make(chan struct{}, 1),
	}
	if err := e.open(); err != nil {
		return nil, err
	}
	ops := load.Ops(e, e.counter)
	ops[DoOffer] = worker.Do(func(ctx context.Context, _ struct{}) (string, error) {
		return described(ctx, pc, func() (webrtc.SessionDescription, error) { return pc.CreateOffer(nil) })
	})
	ops[DoAnswer] = worker.Do(e.answer)
	ops[DoAccept] = worker.Do(func(_ context.Context, sdp string) (any, error) {
		return nil, pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp})
	})
	ops[DoOpen] = worker.Do(func(ctx context.Context, _ struct{}) (any, error) { return nil, wait(ctx, e.opened) })
	return ops, nil
}

// open makes the channel, which both sides know of beforehand.
func (e *pionEnd) open() (err error) {
	negotiated, id := true, uint16(0)
	e.channel, err = e.pc.CreateDataChannel("bench", &webrtc.DataChannelInit{Negotiated: &negotiated, ID: &id})
	if err != nil {
		return err
	}
	e.channel.SetBufferedAmountLowThreshold(pionLow)
	e.channel.OnBufferedAmountLow(func() { signal(e.low) })
	e.channel.OnOpen(func() {
		raw, err := e.channel.Detach()
		if err != nil {
			return // who waits is told by its time
		}
		e.raw = raw
		close(e.opened)
		go e.read()
	})
	return nil
}

func (e *pionEnd) answer(ctx context.Context, offer string) (string, error) {
	err := e.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer})
	if err != nil {
		return "", err
	}
	return described(ctx, e.pc, func() (webrtc.SessionDescription, error) { return e.pc.CreateAnswer(nil) })
}

// read counts what comes, or sends it back.
func (e *pionEnd) read() {
	buf := make([]byte, 64<<10) // the longest message there is here
	for {
		n, _, err := e.raw.ReadDataChannel(buf)
		if err != nil {
			return
		}
		if e.cfg.Answers {
			_, _ = e.raw.WriteDataChannel(buf[:n], false)
			continue
		}
		e.counter.Arrived()
		signal(e.answers)
	}
}

// Send writes one message, and waits before it while much is queued.
func (e *pionEnd) Send(ctx context.Context, body []byte) error {
	for e.channel.BufferedAmount() > pionAhead {
		if err := wait(ctx, e.low); err != nil {
			return err
		}
	}
	_, err := e.raw.WriteDataChannel(body, false)
	return err
}

// Flush has nothing to do: pion writes by itself.
func (e *pionEnd) Flush(context.Context) error { return nil }

// Ask writes a message, and waits for what comes back.
func (e *pionEnd) Ask(ctx context.Context, body []byte) error {
	if err := e.Send(ctx, body); err != nil {
		return err
	}
	return wait(ctx, e.answers)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
