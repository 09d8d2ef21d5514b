package baseline

import (
	"context"
	"encoding/json"
	"net"
	"time"

	"github.com/pion/webrtc/v3"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
)

// PionSetUpRole is a peer at pion's defaults that sets up one connection after the other.
// Descriptions and candidates, which trickle, go over one TCP connection that is there
// already, as line after line of JSON.
const PionSetUpRole = "pion-set-up"

// PionSetUpConfig has one of both.
type PionSetUpConfig struct {
	Listen string // who answers
	Dial   string // who offers
}

// signalLine is a line of the signalling.
type signalLine struct {
	Description *webrtc.SessionDescription `json:"description,omitempty"`
	Candidate   *webrtc.ICECandidateInit   `json:"candidate,omitempty"`
	Over        bool                       `json:"over,omitempty"` // the connection is closed
	Echo        bool                       `json:"echo,omitempty"` // comes back at once
}

// NewPionSetUp is the Role.
func NewPionSetUp(ctx context.Context, cfg PionSetUpConfig) (worker.Ops, error) {
	if cfg.Listen != "" {
		lis, err := net.Listen("tcp", cfg.Listen)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = lis.Close() })
		go answerAll(lis)
		return load.WithMemory(worker.Ops{}), nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", cfg.Dial)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	o := &offerer{out: newLines(conn), in: make(chan signalLine, 64)}
	go o.read(conn)
	return load.WithMemory(worker.Ops{
		load.DoSetUp: worker.Do(func(ctx context.Context, _ struct{}) (load.SetUp, error) { return o.once(ctx) }),
		load.DoRest:  worker.Do(func(context.Context, struct{}) (any, error) { return nil, nil }), // each is closed at once
	}), nil
}

// offerer is who begins.
type offerer struct {
	out *lines
	in  chan signalLine
}

func (o *offerer) read(conn net.Conn) {
	defer close(o.in)
	for d := json.NewDecoder(conn); ; {
		var l signalLine
		if d.Decode(&l) != nil {
			return
		}
		o.in <- l
	}
}

// once sets a connection up, from the offer until the channel is open, and closes it.
// First is how long a line takes there and back.
func (o *offerer) once(ctx context.Context) (load.SetUp, error) {
	first, err := o.echo(ctx)
	if err != nil {
		return load.SetUp{}, err
	}
	p, err := newTrickling(o.out)
	if err != nil {
		return load.SetUp{}, err
	}
	defer func() {
		_ = p.pc.Close()
		o.out.write(signalLine{Over: true})
	}()
	open := make(chan struct{})
	channel, err := p.pc.CreateDataChannel("bench", nil)
	if err != nil {
		return load.SetUp{}, err
	}
	channel.OnOpen(func() { close(open) })
	began := time.Now()
	if err := p.describe(p.pc.CreateOffer(nil)); err != nil {
		return load.SetUp{}, err
	}
	for {
		select {
		case <-open:
			return load.SetUp{Open: time.Since(began), First: first}, nil
		case l, ok := <-o.in:
			if !ok {
				return load.SetUp{}, net.ErrClosed
			}
			if err := p.take(l); err != nil {
				return load.SetUp{}, err
			}
		case <-ctx.Done():
			return load.SetUp{}, ctx.Err()
		}
	}
}

// echo passes over what is left of the connection before.
func (o *offerer) echo(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	o.out.write(signalLine{Echo: true})
	for {
		select {
		case l, ok := <-o.in:
			if !ok {
				return 0, net.ErrClosed
			}
			if l.Echo {
				return time.Since(began), nil
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
