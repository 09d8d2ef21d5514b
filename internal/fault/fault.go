package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Code is an HTTP status code, as `body.code` of a response carries it.
type Code int

// The codes that peerbus itself produces (wire contract, section 2).
const (
	OK          Code = 200
	BadRequest  Code = 400 // the message or the setting is malformed
	Forbidden   Code = 403 // policy or source verification refuses it
	NotFound    Code = 404 // no one has that address
	Timeout     Code = 408 // its time ran out
	Conflict    Code = 409 // it stands against what is there (glare, a name taken)
	TooLarge    Code = 413 // larger than a stated bound
	TooMany     Code = 429 // the receiver's queue or table is full
	Internal    Code = 500 // a defect
	Unavailable Code = 503 // cannot be done now; it can be tried again
)

// Error is a fault: what is wrong, in words for whoever caused it.
type Error struct {
	Code        Code
	Description string
	// Field is the name of what is wrong, as whoever sent it calls it: a field of a
	// message, a parameter, a setting. Empty when it is no single one.
	Field string
	cause error
}

// New makes a fault. An error among args wrapped with %w is kept as its cause.
func New(code Code, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Code: code, Description: wrapped.Error(), cause: errors.Unwrap(wrapped)}
}

// In says which field is wrong. The description names it besides, for people.
func (e *Error) In(field string) *Error {
	e.Field = field
	return e
}

// Error is the description alone: the code is for programs.
func (e *Error) Error() string { return e.Description }

// Unwrap gives the cause, which does not cross the wire.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus lets a gRPC handler return a fault as it is. The field travels as a
// google.rpc.BadRequest detail.
func (e *Error) GRPCStatus() *status.Status {
	s := status.New(toGRPC(e.Code), e.Description)
	if e.Field == "" {
		return s
	}
	detailed, err := s.WithDetails(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: e.Field, Description: e.Description},
	}})
	if err != nil {
		return s
	}
	return detailed
}

// fieldOf reads the field back.
func fieldOf(s *status.Status) string {
	for _, d := range s.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok && len(bad.FieldViolations) > 0 {
			return bad.FieldViolations[0].Field
		}
	}
	return ""
}

// From turns any error into a fault: a fault stays what it is, a gRPC status
// is mapped back, a deadline is a Timeout, anything else is Internal. Nil stays
// nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var f *Error
	if errors.As(err, &f) {
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Code: Timeout, Description: "time ran out", cause: err}
	}
	if errors.Is(err, context.Canceled) {
		return &Error{Code: Unavailable, Description: "cancelled", cause: err}
	}
	if s, ok := status.FromError(err); ok {
		if s.Code() == codes.Internal && strings.Contains(s.Message(), notUTF8) {
			return &Error{Code: BadRequest, Description: "what is asked has a text that is not UTF-8", cause: err}
		}
		return &Error{Code: fromGRPC(s.Code()), Description: s.Message(), Field: fieldOf(s), cause: err}
	}
	return &Error{Code: Internal, Description: err.Error(), cause: err}
}

// notUTF8 is how gRPC says that protobuf cannot encode a request.
const notUTF8 = "error while marshaling: string field contains invalid UTF-8"

// CodeOf is the code of From(err); OK for nil.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	return From(err).Code
}

var grpcCodes = []struct {
	code Code
	grpc codes.Code
}{
	{OK, codes.OK},
	{BadRequest, codes.InvalidArgument},
	{Forbidden, codes.PermissionDenied},
	{NotFound, codes.NotFound},
	{Timeout, codes.DeadlineExceeded},
	{Conflict, codes.AlreadyExists},
	{TooLarge, codes.OutOfRange},
	{TooMany, codes.ResourceExhausted},
	{Internal, codes.Internal},
	{Unavailable, codes.Unavailable},
}

func toGRPC(c Code) codes.Code {
	for _, p := range grpcCodes {
		if p.code == c {
			return p.grpc
		}
	}
	return codes.Unknown
}

func fromGRPC(c codes.Code) Code {
	for _, p := range grpcCodes {
		if p.grpc == c {
			return p.code
		}
	}
	switch c {
	case codes.Unauthenticated:
		return Forbidden
	case codes.Canceled:
		return Unavailable
	case codes.FailedPrecondition, codes.Aborted:
		return Conflict
	default:
		return Internal
	}
}
