package rtc

import (
	"context"
	"time"

	"github.com/pion/webrtc/v3"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/datasync"
)

// Restart begins ICE anew (RFC 8445, section 2.4) and gives the offer for it,
// complete with host candidates. The path that there is ends at once; DTLS, SCTP
// and the data channels go on as soon as SetAnswer has led to another one. It is
// the requester's to do, and not again before the answer has come.
func (p *Peer) Restart(ctx context.Context) (datasync.Description, error) {
	p.gathered(ctx)
	p.anew()
	d, err := p.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		return datasync.Description{}, fault.New(fault.Internal, "offer for an ICE restart: %w", err)
	}
	return p.describe(ctx, d)
}

// AnswerRestart takes the offer for an ICE restart, and gives the answer.
func (p *Peer) AnswerRestart(ctx context.Context, offer datasync.Description) (datasync.Description, error) {
	p.gathered(ctx)
	p.anew()
	return p.Answer(ctx, offer)
}

// gatherTime is how long the last candidates of a generation are waited for: hosts' are there
// in milliseconds. Of a server that is silent pion lets go by itself.
const gatherTime = 250 * time.Millisecond

// gathered waits until the candidates of the generation that is over have been gathered. In
// the moment between the last one and the end of it pion takes the next generation for one
// that has been gathered, and refuses to do it.
func (p *Peer) gathered(ctx context.Context) {
	if p.pc.ICEGatheringState() != webrtc.ICEGatheringStateGathering {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTime)
	defer cancel()
	select {
	case <-webrtc.GatheringCompletePromise(p.pc):
	case <-ctx.Done():
	}
}

// anew forgets what belongs to the generation of ICE that is over.
func (p *Peer) anew() {
	p.engine.lookAnew() // a path is lost where addresses change
	hosts := len(p.tap.GetListenAddresses())
	p.tap.describe("")
	p.seek() // pion says nothing of a search that follows another one
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts, p.found, p.remotes = hosts, 0, 0
	p.ready, p.described, p.early = make(chan struct{}), false, nil
}
