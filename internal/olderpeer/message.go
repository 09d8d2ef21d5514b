package olderpeer

import (
	"encoding/json"
	"maps"
	"strings"
)

// Path is the way a message came.
type Path string

// The two ways.
const (
	Node    Path = "node"    // over a Message Node
	Channel Path = "channel" // over a data channel
)

// Body is the body of a message: any JSON object.
type Body = map[string]any

// Message is a message as it stands on the wire (section 2). A binary content in
// body.value.content is a []byte.
type Message struct {
	ID   json.RawMessage `json:"id,omitempty"` // exactly as it was sent; empty: the peer numbers it
	Type string          `json:"type"`
	From string          `json:"from"`
	To   string          `json:"to"`
	Body Body            `json:"body,omitempty"`
	Path Path            `json:"-"` // set on what was received
}

// Response returns the answer to m with a code and further fields of the body.
func (m Message) Response(code int, fields Body) Message {
	body := Body{"code": code}
	maps.Copy(body, fields)
	return Message{ID: m.ID, Type: "response", From: m.To, To: m.From, Body: body}
}

// Code returns body.code, or 0 if there is none.
func (m Message) Code() int {
	switch code := m.Body["code"].(type) {
	case float64:
		return int(code)
	case int:
		return code
	}
	return 0
}

// Reason returns the text of an error response.
func (m Message) Reason() string {
	if text := stringAt(m.Body, "desc"); text != "" {
		return text
	}
	return stringAt(m.Body, "description")
}

// with returns m with one more field in its body, and leaves m alone.
func (m Message) with(field string, value any) Message {
	body := make(Body, len(m.Body)+1)
	maps.Copy(body, m.Body)
	body[field] = value
	m.Body = body
	return m
}

// missing names the first routing field that m lacks, or is empty.
func (m Message) missing() string {
	switch {
	case m.Type == "":
		return "type"
	case m.From == "":
		return "from"
	case m.To == "":
		return "to"
	}
	return ""
}

// at walks down nested objects; nil where the way ends.
func at(value any, way ...string) any {
	for _, name := range way {
		object, ok := value.(Body)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

func stringAt(value any, way ...string) string {
	text, _ := at(value, way...).(string)
	return text
}

func numberAt(value any, way ...string) int {
	number, _ := at(value, way...).(float64)
	return int(number)
}

// domainOf returns the domain in an address, without the name of a backend service
// in front of it; empty for a bare string (section 1).
func domainOf(address string) string {
	scheme, rest, ok := strings.Cut(address, ":/")
	if !ok {
		return ""
	}
	domain, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	if scheme == "domain" {
		domain = strings.TrimPrefix(domain, "msg-node.")
		domain = strings.TrimPrefix(domain, "registry.")
	}
	return domain
}
