package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/peerbus/peerbus/internal/fault"
)

func TestEveryCodeSurvivesGRPC(t *testing.T) {
	for _, code := range []fault.Code{
		fault.BadRequest, fault.Forbidden, fault.NotFound, fault.Timeout, fault.Conflict,
		fault.TooLarge, fault.TooMany, fault.Internal, fault.Unavailable,
	} {
		over := fault.New(code, "why %d", code).In("to").GRPCStatus().Err()
		got := fault.From(over)
		if got.Code != code || got.Description != fmt.Sprintf("why %d", code) || got.Field != "to" {
			t.Errorf("%d came back as %v", code, got)
		}
	}
}

func TestFrom(t *testing.T) {
	inner := fault.New(fault.NotFound, "no such runtime")
	for _, tc := range []struct {
		err  error
		want fault.Code
	}{
		{nil, fault.OK},
		{inner, fault.NotFound},
		{fmt.Errorf("looking up: %w", inner), fault.NotFound},
		{context.DeadlineExceeded, fault.Timeout},
		{context.Canceled, fault.Unavailable},
		{status.Error(codes.Unauthenticated, "who"), fault.Forbidden},
		{status.Error(codes.Canceled, "gone"), fault.Unavailable},
		{status.Error(codes.Aborted, "lost a race"), fault.Conflict},
		{status.Error(codes.Unknown, "odd"), fault.Internal},
		{io.ErrUnexpectedEOF, fault.Internal},
	} {
		if got := fault.CodeOf(tc.err); got != tc.want {
			t.Errorf("CodeOf(%v) = %d, want %d", tc.err, got, tc.want)
		}
	}
}

func TestCauseIsKept(t *testing.T) {
	err := fault.New(fault.Unavailable, "store: %w", io.ErrClosedPipe)
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v does not wrap its cause", err)
	}
}

// What cannot be encoded is a mistake of whoever asks.
func TestATextThatIsNotUTF8(t *testing.T) {
	err := status.Error(codes.Internal, "grpc: error while marshaling: string field contains invalid UTF-8")
	if f := fault.From(err); f.Code != fault.BadRequest || f.Description != "what is asked has a text that is not UTF-8" {
		t.Errorf("%+v", f)
	}
}
