package main

import (
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/status"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
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

// flagError names the flag whose value cannot be read as the field that is wrong.
func flagError(err error) error {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return err
	}
	flag := wrong.GetFlag()
	if flag.Value.Type() == "duration" {
		return message.NoDuration(flag.Name)
	}
	return fault.New(fault.BadRequest, "%w", err).In(flag.Name)
}

// wantsJSON tells whether -o json was given, also where the command line was not read
// so far.
func wantsJSON(ran *cobra.Command, args []string) bool {
	flag := ran.Flags().Lookup(flagOutput)
	if flag == nil || flag.Value.String() == "json" {
		return flag != nil
	}
	for i, arg := range args {
		switch arg {
		case "-ojson", "-o=json", "--output=json":
			return !flag.Changed
		case "-o", "--output":
			return !flag.Changed && i+1 < len(args) && args[i+1] == "json"
		}
	}
	return false
}

// errorText is how a command tells what went wrong: a line for a person, or the body
// that the HTTP gateway answers with.
func errorText(f *fault.Error, asJSON bool) string {
	if !asJSON {
		return "peerbus: " + printable(f.Description)
	}
	text, err := json.Marshal(struct {
		Code        fault.Code `json:"code"`
		Description string     `json:"description"`
		Field       string     `json:"field,omitempty"`
	}{f.Code, f.Description, f.Field})
	if err != nil {
		return "peerbus: " + f.Description
	}
	return printable(string(text))
}
