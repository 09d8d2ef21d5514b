package bus

import (
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// asked knows the traces of requests that listeners here have, so that an answer is in
// the trace of its request also when the program that gives it knows nothing of traces.
type asked struct {
	some atomic.Bool // there is one

	mu     sync.Mutex
	traces *cache[message.Key, *pb.Trace]
}

func newAsked(limit int) *asked {
	return &asked{traces: newCache[message.Key, *pb.Trace](limit)}
}

// tracedBytes is how long a trace may be that is kept: all hops there and back take a
// quarter of it.
const tracedBytes = 8 << 10

// note keeps the trace of a request as its listener has it. One that has none, or too
// long a one, takes the place of an earlier request with its id.
func (a *asked) note(m *pb.Message) {
	if m.Trace == nil && !a.some.Load() || message.IsResponse(m) {
		return
	}
	if m.Trace == nil || proto.Size(m.Trace) > tracedBytes {
		a.forget(message.KeyOf(m))
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := message.KeyOf(m) // it shares its texts with a whole message
	key.From, key.To, key.ID = strings.Clone(key.From), strings.Clone(key.To), strings.Clone(key.ID)
	a.traces.put(key, m.Trace)
	a.some.Store(true)
}

// answered gives a response its request's trace, unless it has one. After the final
// one the request is forgotten.
func (a *asked) answered(m *pb.Message) *pb.Message {
	if !a.some.Load() || !message.IsResponse(m) {
		return m
	}
	key := message.AnswerKey(m)
	a.mu.Lock()
	trace, ok := a.traces.get(key)
	a.mu.Unlock()
	if !ok {
		return m
	}
	if code, _ := message.Result(m); code >= fault.OK {
		a.forget(key)
	}
	if m.Trace != nil {
		return m
	}
	return message.WithTrace(m, trace)
}

func (a *asked) forget(key message.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.traces.delete(key)
	a.some.Store(a.traces.len() > 0)
}
