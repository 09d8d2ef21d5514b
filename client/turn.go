package client

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/protocol/codec"
)

// writer is the way to the bus of one stream.
type writer struct {
	stream  grpc.ClientStream
	sequels bool         // the bus takes them
	held    atomic.Int64 // bytes of frames that gRPC has not written yet
}

// turn is whose turn it is to write.
//
//	        write, while all is calm
//	poster ─────────────────────────▶ stream
//	   │ add                            ▲
//	   ▼                                │ frames of what has come together
//	outbox ──── wake ───────────────▶ writer
//
// To wake the writer for each message costs a lone request a change of goroutines in
// each direction, and to write each message at once costs many of them a frame each. So
// a poster writes by itself when nothing waits, gRPC has nothing unwritten, and the last
// frame is some time ago: then SendMsg does not block either, which it does when gRPC has
// 64 KiB that the bus does not take.
type turn struct {
	to      *writer // nil between streams
	taken   bool    // somebody writes
	awaited bool    // the writer waits for the turn
	last    time.Time
}

// calm is how long ago the last frame must have been written: longer than messages that
// come one after the other, shorter than any round trip over a socket.
const calm = 50 * time.Microsecond

// atOnce gives a frame of what has just been queued to write, and the turn; or it leaves
// it to the writer.
func (o *outbox) atOnce() (w *writer, frame *codec.Encoded) {
	t := &o.turn
	if t.to == nil || t.taken || t.to.held.Load() > 0 || o.posts.queued > frameBytes {
		o.signal()
		return nil, nil
	}
	now := time.Now()
	if now.Sub(t.last) < calm {
		o.signal()
		return nil, nil
	}
	return t.to, o.begin(t.to, now)
}

// begin takes the turn, if there is something to write. It gives the frame.
func (o *outbox) begin(w *writer, now time.Time) *codec.Encoded {
	frame := o.next(w, now)
	if frame != nil {
		o.turn.taken, o.turn.last = true, now
	}
	return frame
}

// write writes a frame, and ends the turn.
func (o *outbox) write(w *writer, frame *codec.Encoded) {
	if w.stream.SendMsg(frame) == nil {
		o.over(w)
	}
	// else the stream is broken, which is the reader's to tell, and nobody writes to it
}

func (o *outbox) over(w *writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.turn.to != w {
		return
	}
	o.turn.taken = false
	if o.turn.awaited || o.due() {
		o.turn.awaited = false
		o.signal()
	}
}

// take gives the writer the next frame, and the turn; nil when there is none, or it is
// somebody else's turn, who wakes the writer at its end.
func (o *outbox) take(w *writer) *codec.Encoded {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.told = false; o.turn.taken {
		o.turn.awaited = true
		return nil
	}
	frame := o.begin(w, time.Now())
	o.told = frame != nil // it comes again
	return frame
}

// open lets posters write to a stream.
func (o *outbox) open(w *writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.turn = turn{to: w}
}

// shut lets nobody write any more; false while there is something to send, or it is
// somebody's turn, who wakes the writer at its end.
func (o *outbox) shut() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.turn.taken {
		o.turn.awaited = true
		return false
	}
	if o.urgent = len(o.credits.all) > 0; o.due() {
		o.signal()
		return false
	}
	o.turn.to = nil
	return true
}

// ended lets nobody write to a stream that is over.
func (o *outbox) ended(w *writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.turn.to == w {
		o.turn.to = nil
	}
}
