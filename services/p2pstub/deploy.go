package p2pstub

import (
	"context"
	"log/slog"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// deployed is a stub that has an address on the bus.
type deployed struct {
	url      string
	public   string // what others know it by: url, but for the handler of one replica of several
	role     role
	peer     *peer // a requester's only one
	listener *client.Listener
}

// target is whom a requester connects to.
type target struct {
	remote  string // the runtime
	invitee string // its handler stub
	replace bool   // the connection that there is stays until this one is live
}

// deploy makes a stub. What is there already is no error.
func (s *Stub) deploy(ctx context.Context, d *deployed, to target) error {
	if err := s.isReady(ctx); err != nil {
		return err
	}
	there, err := s.reserve(d)
	if there || err != nil {
		return err
	}
	d.listener, err = s.bus.Listen(ctx, d.url, func(ctx context.Context, m *pb.Message) { s.message(ctx, d, m) })
	if err == nil && d.role == requester {
		err = s.connect(d, to)
	}
	if err != nil {
		s.withdraw(ctx, d)
	}
	return err
}

// reserve takes a stub's address, and tells whether it is deployed already.
func (s *Stub) reserve(d *deployed) (there bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false, errStops
	}
	if s.stubs[d.url] != nil {
		return true, nil
	}
	s.stubs[d.url] = d
	return false, nil
}

// withdraw takes a stub away, and refuses what waits there.
func (s *Stub) withdraw(ctx context.Context, d *deployed) {
	s.mu.Lock()
	if s.stubs[d.url] == d {
		delete(s.stubs, d.url)
	}
	waited := s.dropQueue(d, fault.New(fault.NotFound, "the stub %s is gone", d.url))
	s.mu.Unlock()
	s.reply(waited)
	if d.listener != nil {
		_ = d.listener.Close(ctx) // without the bus there is no listener either
	}
}

// connect makes a requester's peer, unless there is a connection, or one that is
// to replace it beside it.
func (s *Stub) connect(d *deployed, to target) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var old *peer
	if to.replace {
		old = s.replaceable(to.remote)
	}
	at := inOffice
	if old != nil {
		at = asHeir
	}
	room := s.room(at)
	verdict, reason := admitRequester(standingIn(room, to.remote), d.url)
	if old == nil && s.turns.has(to.remote) {
		verdict, reason = refused, "the other side's invitation waits for its turn"
	}
	if verdict == refused {
		return fault.New(fault.Conflict, "no requester for %s: %s", to.remote, reason)
	}
	p, err := s.newPeer(d, to.remote, to.invitee)
	if err != nil {
		return err
	}
	p.now = standing{role: requester, stub: d.url}
	if old != nil {
		p.place, p.socket, p.replaces = at, old.socket.Other(), old.ours()
	}
	if verdict == replaces {
		p.first, p.why = room[to.remote], reason
	}
	d.peer = p
	s.add(p)
	return nil
}

// newPeer makes a peer, which add starts. The mutex is held.
func (s *Stub) newPeer(d *deployed, remote, invitee string) (*peer, error) {
	if s.stopping {
		return nil, errStops
	}
	if len(s.all) >= s.limits.Peers {
		return nil, fault.New(fault.TooMany, "there are %d peer connections already", len(s.all))
	}
	if d.role == handler && s.invited >= s.limits.Invited {
		return nil, fault.New(fault.TooMany, "there are %d set-ups of others under way already", s.invited)
	}
	p := &peer{
		stub: s, url: d.url, public: d.public, role: d.role, remote: remote, invitee: invitee, began: time.Now(),
		log:   about(s.log, slog.String("stub", d.url), slog.String("remote", remote)),
		inbox: make(chan func(), s.limits.Inbox), done: make(chan struct{}),
		from: []client.PostOption{client.From(&pb.Ingress{RemoteRuntimeUrl: remote})},
		info: &pb.Peer{StubUrl: d.url, Role: d.role.proto(), RemoteRuntimeUrl: remote},
	}
	p.ctx, p.cancel = context.WithCancel(s.last)
	return p, nil
}

func (s *Stub) add(p *peer) {
	s.all[p] = true
	s.room(p.place)[p.remote] = p
	if p.role == handler {
		s.invited++
	}
	s.work.Add(1) // until it is released
	go p.run()
}
