package rtc

import (
	"github.com/pion/webrtc/v3"

	"github.com/peerbus/peerbus/internal/fault"
)

// HeartbeatLabel is that of the data channel for heartbeats, an addition of ours.
// It is unordered, and nothing is sent twice over it: what is late is of no use.
// pion sends what is unordered before what is ordered, so that a heartbeat never
// waits behind data; nor behind the message that opens the channel, so that the
// requester must send nothing before something has come.
const HeartbeatLabel = "P2PHeartbeat"

// OpenHeartbeat opens the heartbeat channel, once the data channel is open. It is
// the requester's to do; the handler has it reported by Events.Heartbeat as well.
func (p *Peer) OpenHeartbeat() error {
	ordered, again := false, uint16(0)
	dc, err := p.pc.CreateDataChannel(HeartbeatLabel, &webrtc.DataChannelInit{Ordered: &ordered, MaxRetransmits: &again})
	if err != nil {
		return fault.New(fault.Internal, "heartbeat channel: %w", err)
	}
	p.openHeartbeat(dc)
	return nil
}

func (p *Peer) openHeartbeat(dc *webrtc.DataChannel) {
	if p.events.Heartbeat != nil {
		p.reportOpen(dc, &p.beating, p.events.Heartbeat)
	}
}
