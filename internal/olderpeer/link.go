package olderpeer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/webrtc/v3"
)

// newAPI gathers on loopback alone, and asks nobody; or it gathers nothing.
func newAPI(noCandidates bool) *webrtc.API {
	var settings webrtc.SettingEngine
	if noCandidates {
		settings.SetInterfaceFilter(func(string) bool { return false })
	}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(net.IP.IsLoopback)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetPrflxAcceptanceMinWait(0) // a check that overtakes its trickled candidate costs no second
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	return webrtc.NewAPI(webrtc.WithSettingEngine(settings))
}

// link is an open data channel with the older framing (section 11).
type link struct {
	channel  *webrtc.DataChannel
	idLength int // of a uuid; zero: drawn

	mu sync.Mutex // the packets of a message stay together
}

func (l *link) send(m Message) error {
	packets, err := packetsOf(m, drawPacketID(l.idLength), time.Now())
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range packets {
		if p.text {
			err = l.channel.SendText(string(p.data))
		} else {
			err = l.channel.Send(p.data)
		}
		if err != nil {
			return fmt.Errorf("send on the channel: %w", err)
		}
	}
	return nil
}

// attach sets what happens on the channel, on the side that created it and on the
// side that was given it.
func (c *connection) attach(channel *webrtc.DataChannel) {
	if channel.Label() != channelLabel || !channel.Ordered() ||
		channel.MaxRetransmits() != nil || channel.MaxPacketLifeTime() != nil {
		c.fail(c.peer.violate("a channel %q that is not the ordered and reliable %s", channel.Label(), channelLabel))
		return
	}
	var packets assembler
	channel.OnOpen(func() { c.opened(&link{channel: channel, idLength: c.peer.config.PacketIDLength}) })
	channel.OnClose(func() { c.end("the channel is closed") })
	channel.OnMessage(func(raw webrtc.DataChannelMessage) {
		take := packets.binary
		if raw.IsString {
			take = packets.text
		}
		m, err := take(raw.Data)
		if err != nil {
			_ = c.peer.violate("%w", err)
			return
		}
		if m != nil {
			c.receive(*m)
		}
	})
}

// opened publishes live, and lets the updates go that have waited.
func (c *connection) opened(l *link) {
	c.mu.Lock()
	c.link = l
	echoes := c.echoes
	c.echoes = nil
	c.mu.Unlock()
	for _, m := range echoes {
		_ = c.send(c.ctx, m)
	}
	c.publish(StatusLive, "")
}

// receive takes a message from the channel. What is for the stub is not for the
// bus, and what the other side sends back of our own object is nothing new.
func (c *connection) receive(m Message) {
	c.mu.Lock()
	own := c.own
	c.mu.Unlock()
	if m.To == c.stub || m.To == own {
		return
	}
	m.Path = Channel
	c.peer.receive(m)
}

// send puts body.peer on a message, as older peers do, and sends it.
func (c *connection) send(ctx context.Context, m Message) error {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l == nil {
		return errors.New("the channel is not open")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.send(m.with("peer", c.remote))
}

// echo sends an update of the observed object into the channel as well: an older bus
// gives it to the stub, which passes it on. What comes before the channel is open is
// kept for it.
func (c *connection) echo(update Message) {
	c.mu.Lock()
	open := c.link != nil
	if !open && len(c.echoes) < waitingUpdates {
		c.echoes = append(c.echoes, update)
	}
	c.mu.Unlock()
	if open {
		_ = c.send(c.ctx, update)
	}
}

// Disconnect closes the channel to a remote runtime and does nothing else, as older
// stubs do: no object is deleted.
func (p *Peer) Disconnect(remoteRuntime string) error {
	c, err := p.live(remoteRuntime)
	if err != nil {
		return err
	}
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	return l.channel.Close()
}
