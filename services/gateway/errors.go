package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/status"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// errorBody is the body of every answer that is none: the code of section 2 of the
// wire contract, which is the HTTP status too, what is wrong, and the field that is.
type errorBody struct {
	Code        int    `json:"code"`
	Description string `json:"description"`
	Field       string `json:"field,omitempty"`
}

func bodyOf(err error) errorBody {
	f := fault.From(err)
	return errorBody{Code: int(f.Code), Description: f.Description, Field: f.Field}
}

// writeError answers with a fault.
func writeError(w http.ResponseWriter, err error) {
	body := bodyOf(err)
	text, _ := json.Marshal(body) // a struct of strings
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if body.Code == int(fault.TooMany) || body.Code == int(fault.Unavailable) {
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.WriteHeader(body.Code)
	_, _ = w.Write(append(text, '\n'))
}

// retryAfter is how many seconds a client shall wait that was refused for now.
const retryAfter = 1

// handleError is grpc-gateway's way to tell of an error.
func handleError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	writeError(w, explained(err))
}

// explained puts the errors of the decoder into our words, and names their field.
func explained(err error) error {
	var own *fault.Error
	if errors.As(err, &own) {
		return err
	}
	f := *fault.From(err)
	if s, ok := status.FromError(err); ok && f.Code == fault.BadRequest && f.Field == "" {
		text := strings.TrimPrefix(strings.ReplaceAll(s.Message(), "\u00a0", " "), "proto: ")
		if m := unknownField.FindStringSubmatch(text); m != nil {
			return fault.New(fault.BadRequest, "there is no field %s", m[1]).In(m[1])
		}
		if m := wrongParameter.FindStringSubmatch(text); m != nil {
			return fault.New(fault.BadRequest, "%s", text).In(m[1] + m[2])
		}
		if m := noDuration.FindStringSubmatch(text); m != nil {
			return message.NoDuration(m[1])
		}
		if m := invalidField.FindStringSubmatch(text); m != nil {
			return fault.New(fault.BadRequest, "%s: the value is of the wrong type", m[1]).In(m[1])
		}
		return fault.New(fault.BadRequest, "body: %s", text).In("body")
	}
	return &f
}

var (
	unknownField   = regexp.MustCompile(`unknown field "([^"]+)"`)
	wrongParameter = regexp.MustCompile(`^(?:there is no parameter (\S+)|(\S+) (?:".*" is not of its type|is given \d+ times|is not UTF-8))$`)
	noDuration     = regexp.MustCompile(`^(\w+) is not a duration;`) // wrongDuration's, as text
	invalidField   = regexp.MustCompile(`for (?:\w+ )?field ([\w.]+):`)
)

// handleRoutingError answers a path that is not as api/http.yaml has it.
func handleRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, _ int) {
	writeError(w, fault.New(fault.NotFound, "there is nothing at %.200q; /docs/ lists what there is", r.URL.Path).In("path"))
}
