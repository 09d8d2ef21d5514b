package main

import (
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"

	"github.com/peerbus/peerbus/internal/fault"
)

// faultOf gives the code, the words and the field of what went wrong, as gRPC and
// HTTP have them.
func faultOf(err error) *fault.Error {
	f := fault.From(err)
	code := f.Code
	if wrong := (usageError{}); errors.As(err, &wrong) {
		code = fault.BadRequest
	}
	return fault.New(code, "%s", explain(err)).In(f.Field)
}

// explain turns an error into words for a person.
func explain(err error) string {
	if _, ok := status.FromError(err); ok {
		return fault.From(err).Description
	}
	return err.Error()
}

// errorText is how a command tells what went wrong: a line for a person, or, with
// -o json, the body that the HTTP gateway answers with.
func errorText(ran *cobra.Command, f *fault.Error) string {
	if flag := ran.Flags().Lookup(flagOutput); flag == nil || flag.Value.String() != "json" {
		return "peerbus: " + f.Description
	}
	text, err := json.Marshal(struct {
		Code        fault.Code `json:"code"`
		Description string     `json:"description"`
		Field       string     `json:"field,omitempty"`
	}{f.Code, f.Description, f.Field})
	if err != nil {
		return "peerbus: " + f.Description
	}
	return string(text)
}
