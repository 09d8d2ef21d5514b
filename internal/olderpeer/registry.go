package olderpeer

import (
	"context"
	"fmt"
)

// The values of a status, as older stubs write them (section 8).
const (
	StatusCreated      = "create"
	StatusInProgress   = "in-progress"
	StatusLive         = "live"
	StatusDisconnected = "disconnected"
	StatusFailed       = "failed"
)

// entry is the peer's knowledge of one remote runtime. With two connections at once
// (glare) it follows whichever becomes live.
type entry struct {
	state      string
	reason     string // of failed and disconnected
	connection *connection
}

// publish tells the peer's own registry the status of a stub: always update, also
// the first time. It stays within the runtime, as it does in an older one.
func (p *Peer) publish(c *connection, value, reason string) {
	body := Body{"value": value, "resource": c.remote}
	if reason != "" {
		body["desc"] = reason
	}
	m := Message{ID: p.number(), Type: "update", From: c.stub, To: c.stub + "/status", Body: body}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.statuses = append(p.statuses, m)
	p.note(c, value, reason)
	close(p.changed)
	p.changed = make(chan struct{})
}

// note brings the table up to date; the caller holds mu.
func (p *Peer) note(c *connection, value, reason string) {
	e := p.table[c.remote]
	if e == nil {
		e = &entry{}
		p.table[c.remote] = e
	}
	switch value {
	case StatusCreated, StatusInProgress:
		if e.state != StatusLive {
			*e = entry{state: value, connection: c}
		}
	case StatusLive:
		*e = entry{state: value, connection: c}
	case StatusDisconnected, StatusFailed:
		if e.connection != c {
			return
		}
		*e = entry{state: value, reason: reason, connection: c}
		if other := p.underWay(c); other != nil && value == StatusFailed {
			*e = entry{state: StatusInProgress, connection: other}
		}
	}
}

// underWay finds another connection to the remote runtime of c; the caller holds mu.
func (p *Peer) underWay(c *connection) *connection {
	for other := range p.connections {
		if other != c && other.remote == c.remote && other.ctx.Err() == nil {
			return other
		}
	}
	return nil
}

// WaitLive returns when a connection to the remote runtime is live, whichever side
// asked for it. It fails as soon as a set-up has failed.
func (p *Peer) WaitLive(ctx context.Context, remoteRuntime string) error {
	return p.Wait(ctx, remoteRuntime, StatusLive)
}

// Wait returns when the entry of the remote runtime has reached a state. It fails as
// soon as the state is failed, unless that is what is waited for.
func (p *Peer) Wait(ctx context.Context, remoteRuntime, state string) error {
	for {
		p.mu.Lock()
		var now entry
		if e := p.table[remoteRuntime]; e != nil {
			now = *e
		}
		changed := p.changed
		p.mu.Unlock()
		switch now.state {
		case state:
			return nil
		case StatusFailed:
			return fmt.Errorf("the connection to %s failed: %s", remoteRuntime, now.reason)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the connection to %s is %q, not %q: %w", remoteRuntime, now.state, state, ctx.Err())
		case <-p.ctx.Done():
			return errClosed
		}
	}
}

// Statuses returns the status messages of all stubs, in order.
func (p *Peer) Statuses() []Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Message(nil), p.statuses...)
}

// live returns the connection that messages to a remote runtime go over.
func (p *Peer) live(remoteRuntime string) (*connection, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.table[remoteRuntime]
	if e == nil || e.state != StatusLive {
		return nil, fmt.Errorf("no live connection to %s", remoteRuntime)
	}
	return e.connection, nil
}
