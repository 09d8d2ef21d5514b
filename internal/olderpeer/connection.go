package olderpeer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pion/webrtc/v3"
)

// connection is one set-up and the data channel that comes of it.
type connection struct {
	peer   *Peer
	remote string // runtime URL of the other side
	stub   string // our stub: the handler, or a requester of this connection's own
	pc     *webrtc.PeerConnection
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	once   sync.Once // close

	described chan struct{} // closed when the local description is set

	mu        sync.Mutex // guards what follows
	addresses []string   // listened to for this connection
	own       string     // <our object>/changes
	link      *link      // nil until the channel is open
	echoes    []Message  // observed updates that wait for the channel
	ending    bool       // failed or closed: no further status
}

func (p *Peer) newConnection(remote, stub string) (*connection, error) {
	pc, err := p.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("new peer connection: %w", err)
	}
	c := &connection{peer: p, remote: remote, stub: stub, pc: pc, described: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(p.ctx)
	pc.OnConnectionStateChange(c.transport)
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.connections[c] = true
	}
	p.mu.Unlock()
	if closed {
		c.close()
		return nil, errClosed
	}
	c.publish(StatusCreated, "")
	return c, nil
}

// transport follows the peer connection; that it opened is seen on the channel.
func (c *connection) transport(state webrtc.PeerConnectionState) {
	if state == webrtc.PeerConnectionStateFailed {
		c.fail(errors.New("ICE or DTLS failed"))
	}
}

func (c *connection) publish(value, reason string) { c.peer.publish(c, value, reason) }

// conclude ends the connection if a part of its set-up has failed.
func (c *connection) conclude(err error) {
	if err != nil && c.ctx.Err() == nil {
		c.fail(err)
	}
}

// fail publishes failed, or disconnected if it was live, and closes.
func (c *connection) fail(err error) { c.end(err.Error()) }

func (c *connection) end(reason string) {
	c.mu.Lock()
	first, live := !c.ending, c.link != nil
	c.ending = true
	c.mu.Unlock()
	if !first {
		return
	}
	value := StatusFailed
	if live {
		value = StatusDisconnected
	}
	c.publish(value, reason)
	c.peer.spawn(func(context.Context) { c.close() })
}

// close ends what belongs to the connection. It must not be called from a callback
// of pion, which it waits for.
func (c *connection) close() {
	c.once.Do(func() {
		c.cancel()
		c.mu.Lock()
		c.ending = true
		addresses := c.addresses
		c.mu.Unlock()
		for _, address := range addresses {
			c.peer.unlisten(address)
		}
		_ = c.pc.GracefulClose()
		c.peer.mu.Lock()
		delete(c.peer.connections, c)
		c.peer.mu.Unlock()
	})
}

func (c *connection) listen(address string, f func(Message)) {
	c.mu.Lock()
	c.addresses = append(c.addresses, address)
	c.mu.Unlock()
	c.peer.listen(address, f)
}
