package client

import (
	"time"

	"github.com/peerbus/peerbus/protocol/codec"
)

// late is credit that waits for a frame to go along with.
//
// A listener that has nothing more in its queue gives credit at once, as that is what
// settles a message, and whoever posted it with Delivered waits for it. But who asks for
// something waits for the answer, which tells more. The credit would be a frame of its
// own right behind the answer's, so it goes along with the next post, or after a while.
type late struct {
	since time.Time // of the oldest credit that waits; zero for none
	timer *time.Timer
	armed bool
}

// credit queues the credit for deliveries of the stream that epoch counts. It may wait for
// company as long as that of the listener is less than so many bytes.
func (o *outbox) credit(epoch int, of *owed, bytes, wait uint32) {
	w, frame := o.addCredit(epoch, of, bytes, wait)
	if frame != nil {
		o.write(w, frame)
	}
}

func (o *outbox) addCredit(epoch int, of *owed, bytes, wait uint32) (w *writer, frame *codec.Encoded) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if epoch != o.epoch {
		return nil, nil
	}
	if o.credits.add(of, bytes); of.bytes >= wait {
		o.urgent = true
		return o.atOnce()
	}
	if o.late.since.IsZero() {
		o.late.since = time.Now()
		o.arm(o.linger)
	}
	return nil, nil
}

func (o *outbox) arm(d time.Duration) {
	switch {
	case o.late.armed || o.closed:
		return
	case o.late.timer == nil:
		o.late.timer = time.AfterFunc(d, o.lateNow)
	default:
		o.late.timer.Reset(d)
	}
	o.late.armed = true
}

// lateNow sends the credit that has waited long enough. The timer is not stopped when
// one goes along, since the next one mostly comes soon.
func (o *outbox) lateNow() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.late.armed = false
	if o.late.since.IsZero() {
		return
	}
	if left := o.linger - time.Since(o.late.since); left > 0 {
		o.arm(left)
		return
	}
	o.urgent = true
	o.signal()
}

// forgive forgets all credit: it has been given, or is void.
func (o *outbox) forgive() {
	o.credits.clear()
	o.urgent, o.late.since = false, time.Time{}
}

func (l *late) stop() {
	if l.timer != nil {
		l.timer.Stop()
	}
}
