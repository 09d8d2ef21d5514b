package msgnode

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// sessionService answers at `mn:/session` (wire contract, section 3).
func (n *Node) sessionService(ctx context.Context, x *exchange) (reply, error) {
	switch x.m.Type {
	case "open":
		return n.open(ctx, x, event{kind: evOpen, runtime: x.m.From, flow: announcesFlow(x.m)})
	case "re-open":
		runtime, token := cutToken(x.m.From)
		return n.open(ctx, x, event{kind: evReopen, runtime: runtime, given: token, flow: announcesFlow(x.m)})
	case "close":
		return n.close(ctx, x)
	default:
		return reply{}, fault.New(fault.BadRequest, "type %q is not one of open, re-open, close", x.m.Type)
	}
}

// announcesFlow reads the announcement in the body of an open or re-open. Of
// another shape it is none.
func announcesFlow(m *pb.Message) bool {
	var body struct {
		Flow []string `json:"flow"`
	}
	return message.UnmarshalBody(m, &body) == nil && message.Announces(body.Flow)
}

// cutToken takes `<runtimeURL>/<token>` apart. Any text behind the runtime is a
// token, and so is none: one that the node does not know. What names no runtime
// stays whole, and is refused as that.
func cutToken(from string) (runtime, token string) {
	u, err := address.Parse(from)
	if err != nil || u.Runtime == "" {
		return from, ""
	}
	return u.Runtime, strings.TrimLeft(from[len(u.Runtime):], "/")
}

// open opens or re-opens the session of a runtime on the socket that asks.
func (n *Node) open(ctx context.Context, x *exchange, e event) (reply, error) {
	u, err := address.ParseRuntime(e.runtime)
	if err != nil {
		return reply{}, err
	}
	e.runtime, e.socket, e.fresh = u.Runtime, x.socket.id, rand.Text()
	if err := n.mayOpen(ctx, x.socket, e); err != nil {
		return reply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
	defer cancel()
	if err := n.opens.take(ctx); err != nil {
		return reply{}, err
	}
	defer n.opens.end()
	s, out, err := n.change(ctx, e)
	if err != nil {
		return reply{}, err
	}
	n.mu.Lock()
	x.socket.session = s
	x.socket.hush()
	n.mu.Unlock()
	if err := n.subscribe(ctx, s, []string{address.SyncManager(s.Runtime)}); err != nil {
		return reply{}, err
	}
	n.log.Debug("session "+string(out), "runtime", s.Runtime, "transport", x.socket.transport.name())
	x.opened = true
	return reply{fields: openAnswer(s, out)}, nil
}

// openAnswer has the token, except where the client's own was right: a token
// tells it to subscribe again.
func openAnswer(s Session, out outcome) any {
	if out == outKept {
		return nil
	}
	return map[string]string{"runtimeToken": s.Token}
}

// mayOpen refuses a second runtime on a socket and sessions beyond the bound,
// and slows down those who come again and again with an unknown token.
func (n *Node) mayOpen(ctx context.Context, s *socket, e event) error {
	if s.session.Runtime != "" && s.session.Runtime != e.runtime {
		return fault.New(fault.Conflict, "this connection has the session of %s", s.session.Runtime)
	}
	n.mu.Lock()
	have, count := n.directory.sessions[e.runtime], len(n.directory.sessions)
	delay, ok := n.reopenDelay(have, e)
	n.mu.Unlock()
	switch {
	case have.Token == "" && count >= n.limits.Sessions:
		return fault.New(fault.TooMany, "the node has %d sessions, which is its bound", count)
	case !ok:
		return fault.New(fault.TooMany, "%s re-opens too often", e.runtime)
	}
	return n.wait(ctx, delay)
}

// close ends the session, and the socket. From a socket that the session has
// left it ends the socket alone.
func (n *Node) close(ctx context.Context, x *exchange) (reply, error) {
	s := x.socket.session
	if s.Token != "" && !address.Within(x.m.From, s.Runtime) {
		return reply{}, fault.New(fault.Forbidden, "%s is not of this session", x.m.From)
	}
	if s.Token != "" {
		ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
		defer cancel()
		if _, _, err := n.change(ctx, event{kind: evClose, runtime: s.Runtime, socket: x.socket.id}); err != nil {
			return reply{}, err
		}
	}
	x.close = true
	return reply{}, nil
}

// change applies an event to a runtime's session, whoever else is writing. It
// returns when the change can be seen here.
func (n *Node) change(ctx context.Context, e event) (Session, outcome, error) {
	key := sessionKey(e.runtime)
	for {
		revision := n.state.revision(key) // before the session is read, so that it is never newer
		n.mu.RLock()
		before := n.directory.sessions[e.runtime]
		n.mu.RUnlock()
		after, out := next(before, e)
		if after == before {
			return after, out, nil
		}
		err := n.writeSession(ctx, key, before, after, revision)
		if errors.Is(err, errConflict) {
			continue
		}
		if err == nil {
			n.metrics.sessions.WithLabelValues(string(out)).Inc()
		}
		return after, out, err
	}
}

func (n *Node) writeSession(ctx context.Context, key string, before, after Session, revision uint64) error {
	if after.Token != "" {
		value, err := json.Marshal(after)
		if err != nil {
			return err
		}
		return n.state.put(ctx, key, value, revision)
	}
	if err := n.state.remove(ctx, key, revision); err != nil {
		return err
	}
	n.mu.RLock()
	keys := n.directory.keysOf(before.Token)
	n.mu.RUnlock()
	if err := n.dropHolds(ctx, keys, before.Token); err != nil {
		n.log.Warn("addresses of a closed session are left to the next sweep", "runtime", before.Runtime, "error", err)
	}
	return nil
}

// applyState takes a change of the state bucket, from the store.
func (n *Node) applyState(key string, value []byte) {
	r, err := n.applyAndMove(key, value)
	if err != nil {
		n.log.Warn("the store has what cannot be read", "error", err)
	}
	if r.replaced {
		n.log.Warn("a session was opened anew while its old socket is there: if the runtime did not restart, two have the same URL",
			"runtime", r.runtime)
	}
	n.relayed(r.handed...)
	n.refuseLetters(r.refused, r.why)
}

// move is what is left to do of a session's move when mu is not held any more.
type move struct {
	runtime  string
	replaced bool     // a socket that is open has lost the session
	handed   []letter // to the socket here
	refused  []letter
	why      func(to string) error
}

func (n *Node) applyAndMove(key string, value []byte) (move, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, after, err := n.directory.apply(key, value)
	if err != nil || before == after {
		return move{}, err
	}
	return n.moved(before, after), nil
}

// moved carries what a session has not been sent to where it is now, keeps it
// while there is no such place, and ends it with the session. It is called with mu
// held, so that no message overtakes it.
func (n *Node) moved(before, after Session) move {
	r := move{runtime: cmp.Or(after.Runtime, before.Runtime)}
	left := n.mail.take(r.runtime)
	if s := n.sockets[before.Socket]; s != nil {
		s.replaced = after.Socket != ""
		r.replaced = s.replaced
		if after.Token != "" && !s.replaced {
			n.wakeSweeper() // another replica took it for lost: it is claimed back
		}
		left = append(left, s.queue.leave()...)
	}
	switch s := n.sockets[after.Socket]; {
	case s != nil:
		s.replaced = false
		s.queue.adopt(left, after)
		r.handed = left
	case after.Token == "":
		r.refused, r.why = left, errNobody
	default:
		r.refused, r.why = n.store(after, left...)
	}
	return r
}

// reopenDelay is called with mu held. Only a re-open whose token is unknown is
// paced.
func (n *Node) reopenDelay(have Session, e event) (time.Duration, bool) {
	if e.kind != evReopen || (have.Token != "" && have.Token == e.given) {
		return 0, true
	}
	return n.pace.delay(e.runtime, n.now(), n.limits.ReopenWait)
}
