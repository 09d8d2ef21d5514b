package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// What a client of /ws asks for.
const (
	opListen   = "listen"
	opUnlisten = "unlisten"
	opPost     = "post"
	opAck      = "ack"
)

// What it is told.
const (
	opWelcome = "welcome"
	opOutcome = "outcome"
	opMessage = "message"
	opError   = "error"
)

// request is a frame of a client.
type request struct {
	Op  string          `json:"op"`
	Ref json.RawMessage `json:"ref"` // comes back in the outcome as it is

	Address string `json:"address"` // listen, unlisten
	Ack     bool   `json:"ack"`     // listen: the client says when it has dealt with each message

	Message json.RawMessage `json:"message"` // post
	Wait    string          `json:"wait"`
	Timeout string          `json:"timeout"`
	Key     string          `json:"key"`

	Delivery uint64 `json:"delivery"` // ack

	message *pb.Message
}

// maxRef bounds what a client may have carried back, in bytes.
const maxRef = 256

// parseRequest reads a frame. With an error the request has its ref, if that could be
// read, so that the error can be told to it.
func parseRequest(frame []byte) (request, error) {
	var r request
	dec := json.NewDecoder(bytes.NewReader(frame))
	dec.DisallowUnknownFields()
	err := dec.Decode(&r)
	if len(r.Ref) > maxRef {
		r.Ref = nil
		return r, fault.New(fault.BadRequest, "ref is longer than %d bytes", maxRef).In("ref")
	}
	if err != nil {
		if m := unknownOf.FindStringSubmatch(err.Error()); m != nil {
			return r, fault.New(fault.BadRequest, "a frame has no field %s", m[1]).In(m[1])
		}
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return request{Ref: r.Ref}, fault.New(fault.BadRequest, "%s: a %s is of the wrong type", wrong.Field, wrong.Value).In(wrong.Field)
		}
		return request{}, fault.New(fault.BadRequest, "frame is no JSON object: %w", err).In("frame")
	}
	if _, err := dec.Token(); err != io.EOF {
		return r, fault.New(fault.BadRequest, "frame has something behind its object").In("frame")
	}
	return r, r.check()
}

var unknownOf = regexp.MustCompile(`unknown field "([^"]*)"`)

// check tells whether a request has what its op needs, and reads its message.
func (r *request) check() (err error) {
	switch r.Op {
	case opListen, opUnlisten:
		return checkAddress(r.Address)
	case opPost:
		if len(r.Message) == 0 {
			return fault.New(fault.BadRequest, "message is missing").In("message")
		}
		if r.message, err = readMessage(r.Message); err == nil {
			complete(r.message, r.Key)
		}
		return err
	case opAck:
		if r.Delivery == 0 {
			return fault.New(fault.BadRequest, "delivery is missing").In("delivery")
		}
		return nil
	case "":
		return fault.New(fault.BadRequest, "op is missing").In("op")
	default:
		return fault.New(fault.BadRequest, "op %.40q: want listen, unlisten, post or ack", r.Op).In("op")
	}
}

// answer is a frame to a client.
type answer struct {
	Op          string          `json:"op"`
	Ref         json.RawMessage `json:"ref,omitempty"`
	RuntimeURL  string          `json:"runtime_url,omitempty"`
	Code        int             `json:"code,omitempty"`
	Description string          `json:"description,omitempty"`
	Field       string          `json:"field,omitempty"`
	Response    json.RawMessage `json:"response,omitempty"`
	Address     string          `json:"address,omitempty"`
	Delivery    uint64          `json:"delivery,omitempty"`
	Message     json.RawMessage `json:"message,omitempty"`
}

// outcomeOf answers a request.
func outcomeOf(op string, ref json.RawMessage, response *pb.Message, err error) answer {
	a := answer{Op: op, Ref: ref, Code: int(fault.OK)}
	if err == nil && response != nil {
		a.Response, err = message.ApplicationJSON(response)
	}
	if err != nil {
		body := bodyOf(err)
		a.Code, a.Description, a.Field, a.Response = body.Code, body.Description, body.Field, nil
	}
	return a
}
