package rtc

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"

	"github.com/pion/webrtc/v3"

	"github.com/peerbus/peerbus/internal/fault"
)

// Found is a candidate of this machine: an address at which others may reach it.
type Found struct {
	Type    string // host, srflx (by a STUN server), relay (by a TURN server)
	Address string // IP:PORT
}

// Gather finds the candidates that an Engine of a Config would offer, at a socket of
// its own. It ends with ctx at the latest, and then gives what there is; servers that
// do not answer by then have no candidate.
func Gather(ctx context.Context, c Config) (all []Found, err error) {
	e, err := Open(c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	api := webrtc.NewAPI(webrtc.WithSettingEngine(e.settings(&tap{mux: e.mux})))
	pc, err := api.NewPeerConnection(e.config)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "ICE servers: %w", err)
	}
	defer func() { _ = pc.Close() }()
	return gatherWith(ctx, pc)
}

func gatherWith(ctx context.Context, pc *webrtc.PeerConnection) ([]Found, error) {
	var mu sync.Mutex
	var all []Found
	complete := make(chan struct{})
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c == nil {
			close(complete)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, Found{c.Typ.String(), net.JoinHostPort(c.Address, strconv.Itoa(int(c.Port)))})
	})
	if _, err := pc.CreateDataChannel(Label, nil); err != nil {
		return nil, fault.New(fault.Internal, "data channel: %w", err)
	}
	offer, err := pc.CreateOffer(nil)
	if err == nil {
		err = pc.SetLocalDescription(offer)
	}
	if err != nil {
		return nil, fault.New(fault.Internal, "own description: %w", err)
	}
	select {
	case <-complete:
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	return all, nil
}
