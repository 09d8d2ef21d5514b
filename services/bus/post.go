package bus

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/codec"
)

// poster is who posts: an attached stream, a unary call, a flow from another
// runtime, or the bus itself. Its methods never wait.
type poster interface {
	component() pb.Component
	// outcome hands over the answer to a post, which has come about in a burst, or none.
	outcome(*pb.Outcome, *burst)
	// settled tells that nothing more will happen to a post: its receivers have
	// dealt with it, or it was refused with an error. It comes once, after the
	// outcome.
	settled(p *post, err error)
	// charge counts bytes of its posts that wait for room in a listener's queue;
	// a negative number gives them back.
	charge(bytes int)
	// sendBack offers a message to the listener that the poster itself has for
	// one of the addresses; with none it is dropped.
	sendBack(p *post, addresses ...string)
}

// post is a message on its way through the bus, until it is settled: dealt with
// by whoever took it, or refused. Its message belongs to all who got it: nobody
// changes it any more.
type post struct {
	m        *pb.Message
	encoded  []byte // m, as it was read from its stream; nil once it was changed
	tail     []byte // of a transmission in a flow: the flow, which follows encoded
	size     int    // bytes of the encoded message, once it is admitted
	sequence uint64
	number   uint64 // of the poster's posts; 0 when it does not count them
	wait     pb.Wait
	timeout  *time.Duration
	ingress  *pb.Ingress
	by       poster
	burst    *burst      // of the frame that it came in, which may be over
	request  *request    // with WAIT_RESPONSE
	patience *time.Timer // with WAIT_DELIVERED: until its sender is told that there was no word of the arrival

	again    bool  // it was posted before, on an earlier stream or to an earlier bus
	verified bool  // its source has been approved
	flowing  bool  // it came in a flow, which bounds how many such there are
	returned bool  // a listener that was cut off had it in its queue: there it has room
	meshed   bool  // it came from another replica, whose window bounds how many there are
	handed   bool  // it is a response that others were offered, or that one has handed over
	expected bool  // likewise, and nobody wanted it yet
	awaited  bool  // it is the transmission of a request in a flow
	hops     uint8 // replicas that have passed it on, of a flow

	span tracing.Span // until it is settled

	also []*post // the same message, come again in a flow; see arrived

	trail trail // for the metrics

	left   atomic.Int32               // listeners that have not decided yet
	owed   atomic.Int32               // listeners that have it, or may get it, and have not dealt with it
	taken  atomic.Bool                // one has it
	served atomic.Bool                // one has dealt with it
	told   atomic.Pointer[pb.Outcome] // its outcome, once that has been told
	over   atomic.Bool                // it is settled
	asked  atomic.Pointer[stream]     // on which its client has posted it again, while it was open
}

func newPost(by poster, m *pb.Message) *post {
	return &post{m: m, by: by}
}

// measure notes the size of the message, which is as it will be from now on. Bytes that
// are not as anybody else encodes it do not go on: credit counts by its size.
func (p *post) measure() {
	if p.size = codec.Size(p.m); len(p.encoded) != p.size {
		p.encoded = nil
	}
}

// become gives the post another message.
func (p *post) become(m *pb.Message) {
	if m != p.m {
		p.m, p.encoded = m, nil
		p.measure()
	}
}

// cost is what it takes to keep the message waiting, in bytes.
func (p *post) cost() int { return p.size + overhead }

// decide counts one listener's decision. The last one tells that the post is
// decided, and how: it is accepted when any listener has it.
func (p *post) decide(err error) (done bool, verdict error) {
	nobody := false // has it any more, as who took it has gone since
	if err == nil {
		p.taken.Store(true)
	} else {
		nobody = p.owed.Add(-1) == 0 && !p.served.Load()
	}
	if p.left.Add(-1) > 0 {
		return false, nil
	}
	if p.taken.Load() && !nobody {
		return true, nil
	}
	return true, err
}

// promised tells whether its sender may take it for accepted already: it was posted
// before, or came in a flow.
func (p *post) promised() bool { return p.again || p.flowing }

// roomy tells whether a listener's queue takes it however full it is: what there
// can be of it is bounded elsewhere.
func (p *post) roomy() bool { return p.flowing || p.returned || p.meshed }

// dealt counts one listener that has dealt with it. The last one tells that the
// post is settled.
func (p *post) dealt() bool {
	p.served.Store(true)
	return p.lost()
}

// lost counts one listener that will not deal with it. The last one tells that
// nobody will, unless the post is served.
func (p *post) lost() bool { return p.owed.Add(-1) == 0 }

// loses is lost, of a listener that may have refused it. When all have, the post is not
// taken for one that nobody has to deal with, also where its outcome is not told yet.
func (p *post) loses(refused bool) (last, all bool) {
	for {
		owed := p.owed.Load()
		next := owed - 1
		all = owed == 1 && refused && !p.served.Load()
		if all {
			next = -1
		}
		if p.owed.CompareAndSwap(owed, next) {
			return owed == 1, all
		}
	}
}

// end tells the poster that nothing more will happen to it.
func (p *post) end(err error) {
	if p.close(err) {
		p.by.settled(p, err)
	}
}

// close is end without the poster; false when the post has ended before.
func (p *post) close(err error) bool {
	if p.over.Swap(true) {
		return false
	}
	p.countEnd(err)
	if p.patience != nil {
		p.patience.Stop()
	}
	p.span.End(err)
	return true
}

// tell gives the poster the outcome, the first one alone.
func (p *post) tell(o *pb.Outcome) { p.tellBy(o, p.burst) }

// tellBy is tell of what has come about in another burst.
func (p *post) tellBy(o *pb.Outcome, b *burst) {
	kept := o
	if o.GetResponse() != nil {
		kept = answered
	}
	if p.told.CompareAndSwap(nil, kept) {
		p.by.outcome(o, b)
	}
}

// answered stands for an outcome with a response, which is large, and is kept elsewhere
// for who asks again.
var answered = &pb.Outcome{Code: int32(fault.OK)}

// verdict is a decided post: accepted, or refused with an error. Functions that
// hold a lock return verdicts, and their callers carry them out without it.
type verdict struct {
	post *post
	err  error
	done bool // it is not only accepted, but dealt with
}

// Reasons of refusals, the values of a metric's label.
const (
	reasonInvalid      = "invalid"       // 400, 413: malformed or too large
	reasonSource       = "source"        // 403, 503: its source may not send it
	reasonNoRoute      = "no_route"      // the registry says so, with its code
	reasonNoListener   = "no_listener"   // 404: it belongs to this runtime, and nobody listens
	reasonLoop         = "loop"          // 404: it could only go back where it came from
	reasonQueueFull    = "queue_full"    // 429: a listener's queue stayed full for Limits.FullTime
	reasonStuck        = "stuck"         // 429: the listener's queue has been full that long
	reasonStreamFull   = "stream_full"   // 429: the queues of a stream's listeners together are full
	reasonWaitFull     = "wait_full"     // 429: too much waits for the registry or a stub
	reasonWaitTime     = "wait_time"     // 503: it waited too long for the registry or a stub
	reasonDuplicate    = "duplicate"     // 409: the same request is under way
	reasonRequestsFull = "requests_full" // 429: too many requests are under way
	reasonGone         = "gone"          // 503: its listener went away before it had it
	reasonTimeout      = "timeout"       // 408: no response, or no word of its arrival, came in time
	reasonRemote       = "remote"        // the bus of its receiver, or what is on the way, says so
	reasonFlowFull     = "flow_full"     // 429: what is not dealt with yet at the remote runtime fills the flow
	reasonOther        = "other"         // none of these
)

// reasons are all of them.
var reasons = []string{
	reasonInvalid, reasonSource, reasonNoRoute, reasonNoListener, reasonLoop, reasonQueueFull, reasonStuck, reasonStreamFull,
	reasonWaitFull, reasonWaitTime, reasonDuplicate, reasonRequestsFull, reasonGone, reasonTimeout, reasonRemote,
	reasonFlowFull, reasonOther,
}

// refusal is a fault with the reason under which it is counted.
type refusal struct {
	reason string
	fault  *fault.Error
}

func (r *refusal) Error() string { return r.fault.Error() }

func (r *refusal) Unwrap() error { return r.fault }

func refuse(reason string, code fault.Code, format string, args ...any) error {
	return &refusal{reason, fault.New(code, "%s", fmt.Sprintf(format, args...))}
}

// wrong refuses what a fault says is wrong.
func wrong(f *fault.Error) error { return &refusal{reasonInvalid, f} }

// about says which field of the message a refusal is about.
func about(field string, err error) error {
	var r *refusal
	if errors.As(err, &r) {
		r.fault = r.fault.In(field)
	}
	return err
}

func reasonOf(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return reasonOther
}

// outcomeOf makes the outcome of a post or a listener change.
func outcomeOf(sequence uint64, err error) *pb.Outcome {
	if err == nil {
		return &pb.Outcome{Sequence: sequence, Code: int32(fault.OK)}
	}
	f := fault.From(err)
	return &pb.Outcome{Sequence: sequence, Code: int32(f.Code), Description: brief(f.Description), Field: f.Field} // three digits
}

// brief is what is kept of a description, which another runtime may have written.
func brief(s string) string {
	const most = 1 << 10
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
