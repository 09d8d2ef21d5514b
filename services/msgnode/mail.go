package msgnode

import (
	"context"
	"log/slog"
	"slices"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// failures says of each of some letters why someone could not have it, or nil. It is nil
// when all went.
type failures []error

// with adds those of n letters that stand at some places.
func (f failures) with(n int, why error, places ...int) failures {
	if f == nil && len(places) > 0 {
		f = make(failures, n)
	}
	for _, i := range places {
		f[i] = why
	}
	return f
}

func (f failures) at(i int) error {
	if f == nil {
		return nil
	}
	return f[i]
}

// handAll hands letters, which have one address, to runtimes.
func (n *Node) handAll(runtimes []string, letters []letter) (failed failures) {
	for _, runtime := range runtimes {
		over, why := n.hand(runtime, letters)
		failed = failed.with(len(letters), why, over...)
	}
	return failed
}

// hand puts letters into the queue of a runtime's socket, or into its mailbox
// when its session is at none here. It gives the places of those that have no room
// there, and why.
func (n *Node) hand(runtime string, letters []letter) (over []int, why error) {
	n.mu.RLock()
	there, over, why := n.push(n.directory.sessions[runtime], letters)
	n.mu.RUnlock()
	if !there {
		there, over, why = n.keep(runtime, letters)
	}
	if len(over) > 0 {
		n.metrics.dropped.WithLabelValues(reasonOf(why)).Add(float64(len(over)))
		letters = without(letters, over)
	}
	if there {
		n.relayed(letters...)
	}
	return over, why
}

// without gives the letters but for those at some places, which are in order.
func without(letters []letter, places []int) []letter {
	var rest []letter
	for i, l := range letters {
		if _, out := slices.BinarySearch(places, i); !out {
			rest = append(rest, l)
		}
	}
	return rest
}

// push puts letters into the queue of a session's socket, if it has one here. It
// is called with mu held.
func (n *Node) push(s Session, letters []letter) (there bool, over []int, why error) {
	socket := n.sockets[s.Socket]
	if socket == nil {
		return false, nil, nil
	}
	over, why = socket.queue.push(letters, s)
	switch to := letters[0].Head().To; why {
	case errQueueFull:
		why = errFull(to)
	case errQueueEnded:
		why = errAway(to)
	}
	return true, over, why
}

// keep puts letters into a mailbox, unless the session has come back meanwhile:
// then they are there.
func (n *Node) keep(runtime string, letters []letter) (there bool, over []int, why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, to := n.directory.sessions[runtime], letters[0].Head().To
	if there, over, why = n.push(s, letters); there {
		return there, over, why
	}
	for i, l := range letters {
		if err := n.keepOne(s, to, l); err != nil {
			over, why = append(over, i), err
		}
	}
	return false, over, why
}

func (n *Node) keepOne(s Session, to string, l letter) error {
	if s.Token == "" {
		return errNobody(to)
	}
	if over, why := n.store(s, l); len(over) > 0 {
		return why(to)
	}
	return nil
}

// store puts letters into the mailbox of a session that is at no socket here. It
// gives those that are to be refused, and why. It is called with mu held.
func (n *Node) store(s Session, letters ...letter) (over []letter, why func(to string) error) {
	if n.down != nil {
		return letters, errAway // nobody would look after them
	}
	over = n.mail.put(s.Runtime, n.now(), letters...)
	if at := s.replica(); at != "" && at != n.replica {
		signal(n.mailing)
	}
	return over, errLate
}

// relayed counts letters that a session gets.
func (n *Node) relayed(letters ...letter) {
	n.metrics.relayed.Add(float64(len(letters)))
	bytes := 0
	for _, l := range letters {
		bytes += l.size
	}
	n.metrics.bytes.Add(float64(bytes))
}

// traceRelayed writes down what of a batch others have sent.
func (n *Node) traceRelayed(b batch) {
	if b.relayed == 0 || !n.log.Enabled(n.life, slog.LevelDebug) {
		return
	}
	for _, c := range b.Messages[len(b.Messages)-b.relayed:] {
		n.trace("relayed", c.Head(), "runtime", b.runtime)
	}
}

// trace is a line of the log about one message.
func (n *Node) trace(event string, m *pb.Message, more ...any) {
	attrs := append([]any{"type", m.Type, "from", m.From, "to", m.To}, more...)
	if id := message.TraceID(m); id != "" {
		attrs = append(attrs, "trace_id", id)
	}
	n.log.Debug(event, attrs...)
}

func (n *Node) traceRefused(m *pb.Message, err error) {
	if n.log.Enabled(n.life, slog.LevelDebug) {
		n.trace("refused", m, "error", err)
	}
}

// refuseLetters tells the senders of letters that they are not handed over.
func (n *Node) refuseLetters(letters []letter, why func(to string) error) {
	for _, l := range letters {
		err := why(l.Head().To)
		n.metrics.dropped.WithLabelValues(reasonOf(err)).Inc()
		n.refuseTo(l.sender, l.Message(), err)
	}
}

// reasonOf is the label of a letter that was not handed over.
func reasonOf(err error) string {
	switch fault.CodeOf(err) {
	case fault.Timeout:
		return dropLate
	case fault.TooMany:
		return dropFull
	case fault.NotFound:
		return dropClosed
	default:
		return dropAway
	}
}

// carryMail looks after the mailboxes until ctx is done.
func (n *Node) carryMail(ctx context.Context) error {
	tick := time.NewTicker(n.limits.MailboxEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-n.mailing:
		case <-ctx.Done():
			return nil
		}
		n.refuseOverdue()
		n.moveMail(ctx)
	}
}

// refuseOverdue refuses what has been kept for too long.
func (n *Node) refuseOverdue() {
	n.mu.Lock()
	over := n.mail.overdue(n.now())
	n.mu.Unlock()
	n.refuseLetters(over, errLate)
}

// emptyMail refuses all that is kept: the node stops. A sender that knows flows
// sends it again.
func (n *Node) emptyMail() {
	n.mu.Lock()
	var left []letter
	for runtime := range n.mail.boxes {
		left = append(left, n.mail.take(runtime)...)
	}
	n.mu.Unlock()
	n.refuseLetters(left, errAway)
}

// moveMail sends what is kept for sessions that are at other replicas there. What
// fails is tried again the next time.
func (n *Node) moveMail(ctx context.Context) {
	n.mu.RLock()
	runtimes := n.mail.waiting(func(runtime string) bool { return n.isElsewhere(runtime) != "" })
	n.mu.RUnlock()
	if len(runtimes) == 0 {
		return
	}
	// The session may be here by now, and this replica the last to see it.
	ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
	defer cancel()
	if err := n.state.fresh(ctx); err != nil {
		n.log.Debug("what is kept stays where it is", "error", err)
		return
	}
	for _, runtime := range runtimes {
		for n.moveSome(runtime) {
		}
	}
}

// isElsewhere gives the other replica that has a runtime's session. It is called
// with mu held.
func (n *Node) isElsewhere(runtime string) (replica string) {
	if replica = n.directory.sessions[runtime].replica(); replica == n.replica {
		return ""
	}
	return replica
}

// moveSome sends what is kept for a runtime now, and tells whether there may be
// more: what comes meanwhile is put behind it.
func (n *Node) moveSome(runtime string) bool {
	n.mu.Lock()
	at := n.isElsewhere(runtime)
	var letters []letter
	if at == "" {
		n.mail.stay(runtime)
	} else {
		letters = n.mail.move(runtime)
	}
	n.mu.Unlock()
	to := elsewhere{replica: at, runtimes: []string{runtime}}
	for i, l := range letters {
		err := n.toReplica(to, l)
		if fault.CodeOf(err) == fault.TooLarge {
			n.refuseTo(l.sender, l.Message(), err)
		} else if err != nil {
			n.log.Debug("what is kept does not reach its replica", "replica", at, "error", err)
			n.mu.Lock()
			n.mail.back(runtime, letters[i:])
			n.mu.Unlock()
			return false
		}
	}
	return len(letters) > 0
}
