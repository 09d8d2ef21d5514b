package message

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// What a poster says besides the message is checked here, so that every door tells
// of the same mistake in the same words.

// MaxTimeout is the longest time that a poster may wait: whoever waits longer
// listens.
const MaxTimeout = 10 * time.Minute

// waits are the names of what a poster may wait for.
var waits = map[string]pb.Wait{
	"accepted":  pb.Wait_WAIT_ACCEPTED,
	"delivered": pb.Wait_WAIT_DELIVERED,
	"response":  pb.Wait_WAIT_RESPONSE,
}

// ParseWait reads the name of a Wait. The error is a BadRequest.
func ParseWait(name string) (pb.Wait, error) {
	w, known := waits[name]
	if !known {
		return 0, errWait()
	}
	return w, nil
}

// CheckWait refuses an unknown value; unspecified is accepted.
func CheckWait(w pb.Wait) error {
	if _, known := pb.Wait_name[int32(w)]; !known {
		return errWait()
	}
	return nil
}

func errWait() error {
	return fault.New(fault.BadRequest, "wait is none of accepted, delivered and response").In("wait")
}

// ParseTimeout reads a time-out, such as `500ms`. The error is a BadRequest.
func ParseTimeout(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, NoDuration("timeout")
	}
	return d, CheckTime(d)
}

// CheckTimeout is CheckTime of the protobuf form; nil is accepted too.
func CheckTimeout(d *durationpb.Duration) error {
	if d == nil {
		return nil
	}
	if !d.IsValid() {
		return NoDuration("timeout")
	}
	return CheckTime(d.AsDuration())
}

// CheckTime refuses a time-out that is not positive, or longer than MaxTimeout.
func CheckTime(d time.Duration) error {
	if d <= 0 || d > MaxTimeout {
		return fault.New(fault.BadRequest, "timeout is %s; want more than 0, and %s at most", d, MaxTimeout).In("timeout")
	}
	return nil
}

// NoDuration is the error for a field that is not a duration.
func NoDuration(field string) *fault.Error {
	return fault.New(fault.BadRequest, "%s is not a duration; want one such as 500ms or 15s", field).In(field)
}

// CheckKey refuses an idempotency key that is too long.
func CheckKey(key string) error {
	if len(key) > MaxOrigin {
		return fault.New(fault.BadRequest, "idempotency_key is longer than %d bytes", MaxOrigin).In("idempotency_key")
	}
	return nil
}

// CheckSize refuses a message over MaxSize. What is to be posted with a call is looked at
// before: gRPC refuses what is over its own bound in words that mean 429.
func CheckSize(m *pb.Message) error {
	if codec.Size(m) > MaxSize {
		return LargerThan(m)
	}
	return nil
}

// LargerThan is told of a message over MaxSize. It names the field that makes it so.
func LargerThan(m *pb.Message) error {
	if len(m.GetResource().GetContent()) > len(m.GetBody()) {
		return TooLarge("resource")
	}
	return TooLarge("body")
}

// TooLarge is the error for a message that a field, body or resource, makes too large.
func TooLarge(field string) *fault.Error {
	return fault.New(fault.TooLarge, "%s makes the message larger than %d bytes", field, MaxSize).In(field)
}

// NoObject is the error for a body that is not a JSON object.
func NoObject() *fault.Error {
	return fault.New(fault.BadRequest, "body is not a JSON object").In("body")
}
