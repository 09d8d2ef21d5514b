package bus

import (
	"context"
	"crypto/sha256"
	"sync"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// keyed remembers the unary posts that came with an idempotency key, so that one
// that is repeated gets the outcome of the first. Those not used lately go first.
// A key is good for one message: with another one it is refused, so that nobody
// gets the outcome of what somebody else has posted.
type keyed struct {
	mu    sync.Mutex
	calls *cache[string, *keyedCall]
}

// keyedCall is one key's post; nil is one without a key. Its methods may be called
// by several goroutines.
type keyedCall struct {
	keyed   *keyed
	key     string
	of      [sha256.Size]byte // the message, and what is waited for
	over    chan struct{}
	once    sync.Once
	outcome *pb.Outcome // set before over is closed
}

func newKeyed(limit int) *keyed { return &keyed{calls: newCache[string, *keyedCall](limit)} }

// begin gives the call of a request's key, and whether it is the first with it;
// 409 when the key is that of another message.
func (k *keyed) begin(req *pb.PostRequest) (c *keyedCall, first bool, err error) {
	key := req.GetIdempotencyKey()
	if key == "" {
		return nil, true, nil
	}
	of, err := fingerprint(req)
	if err != nil {
		return nil, false, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c, ok := k.calls.get(key); ok {
		if c.of != of {
			return nil, false, fault.New(fault.Conflict, "idempotency_key is that of another message").In("idempotency_key")
		}
		if !c.mayRepeat() {
			return c, false, nil
		}
	}
	c = &keyedCall{keyed: k, key: key, of: of, over: make(chan struct{})}
	k.calls.put(key, c)
	return c, true, nil
}

// fingerprint tells requests apart; the time that is left of one does not count, nor
// how it is traced.
func fingerprint(req *pb.PostRequest) (of [sha256.Size]byte, err error) {
	m := req.GetMessage()
	if m.GetTrace() != nil {
		m = message.Share(m)
		m.Trace = nil
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.PostRequest{Message: m, Wait: req.GetWait()})
	if err != nil {
		return of, fault.New(fault.BadRequest, "message: %w", err)
	}
	return sha256.Sum256(b), nil
}

// messageID is the id of a message that has none: the same at each replica to which it
// is posted with its key.
func (c *keyedCall) messageID() string {
	return message.StringID(uuid.NewSHA1(uuid.NameSpaceOID, append(c.of[:], c.key...)).String())
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

// keptResponse is the largest response that is kept for those who repeat their post
// after it came, in bytes.
const keptResponse = 16 << 10

// end gives the outcome to all who wait for it, and keeps it.
func (c *keyedCall) end(o *pb.Outcome) {
	if c == nil {
		return
	}
	c.once.Do(func() {
		c.outcome = o
		close(c.over)
		if proto.Size(o.GetResponse()) > keptResponse {
			c.replace()
		}
	})
}

// replace keeps in the place of a large response that it came. Those who wait
// already have it.
func (c *keyedCall) replace() {
	kept := &keyedCall{over: c.over, of: c.of, outcome: &pb.Outcome{Code: int32(fault.OK)}}
	c.keyed.mu.Lock()
	defer c.keyed.mu.Unlock()
	if now, ok := c.keyed.calls.get(c.key); ok && now == c {
		c.keyed.calls.put(c.key, kept)
	}
}

func (c *keyedCall) await(ctx context.Context, wait pb.Wait) (*pb.PostResponse, error) {
	select {
	case <-c.over:
		if wait == pb.Wait_WAIT_RESPONSE && c.outcome.GetResponse() == nil && !c.mayRepeat() {
			return nil, fault.New(fault.Unavailable, "the response came, and was too large to be kept")
		}
		return responseOf(c.outcome)
	case <-ctx.Done():
		return nil, endOf(context.Cause(ctx))
	}
}
