package bus

import (
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// givenResponses has the final responses that clients were given a moment ago: one that loses its
// stream then cannot say whether it has got it, and asks again. Its methods may be called
// by several goroutines.
type givenResponses struct {
	limits *Limits

	mu     sync.Mutex
	byPost map[numberOf]*givenResponse
	inTurn fifo[*givenResponse] // the oldest first
	bytes  int
}

// numberOf is a post of a client, by its number.
type numberOf struct {
	origin string
	number uint64
}

type givenResponse struct {
	post    numberOf
	key     message.Key
	message *pb.Message
	cost    int // bytes
	at      time.Time
}

func newGiven(l *Limits) *givenResponses {
	return &givenResponses{limits: l, byPost: map[numberOf]*givenResponse{}}
}

// put keeps the response to a request whose post has a number. One that is larger than
// all that is kept is not.
func (g *givenResponses) put(q *request, response *pb.Message) {
	one := &givenResponse{
		post: numberOf{string(q.post.m.Origin), q.post.m.Number}, key: q.key,
		message: response, cost: proto.Size(response) + overhead, at: time.Now(),
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if one.cost > g.limits.ResponseBytes {
		return
	}
	g.byPost[one.post] = one
	g.inTurn.push(one)
	g.bytes += one.cost
	for g.bytes > g.limits.ResponseBytes {
		g.drop()
	}
}

// to gives the response to a post; nil when there is none.
func (g *givenResponses) to(at elsewhere, k message.Key) *pb.Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.byPost[numberOf{at.origin, at.number}]
	if one == nil || one.key != k {
		return nil
	}
	return one.message
}

// expire drops what has been kept for Limits.GivenTime.
func (g *givenResponses) expire(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.inTurn.len() > 0 && now.Sub((*g.inTurn.first()).at) > g.limits.GivenTime {
		g.drop()
	}
}

// drop drops the oldest.
func (g *givenResponses) drop() {
	one := g.inTurn.pop()
	g.bytes -= one.cost
	if g.byPost[one.post] == one {
		delete(g.byPost, one.post)
	}
}
