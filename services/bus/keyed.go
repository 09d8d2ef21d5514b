package bus

import (
	"context"
	"sync"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// keyed remembers the unary posts that came with an idempotency key, so that one
// that is repeated gets the outcome of the first. Those not used lately go first.
type keyed struct {
	mu    sync.Mutex
	calls *cache[string, *keyedCall]
}

// keyedCall is one key's post; nil is one without a key. Its methods may be called
// by several goroutines.
type keyedCall struct {
	over    chan struct{}
	once    sync.Once
	outcome *pb.Outcome // set before over is closed
}

func newKeyed(limit int) *keyed { return &keyed{calls: newCache[string, *keyedCall](limit)} }

// begin gives the post of a key, and whether it is the first with it.
func (k *keyed) begin(key string) (c *keyedCall, first bool) {
	if key == "" {
		return nil, true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c, ok := k.calls.get(key); ok && !c.mayRepeat() {
		return c, false
	}
	c = &keyedCall{over: make(chan struct{})}
	k.calls.put(key, c)
	return c, true
}

// mayRepeat tells whether it has been refused: then the same key may try again.
func (c *keyedCall) mayRepeat() bool {
	select {
	case <-c.over:
		return c.outcome.GetCode() >= int32(fault.BadRequest)
	default:
		return false
	}
}

// end gives the outcome to all who wait for it. A response is not kept: it may be
// large, and whoever repeats after it came is told that it was there.
func (c *keyedCall) end(o *pb.Outcome) {
	if c == nil {
		return
	}
	c.once.Do(func() {
		c.outcome = o
		close(c.over)
	})
}

func (c *keyedCall) await(ctx context.Context) (*pb.PostResponse, error) {
	select {
	case <-c.over:
		return responseOf(c.outcome)
	case <-ctx.Done():
		return nil, endOf(context.Cause(ctx))
	}
}
