package registry

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/message"
)

// Where there are several P2P stubs, the registry takes what comes to the address of
// the runtime's handler, which others know, and hands it to one of them.
//
//	B requester ── create ──► …/p2phandler/1   registry
//	                                            │ Take: the replica that has an entry's
//	                                            ▼ connection with B, or B's owner
//	B requester ◄── 200, from …/p2phandler/1 ── …/p2phandler/1-<replica>
//
// All that is for one remote runtime is at one replica, as long as that lives; glare,
// repetition and successors are its business, as they are that of an only one.

// takeForHandler hands on a message that came to the public handler address.
func (r *Registry) takeForHandler(ctx context.Context, m *pb.Message) {
	switch m.Type {
	case message.Response: // to something whose answer does not matter
	case message.Create:
		r.takeInvitation(ctx, m)
	case message.Delete:
		r.takeEnd(ctx, m)
	default:
		r.respond(ctx, message.Refuse(m, fault.New(fault.BadRequest, "a P2P stub takes no %s", m.Type)))
	}
}

// takeInvitation hands a `create` to one replica, in the lane of the remote runtime.
func (r *Registry) takeInvitation(ctx context.Context, m *pb.Message) {
	remote, object, err := invitedBy(m)
	if err == nil && remote == r.rules.own {
		err = fault.New(fault.BadRequest, "a runtime cannot connect to itself")
	}
	if err != nil {
		r.respond(ctx, message.Refuse(m, err))
		return
	}
	select {
	case r.handing <- struct{}{}:
	default:
		r.respond(ctx, message.Refuse(m, fault.New(fault.TooMany, "%d invitations wait for a P2P stub already", r.limits.Invitations)))
		return
	}
	r.mu.Lock()
	r.inviteLocked(remote, func(i *invitedAt) { i.object = object })
	r.mu.Unlock()
	r.lanes.settle(ctx, remote)
	r.lanes.put(remote, func(ctx context.Context) {
		defer func() { <-r.handing }()
		if err := r.hand(ctx, remote, m); err != nil && ctx.Err() == nil && !errors.Is(err, errDeposed) {
			r.log.Debug("an invitation is not handed on", "remote", remote, "error", err)
			r.respond(ctx, message.Refuse(m, err))
		}
	})
}

// invitedBy tells which runtime an invitation is from, and with which Connection object.
func invitedBy(m *pb.Message) (remote, object string, err error) {
	inv, err := datasync.ParseInvitation(m)
	if err != nil {
		return "", "", err
	}
	name := inv.Object.Connection().Runtime
	if name == "" {
		name = inv.Object.Runtime
	}
	u, err := address.ParseRuntime(name)
	return u.Text, inv.Object.URL, err
}

// hand gives an invitation to a replica. One that has not taken it may be gone: then
// another one gets it. A replica knows an invitation that it gets twice.
func (r *Registry) hand(ctx context.Context, remote string, m *pb.Message) error {
	ctx, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
	defer cancel()
	wait := retry.Backoff{}
	for {
		r.mu.Lock()
		at, err := r.placeLocked(remote)
		if err == nil {
			r.inviteLocked(remote, func(i *invitedAt) { i.replica = at.member.ID })
		}
		r.mu.Unlock()
		if err == nil {
			err = r.tryHand(ctx, at, m)
		}
		switch fault.CodeOf(err) {
		case fault.Unavailable, fault.NotFound: // it stops, or its handler stub is not deployed yet
		case fault.Timeout: // it hangs, and will be found gone
		default:
			return err
		}
		if wait.Wait(ctx) != nil {
			return err
		}
	}
}

// tryHand is one attempt to give a message to a replica's handler. A replica that is gone, or hangs, leaves time for another one.
func (r *Registry) tryHand(ctx context.Context, at *p2pStub, m *pb.Message) error {
	if r.several() {
		within, cancel := context.WithTimeout(ctx, r.limits.TakeWait)
		defer cancel()
		ctx = within
	}
	_, err := at.client.Take(ctx, &pb.P2PStubTakeRequest{StubUrl: at.handler, Message: m, Term: r.term()},
		grpc.WaitForReady(false))
	return r.heed(err)
}

// inviteLocked notes where the invitation of a remote runtime is, and what it is with, until
// its entry says so.
func (r *Registry) inviteLocked(remote string, note func(*invitedAt)) {
	makeRoom(r.invited, remote, r.limits.Connections)
	i := r.invited[remote]
	note(&i)
	i.until = r.cfg.Now().Add(r.limits.Setup)
	r.invited[remote] = i
}

// forgetOldLocked forgets where invitations were handed, and what could not be closed,
// after a while.
func (r *Registry) forgetOldLocked(now time.Time) {
	for remote, i := range r.invited {
		if now.After(i.until) {
			delete(r.invited, remote)
		}
	}
	for peer, until := range r.unclosed {
		if now.After(until) {
			delete(r.unclosed, peer)
		}
	}
}

// takeEnd tells the replica that has a connection, or an invitation that waits for its
// turn, that the other side's object is gone. What is not there is gone already.
func (r *Registry) takeEnd(ctx context.Context, m *pb.Message) {
	var body struct {
		Resource string `json:"resource"`
	}
	if err := message.UnmarshalBody(m, &body); err != nil {
		r.respond(ctx, message.Refuse(m, err))
		return
	}
	for _, c := range r.entries() {
		if body.Resource == "" || !c.hasObject(body.Resource) {
			continue
		}
		if r.tellEnd(ctx, c.Replica, m) {
			return
		}
	}
	remote := r.invitedWith(body.Resource)
	if remote == "" {
		r.respond(ctx, message.Answer(m, fault.OK, nil))
		return
	}
	r.lanes.settle(ctx, remote)
	r.lanes.put(remote, func(ctx context.Context) { // behind the invitation
		r.mu.Lock()
		replica := r.invited[remote].replica
		r.mu.Unlock()
		if !r.tellEnd(ctx, replica, m) {
			r.respond(ctx, message.Answer(m, fault.OK, nil))
		}
	})
}

// tellEnd hands a delete to a replica, which answers it; false when that is gone.
func (r *Registry) tellEnd(ctx context.Context, replica string, m *pb.Message) bool {
	at, err := r.stubAt(replica)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
	defer cancel()
	return r.tryHand(ctx, at, m) == nil
}

// invitedWith gives the runtime whose last invitation was with an object; empty when that
// is not known any more.
func (r *Registry) invitedWith(object string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for remote, i := range r.invited {
		if object != "" && i.object == object {
			return remote
		}
	}
	return ""
}

// invitedAt is what is known of the last invitation of a runtime.
type invitedAt struct {
	replica string // that an invitation was handed to; empty before
	object  string // the Connection object that it is with
	until   time.Time
}
