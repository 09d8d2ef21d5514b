package message

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// routing are the fields of a body that have a meaning for routing (wire
// contract, section 2). They stay in the body, except via.
type routing struct {
	Via          text `json:"via"`
	Source       text `json:"source"`
	P2P          flag `json:"p2p"`
	P2PHandler   text `json:"p2pHandler"`
	P2PRequester text `json:"p2pRequester"`
}

// text is a string, or empty where an application uses the name otherwise: a
// body is the application's, and only a string can be an address.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
	}
	return nil
}

// flag is true for the JSON true alone.
type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	*f = string(b) == "true"
	return nil
}

// ParseJSON reads one message from a frame. With an error the message has what could be
// read of it, so that the error can be answered (wire contract, section 3); it is nil when
// the frame is not a JSON object.
func ParseJSON(frame []byte) (*pb.Message, error) {
	m, err := ParseDraft(frame)
	if err != nil {
		return m, err
	}
	return m, Validate(m)
}

// ParseDraft is ParseJSON for a message that need not be complete.
func ParseDraft(frame []byte) (*pb.Message, error) {
	if !utf8.Valid(frame) {
		return nil, fault.New(fault.BadRequest, "message is not UTF-8").In("message")
	}
	if t := trimSpace(frame); len(t) == 0 || t[0] != '{' || !validJSON(frame) {
		return nil, fault.New(fault.BadRequest, "message is not a JSON object").In("message")
	}
	m, err := parseEnvelope(frame)
	if err != nil {
		return m, err
	}
	m.Body, err = takeRouting(m, m.Body)
	return m, err
}

// parseEnvelope reads field by field, so that one of a wrong type is named and
// the others are there to answer with.
func parseEnvelope(frame []byte) (*pb.Message, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(frame, &fields); err != nil {
		return nil, fault.New(fault.BadRequest, "message is not a JSON object: %v", err).In("message")
	}
	m := &pb.Message{}
	var wrong error
	if id, ok := fields["id"]; ok && string(id) != "null" {
		if isID(id) {
			m.Id = string(id)
		} else {
			wrong = fault.New(fault.BadRequest, "id is neither a number nor a string").In("id")
		}
	}
	for _, f := range []struct {
		name string
		to   *string
	}{{"type", &m.Type}, {"from", &m.From}, {"to", &m.To}} {
		if raw, ok := fields[f.name]; ok && string(raw) != "null" {
			if err := json.Unmarshal(raw, f.to); err != nil && wrong == nil {
				wrong = fault.New(fault.BadRequest, "%s is not a string", f.name).In(f.name)
			}
		}
	}
	if body, ok := fields["body"]; ok && string(body) != "null" {
		if body[0] == '{' {
			m.Body = body
		} else if wrong == nil {
			wrong = NoObject()
		}
	}
	if flow, ok := fields["flow"]; ok && flow[0] == '{' {
		parseFlow(m, flow)
	}
	if trace, ok := fields["trace"]; ok && trace[0] == '{' {
		parseTrace(m, trace)
	}
	return m, wrong
}

// takeRouting fills the routing fields from the body, and gives the body
// without via.
func takeRouting(m *pb.Message, body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, nil
	}
	r, err := routingOf(body)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "body: %v", err).In("body")
	}
	m.Via, m.Source, m.P2P = string(r.Via), string(r.Source), bool(r.P2P)
	m.P2PHandler, m.P2PRequester = string(r.P2PHandler), string(r.P2PRequester)
	if m.Via == "" && !bytes.Contains(body, []byte(`"via"`)) {
		return body, nil
	}
	return cutField(body, "via"), nil
}

// routingOf reads the routing fields of a body. Where there seem to be any it
// looks twice, since encoding/json takes `Via` for `via` as well.
func routingOf(body []byte) (r routing, err error) {
	if err = json.Unmarshal(body, &r); err != nil || r == (routing{}) {
		return r, err
	}
	var fields map[string]json.RawMessage
	if err = json.Unmarshal(body, &fields); err != nil {
		return r, err
	}
	r = routing{P2P: string(fields["p2p"]) == "true"}
	for name, to := range map[string]*text{
		"via": &r.Via, "source": &r.Source, "p2pHandler": &r.P2PHandler, "p2pRequester": &r.P2PRequester,
	} {
		_ = to.UnmarshalJSON(fields[name]) // what is no string is none
	}
	return r, nil
}

// cutField gives a JSON object without one of its fields, however often it is
// there, the rest as it was but for the space at both ends.
func cutField(object []byte, name string) []byte {
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		return object
	}
	start := dec.InputOffset()
	head := int(start)
	out := append(make([]byte, 0, len(object)), object[:start]...)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return object
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return object
		}
		end := dec.InputOffset()
		part := object[start:end] // with the comma before it
		if len(out) == head {
			part = trimSpace(bytes.TrimPrefix(trimSpace(part), []byte(",")))
		}
		if key != name {
			out = append(out, part...)
		}
		start = end
	}
	return append(out, trimSpace(object[start:])...)
}

func trimSpace(b []byte) []byte { return b[skipSpace(b, 0):] }

// AppendJSON appends a message as JSON to dst: id, type, from, to, the body with the
// routing fields in it, and flow and trace if there are any. A message without an id has
// none in the JSON either, unless it is a response: that has null (wire contract, sections
// 3 and 11). A resource becomes `body.value.content` in base64 with `body.value.mimetype`.
func AppendJSON(dst []byte, m *pb.Message) ([]byte, error) {
	body, err := FullBody(m)
	if err != nil {
		return dst, err
	}
	if m.Resource != nil {
		if body, err = insertResource(body, m.Resource); err != nil {
			return dst, err
		}
	}
	dst = append(dst, '{')
	if m.Id != "" {
		dst = append(append(append(dst, `"id":`...), m.Id...), ',')
	} else if IsResponse(m) {
		dst = append(dst, `"id":null,`...)
	}
	for _, f := range []struct{ key, value string }{
		{`"type":`, m.Type}, {`,"from":`, m.From}, {`,"to":`, m.To},
	} {
		dst = append(dst, f.key...)
		dst = appendString(dst, f.value)
	}
	if len(body) > 0 {
		dst = append(dst, `,"body":`...)
		dst = append(dst, body...)
	}
	if dst, err = appendFlow(dst, m); err != nil {
		return dst, err
	}
	if dst, err = appendTrace(dst, m.Trace); err != nil {
		return dst, err
	}
	return append(dst, '}'), nil
}

// JSON is AppendJSON into a new slice.
func JSON(m *pb.Message) ([]byte, error) {
	return AppendJSON(make([]byte, 0, 256+len(m.GetBody())), m)
}

// ApplicationJSON is JSON as programs outside are to see a message: without the fields by
// which buses and clients hand it over only once.
func ApplicationJSON(m *pb.Message) ([]byte, error) { return JSON(WithoutFlow(m)) }

// FullBody gives the body as it is in the JSON form: with via, and with those routing
// fields of the protobuf form that the body does not have yet. A resource is left out.
func FullBody(m *pb.Message) ([]byte, error) {
	var add []byte
	if m.Via != "" {
		add = appendField(add, "via", m.Via)
	}
	if m.Source != "" || m.P2P || m.P2PHandler != "" || m.P2PRequester != "" {
		var have routing
		if len(m.Body) > 0 {
			var err error
			if have, err = routingOf(m.Body); err != nil {
				return nil, NoObject()
			}
		}
		if m.P2P && !bool(have.P2P) {
			add = append(add, `,"p2p":true`...)
		}
		for _, f := range []struct{ name, value, have string }{
			{"source", m.Source, string(have.Source)},
			{"p2pHandler", m.P2PHandler, string(have.P2PHandler)},
			{"p2pRequester", m.P2PRequester, string(have.P2PRequester)},
		} {
			if f.value != "" && f.have == "" {
				add = appendField(add, f.name, f.value)
			}
		}
	}
	if len(add) == 0 {
		return m.Body, nil
	}
	return insertFields(m.Body, add)
}

// insertFields puts fields, each with a comma before it, in front of those of
// an object.
func insertFields(object, fields []byte) ([]byte, error) {
	rest := trimSpace(object)
	if len(rest) == 0 {
		rest = []byte("{}")
	}
	if rest[0] != '{' {
		return nil, NoObject()
	}
	out := append(make([]byte, 0, len(rest)+len(fields)), '{')
	out = append(out, fields[1:]...)
	if rest = trimSpace(rest[1:]); len(rest) > 0 && rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, rest...), nil
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return appendString(dst, value)
}

func appendString(dst []byte, s string) []byte {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return append(dst, b...)
}

// insertResource writes a resource into body.value.
func insertResource(body []byte, r *pb.Resource) ([]byte, error) {
	object, value, err := openValue(body)
	if err != nil {
		return nil, err
	}
	value["content"], _ = json.Marshal(base64.StdEncoding.EncodeToString(r.Content))
	if _, ok := value["mimetype"]; !ok {
		value["mimetype"], _ = json.Marshal(r.MimeType)
	}
	return closeValue(object, value)
}

// TakeResource moves `body.value.content` of a type that is not text into the message's
// Resource, as the data channel wants it (wire contract, section 11). Content that is not
// base64 is taken as the bytes of its text. Nothing changes where there is no such content,
// or there is a Resource already.
func TakeResource(m *pb.Message) {
	if m.Resource != nil || !bytes.Contains(m.Body, []byte(`"mimetype"`)) {
		return
	}
	object, value, err := openValue(m.Body)
	if err != nil {
		return
	}
	var content, mime string
	if json.Unmarshal(value["content"], &content) != nil || json.Unmarshal(value["mimetype"], &mime) != nil || IsText(mime) {
		return
	}
	raw, err := base64.StdEncoding.DecodeString(content)
	if err != nil {
		raw = []byte(content)
	}
	delete(value, "content")
	body, err := closeValue(object, value)
	if err != nil {
		return
	}
	m.Body, m.Resource = body, &pb.Resource{Content: raw, MimeType: mime}
}

// IsText tells whether content of this MIME type stays inside the message.
func IsText(mime string) bool { return mime == "" || len(mime) >= 4 && mime[:4] == "text" }

func openValue(body []byte) (object, value map[string]json.RawMessage, err error) {
	object, value = map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &object); err != nil {
			return nil, nil, NoObject()
		}
	}
	if raw, ok := object["value"]; ok {
		if err := json.Unmarshal(raw, &value); err != nil || value == nil {
			return nil, nil, fault.New(fault.BadRequest, "body.value is not a JSON object, so it cannot hold a resource").In("body")
		}
	}
	return object, value, nil
}

func closeValue(object, value map[string]json.RawMessage) ([]byte, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "body.value: %v", err).In("body")
	}
	object["value"] = raw
	return json.Marshal(object)
}

// Clone copies a message, so that one receiver's changes are not another's.
func Clone(m *pb.Message) *pb.Message { return proto.CloneOf(m) }
