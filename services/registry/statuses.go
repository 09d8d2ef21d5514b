package registry

import (
	"context"
	"sync"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

// statuses are the listeners of `<stubURL>/status`: the handler's, and one for
// each requester.
type statuses struct {
	mu  sync.Mutex
	all map[string]*client.Listener // by stub
}

func newStatuses() statuses { return statuses{all: map[string]*client.Listener{}} }

// listenToStub listens to a stub's status, unless that is so already.
func (r *Registry) listenToStub(ctx context.Context, stub string, role pb.ConnectionRole, replica string) error {
	ctx, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
	defer cancel()
	listener, err := r.bus.Listen(ctx, address.Status(stub), func(ctx context.Context, m *pb.Message) {
		r.takeStatus(ctx, event{kind: reported, stub: stub, role: role, replica: replica}, m)
	})
	if fault.CodeOf(err) == fault.Conflict {
		return nil
	}
	if err != nil {
		return err
	}
	r.statuses.mu.Lock()
	defer r.statuses.mu.Unlock()
	r.statuses.all[stub] = listener
	return nil
}

func (s *statuses) close(ctx context.Context, within time.Duration, stub string) {
	s.mu.Lock()
	listener := s.all[stub]
	delete(s.all, stub)
	s.mu.Unlock()
	if listener == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_ = listener.Close(ctx) // without the bus there is no listener either
}

// takeStatus makes an event of what a stub published (wire contract, section 8).
func (r *Registry) takeStatus(ctx context.Context, e event, m *pb.Message) {
	body, err := status.Decode(m)
	if err == nil && m.From != e.stub {
		err = fault.New(fault.Forbidden, "the status is from %s, not from the stub", m.From)
	}
	if err == nil {
		e.remote, e.state, e.channel, e.reason = body.Remote, body.State, onBus, body.Reason
		err = r.takeNews(ctx, e)
	}
	if fault.CodeOf(err) == fault.BadRequest || fault.CodeOf(err) == fault.Forbidden {
		r.log.Warn("status of a stub cannot be used", "stub", e.stub, "error", err)
	}
	if m.Type == message.Create {
		r.respond(ctx, answerTo(m, err))
	}
}

// answerTo tells a stub that the table has its new connection, so that it can
// wait for that before it sends anything to the peer (section 7, step 4). An event
// that the machine refused is no fault of the message.
func answerTo(m *pb.Message, err error) *pb.Message {
	if err != nil && fault.CodeOf(err) != fault.Conflict {
		return message.Refuse(m, err)
	}
	return message.Answer(m, fault.OK, nil)
}

// takeNews applies an event that came from outside, once its lane has room.
func (r *Registry) takeNews(ctx context.Context, e event) error {
	u, err := address.ParseRuntime(e.remote)
	if err != nil {
		return err
	}
	if u.Text == r.rules.own {
		return fault.New(fault.BadRequest, "%s is this runtime itself", u.Text)
	}
	e.remote = u.Text
	r.lanes.settle(ctx, e.remote)
	return r.apply(e)
}
