package registry

import (
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// This file is the part of the machine in which one connection takes the place of
// another without a pause.
//
//	renewed, or another stub is live      live                    registered
//	    └─► successor, setting up ────────► registering beside ─────► the entry's own
//	              │ failed, gone, overdue          │ refused           the old stub goes
//	              └────────► given up ◄────────────┘
//
// The successor has an address of its own, so that both can be used for a moment.

// renew deploys a requester for a connection that is worn.
func (s *step) renew() {
	if !s.c.usable() || s.c.Successor.Stub != "" || s.e.stub == s.c.Stub {
		return
	}
	s.c.Successor = successor{Stub: s.e.stub, Role: requester, Replica: s.e.replica, deadline: s.e.at.Add(s.r.limits.Setup)}
	if s.c.Handler == "" {
		s.c.Handler = s.e.handler
	}
	s.do(effect{kind: deploy, stub: s.e.stub, replica: s.e.replica, role: requester, beside: true})
}

// reportOfSuccessor takes its status.
func (s *step) reportOfSuccessor() {
	n := &s.c.Successor
	if !n.heard.hear(s.e.channel, s.e.state) {
		return
	}
	switch s.e.state {
	case status.Live:
		s.registerSuccessor()
	case status.Disconnected, status.Failed:
		s.giveUpSuccessor(s.e.reason)
	}
}

// succeed makes a stub that is live the successor of the one that is, too.
func (s *step) succeed() {
	s.dropSuccessor("another connection is live first")
	s.c.Successor = successor{Stub: s.e.stub, Role: s.e.role, Replica: s.e.replica}
	s.c.Successor.heard.hear(s.e.channel, s.e.state)
	s.registerSuccessor()
}

// registerSuccessor is steps 1 to 3 of section 9, beside the connection that is
// there.
func (s *step) registerSuccessor() {
	n := &s.c.Successor
	if n.registering || !s.c.usable() {
		return
	}
	n.registering, s.c.beside, n.deadline = true, true, s.e.at.Add(s.r.limits.Setup)
	s.c.epoch++
	s.c.pending = address.P2PConnectionURL(s.r.own, s.e.id)
	s.do(effect{kind: register, stub: n.Stub, role: n.Role, epoch: s.c.epoch, url: s.c.pending, beside: true})
}

// promote makes the successor the entry's connection, now that it has an address.
func (s *step) promote() {
	old := effect{
		kind: dispose, stub: s.c.Stub, replica: s.c.Replica, role: s.c.Role, url: s.c.URL, reason: "a new connection has taken its place", beside: true,
	}
	s.c.takeSuccessor()
	s.c.Phase, s.c.URL = idle, s.c.pending
	s.do(effect{kind: reroute}, effect{kind: swap, url: s.c.URL}, effect{kind: learn, stub: s.c.Stub, role: s.c.Role})
	if old.stub != "" {
		s.do(old)
	}
}

func (c *connection) takeSuccessor() {
	n := c.Successor
	c.Stub, c.Role, c.Replica, c.heard, c.news = n.Stub, n.Role, n.Replica, n.heard, n.news
	c.Flow = c.Flow || n.news.flow
	c.Successor, c.leads = successor{}, false
}

// inherit goes on with the successor when what it was to follow is lost first.
func (s *step) inherit(reason string) {
	n, lost := s.c.Successor, effect{kind: dispose, stub: s.c.Stub, replica: s.c.Replica, role: s.c.Role, reason: reason}
	if n.registering {
		// The channel is open already: it is live as soon as it has its address.
		s.c.takeSuccessor()
		s.c.Phase, s.c.deadline = registering, n.deadline
		s.do(effect{kind: reroute}, lost)
		return
	}
	s.disconnect(reason)
	s.c.takeSuccessor()
	s.c.Attempts++
	if n.live() {
		s.register()
	} else {
		s.c.Phase, s.c.deadline = settingUp, n.deadline
	}
	s.do(lost)
}

// giveUpSuccessor keeps the connection that is there; another one is tried later.
func (s *step) giveUpSuccessor(reason string) {
	s.dropSuccessor(reason)
	s.c.renewAt = s.e.at.Add(s.r.limits.RenewWait)
}

func (s *step) dropSuccessor(reason string) {
	n := s.c.Successor
	if n.Stub == "" {
		return
	}
	s.c.Successor = successor{}
	if n.registering {
		s.c.epoch++ // its registration is of no use any more
		s.do(effect{kind: retire, url: s.c.pending, beside: true})
	}
	if n.Role == requester || s.e.kind != gone {
		s.do(effect{kind: dispose, stub: n.Stub, replica: n.Replica, role: n.Role, reason: reason})
	}
}
