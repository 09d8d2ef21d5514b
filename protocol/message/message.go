package message

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/google/uuid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
)

// Bounds of a message. The same message must fit every path, so that a sender
// never notices which one it takes.
const (
	MaxSize   = 4 << 20 // bytes of an encoded message: a photo, not a film
	MaxID     = 256     // bytes of an id's JSON text
	MaxType   = 64      // bytes of a type
	MaxFrames = 64      // messages that a writer puts into one gRPC frame
)

// Types that have a meaning here (wire contract, section 2). The set is open.
const (
	Create      = "create"
	Read        = "read"
	Update      = "update"
	Delete      = "delete"
	Subscribe   = "subscribe"
	Unsubscribe = "unsubscribe"
	Response    = "response"
)

// KeyedID is the id of a message that has none and is posted with an idempotency key:
// posted again with that key it is the same message. The key cannot be told from the id.
func KeyedID(key string) string {
	return StringID(uuid.NewSHA1(uuid.NameSpaceOID, []byte(key)).String())
}

// StringID is the id text for a string.
func StringID(s string) string {
	if isPlain(s) {
		return `"` + s + `"`
	}
	b, _ := json.Marshal(s)
	return string(b)
}

// PlainID is the string or the number that an id text stands for: 7 for 7, and a-1 for
// "a-1".
func PlainID(text string) string {
	plain := text
	if strings.HasPrefix(text, `"`) && json.Unmarshal([]byte(text), &plain) != nil {
		return text
	}
	return plain
}

// NumberID is the id text for a number.
func NumberID(n int64) string { return strconv.FormatInt(n, 10) }

// Validate tells whether a message can be routed: id, type, from and to are
// there, and nothing is over its bound. The error names the first field that
// is wrong.
func Validate(m *pb.Message) error { return ValidateSized(m, codec.Size(m)) }

// ValidateSized is Validate for a message whose encoded size in bytes is known.
func ValidateSized(m *pb.Message, size int) error {
	switch {
	case m == nil:
		return missing("message")
	case m.Id == "":
		return missing("id")
	case m.Type == "":
		return missing("type")
	case m.From == "":
		return missing("from")
	case m.To == "":
		return missing("to")
	case len(m.Id) > MaxID:
		return errLongID()
	case len(m.Type) > MaxType:
		return fault.New(fault.BadRequest, "type is longer than %d bytes", MaxType).In("type")
	case !isID([]byte(m.Id)):
		return errNoID()
	}
	for _, f := range []struct{ name, value string }{
		{"from", m.From}, {"to", m.To}, {"via", m.Via}, {"source", m.Source},
		{"p2pHandler", m.P2PHandler}, {"p2pRequester", m.P2PRequester},
	} {
		if len(f.value) > address.MaxLength {
			return fault.New(fault.BadRequest, "%s is longer than %d bytes", f.name, address.MaxLength).In(f.name)
		}
	}
	if err := validateFlow(m); err != nil {
		return err
	}
	if err := validateTrace(m.Trace); err != nil {
		return err
	}
	return validateBody(m, size)
}

// ValidTexts tells whether Validate would accept type, from and to of a message.
func ValidTexts(kind, from, to string) bool {
	return kind != "" && len(kind) <= MaxType && from != "" && len(from) <= address.MaxLength && to != "" && len(to) <= address.MaxLength
}

// ValidContent tells whether Validate would accept id and body of a message that is shorter
// than MaxSize.
func ValidContent(id, body []byte) bool {
	return len(id) <= MaxID && isID(id) && (len(body) == 0 || isObject(body))
}

func validateBody(m *pb.Message, size int) error {
	if size > MaxSize {
		return LargerThan(m)
	}
	if len(m.Body) > 0 && !isObject(m.Body) {
		return NoObject()
	}
	return nil
}

func missing(field string) error {
	return fault.New(fault.BadRequest, "%s is missing", field).In(field)
}

func isObject(b []byte) bool {
	at := skipMark(b, 0, '{')
	return at != wrong && isEnd(b, skipObject(b, at, 1))
}

func isID(b []byte) bool {
	switch {
	case len(b) == 0:
		return false
	case b[0] == '"':
		return isEnd(b, skipText(b, 1))
	}
	return (b[0] == '-' || isDigit(b[0])) && isEnd(b, skipNumber(b, 0))
}

// IsResponse tells whether m answers another message. Everything else counts as a request:
// a refusal of it is answered.
func IsResponse(m *pb.Message) bool { return m.GetType() == Response }

// Key tells the response to a request from any other: the response has the same key with
// from and to exchanged. ID is what the id's text stands for (sameID).
type Key struct{ From, To, ID string }

// KeyOf is the key of a request.
func KeyOf(m *pb.Message) Key { return Key{m.From, m.To, sameID(m.Id)} }

// AnswerKey is the key of the request that a response answers.
func AnswerKey(m *pb.Message) Key { return Key{m.To, m.From, sameID(m.Id)} }

// Answer makes the response to a request: from and to exchanged, the same id and trace, and
// a body with the code and the fields that are given. fields is anything that marshals to a
// JSON object, or nil; a `code` in it is overridden. The trace is left out where it would
// make the response too large.
func Answer(req *pb.Message, code fault.Code, fields any) *pb.Message {
	answer := &pb.Message{Id: req.Id, Type: Response, From: req.To, To: req.From, Body: answerBody(code, fields)}
	if t := answerTrace(req); t != nil && fitsTrace(answer, t) {
		answer.Trace = t
	}
	return answer
}

// Refuse makes the response that tells the sender of a request what is wrong. The
// description is written under both its names, since older peers read `desc`. For a message
// in a flow it says which place has not arrived: the sender's bus may find another path.
func Refuse(req *pb.Message, err error) *pb.Message {
	f := fault.From(err)
	answer := Answer(req, f.Code, map[string]string{"description": f.Description, "desc": f.Description})
	answer.Flow = refusedFlow(req)
	return answer
}

func answerBody(code fault.Code, fields any) []byte {
	object := objectOf(fields)
	if len(object) == 0 {
		return append(strconv.AppendInt([]byte(codeBegins), int64(code), 10), '}')
	}
	object["code"] = json.RawMessage(strconv.Itoa(int(code)))
	body, _ := json.Marshal(object) // raw messages that came out of Marshal
	return body
}

// objectOf gives the fields of what marshals to an object; of all else there are none.
func objectOf(fields any) (object map[string]json.RawMessage) {
	if fields == nil {
		return nil
	}
	if raw, err := json.Marshal(fields); err == nil {
		_ = json.Unmarshal(raw, &object)
	}
	return object
}

// MarshalBody encodes a body that this program builds. It panics on a value
// that cannot be JSON, which is a defect of the caller.
func MarshalBody(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("message: body cannot be encoded: " + err.Error())
	}
	return b
}

// UnmarshalBody decodes a message's body into v. No body is an empty object.
// The error is a BadRequest that names the field.
func UnmarshalBody(m *pb.Message, v any) error {
	if len(m.GetBody()) == 0 {
		return nil
	}
	err := json.Unmarshal(m.Body, v)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) && wrong.Field != "" { // its text is about Go
		return fault.New(fault.BadRequest, "body.%s: %s is of the wrong type", wrong.Field, wrong.Value).In("body")
	}
	if err != nil {
		return fault.New(fault.BadRequest, "body: %s", strings.TrimPrefix(err.Error(), "json: ")).In("body")
	}
	return nil
}

// Result reads a response's code and description. A response without a code counts as 200,
// since older peers leave it out. A code of 400 or more comes with an error.
func Result(m *pb.Message) (fault.Code, error) {
	if code, ok := goodCode(m.GetBody()); ok {
		return code, nil
	}
	raw, err := fieldOf(m.GetBody(), "code")
	if err != nil {
		return fault.BadRequest, err
	}
	var code Whole
	if raw != nil {
		if err := code.UnmarshalJSON(raw); err != nil {
			return fault.BadRequest, err
		}
	}
	switch {
	case code == 0:
		return fault.OK, nil
	case code < 400:
		return fault.Code(code), nil
	}
	return fault.Code(code), fault.New(fault.Code(code), "%s", describedIn(m.Body))
}

// describedIn is the description in a body, under either name.
func describedIn(body []byte) (description string) {
	for _, name := range [...]string{"description", "desc"} {
		raw, _ := fieldOf(body, name)
		if json.Unmarshal(raw, &description) == nil && description != "" {
			break
		}
	}
	return description
}

// codeBegins is what a body begins with that has a code and nothing else.
const codeBegins = `{"code":`

// goodCode reads the code of such a body, which most responses have, if it is one of 100 to
// 399. It is on the way of each request.
func goodCode(body []byte) (fault.Code, bool) {
	const length = len(codeBegins) + len("200}")
	if len(body) != length || string(body[:len(codeBegins)]) != codeBegins || body[length-1] != '}' {
		return 0, false
	}
	code := 0
	for _, digit := range body[len(codeBegins) : length-1] {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		code = 10*code + int(digit-'0')
	}
	return fault.Code(code), code >= 100 && code < 400
}
