package message

import (
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// Validator validates the messages of a frame, one after the other. Of a message that is
// alike to an earlier one it checks only what it has of its own, and of a row only the
// first message. The zero value is ready for the first.
type Validator struct{ last error } // of the last message that was not alike

// Validate is Validate of the next message.
func (v *Validator) Validate(c codec.Carried) error {
	switch {
	case c.Len() > 1:
		v.last = ValidateSized(c.Head(), c.Longest())
		return v.last
	case !c.Alike():
		v.last = ValidateSized(c.Head(), c.Size())
		return v.last
	case v.last != nil:
		return Validate(c.Message())
	}
	return validateOwn(c)
}

// validateOwn validates what a message has for itself that is alike to a valid one. Its
// frame is not on the stack of a session's reader, which is small while it is idle.
//
//go:noinline
func validateOwn(c codec.Carried) error {
	own := c.Own()
	switch {
	case c.Size() > MaxSize:
		return LargerThan(c.Message())
	case len(own.ID) > MaxID:
		return errLongID()
	case !isID([]byte(own.ID)):
		return errNoID()
	case len(own.Body) > 0 && !isObject(own.Body):
		return NoObject()
	}
	return nil
}

func errLongID() error {
	return fault.New(fault.BadRequest, "id is longer than %d bytes", MaxID).In("id")
}

func errNoID() error {
	return fault.New(fault.BadRequest, "id is neither a number nor a string").In("id")
}
