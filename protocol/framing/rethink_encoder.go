package framing

import (
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// letter is a message in the older framing on its way out.
type letter struct {
	message *pb.Message
	text    []byte // the opening packet; nil once it has left
	uuid    []byte // as it stands before each piece
	content []byte // what has not left
	size    int
}

// rethinkEncoder sends one message after the other: an older receiver gains
// nothing from pieces that are mixed.
type rethinkEncoder struct {
	o       Options
	queue   []*letter
	pending int
	buf     []byte
}

func newRethinkEncoder(o Options) *rethinkEncoder { return &rethinkEncoder{o: o} }

func (e *rethinkEncoder) Pending() int { return e.pending }

func (e *rethinkEncoder) Carry(c codec.Carried) error { return e.Add(c.Message()) }

func (e *rethinkEncoder) Add(m *pb.Message) error {
	plain, content, err := splitContent(m)
	if err != nil {
		return err
	}
	if len(content) > e.o.Limits.Message {
		return fault.New(fault.TooLarge, "content has %d bytes, more than %d", len(content), e.o.Limits.Message)
	}
	uuid := e.o.UUID()
	text, err := e.opening(plain, uuid, len(content))
	if fault.CodeOf(err) == fault.TooLarge && plain.Trace != nil { // not for its trace's sake
		plain.Trace = nil
		text, err = e.opening(plain, uuid, len(content))
	}
	if err != nil {
		return err
	}
	l := &letter{message: m, text: text, uuid: utf16LE(uuid), content: content, size: len(text) + len(content)}
	e.queue = append(e.queue, l)
	e.pending += l.size
	return nil
}

// opening is the text packet that begins a message.
func (e *rethinkEncoder) opening(m *pb.Message, uuid string, dataSize int) ([]byte, error) {
	b := make([]byte, 0, 256+len(m.Body))
	b = append(b, `{"uuid":"`...)
	b = append(b, uuid...)
	b = append(b, `","data":{"uuid":"`...)
	b = append(b, uuid...)
	b = append(b, `","sendingTime":`...)
	b = strconv.AppendInt(b, e.o.Now().UnixMilli(), 10)
	b = append(b, `,"dataSize":`...)
	b = strconv.AppendInt(b, int64(dataSize), 10)
	b = append(b, `,"textMessage":`...)
	b, err := message.AppendJSON(b, m)
	if err != nil {
		return nil, err
	}
	b = append(b, "}}"...)
	if len(b) > e.o.Limits.Text {
		return nil, fault.New(fault.TooLarge, "message has %d bytes, more than the %d that the peer's data channel takes as text", len(b), e.o.Limits.Text)
	}
	return b, nil
}

// splitContent gives a message without its resource, and the bytes that travel
// behind it. Text content stays in the message.
func splitContent(m *pb.Message) (*pb.Message, []byte, error) {
	plain := &pb.Message{
		Id: m.Id, Type: m.Type, From: m.From, To: m.To, Via: m.Via, Source: m.Source, P2P: m.P2P,
		P2PHandler: m.P2PHandler, P2PRequester: m.P2PRequester, Body: m.Body, Resource: m.Resource, Trace: m.Trace,
	}
	message.TakeResource(plain)
	r := plain.Resource
	plain.Resource = nil
	if r == nil {
		return plain, nil, nil
	}
	fields := map[string]string{"mimetype": r.MimeType}
	stays := message.IsText(r.MimeType) && utf8.Valid(r.Content)
	if stays {
		fields["content"] = string(r.Content)
	}
	body, err := setValue(plain.Body, fields)
	if err != nil {
		return nil, nil, err
	}
	plain.Body = body
	if stays {
		return plain, nil, nil
	}
	return plain, r.Content, nil
}

// setValue puts text fields into body.value.
func setValue(body []byte, fields map[string]string) ([]byte, error) {
	object, value := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if len(body) > 0 && json.Unmarshal(body, &object) != nil {
		return nil, fault.New(fault.BadRequest, "body is not a JSON object")
	}
	if raw, ok := object["value"]; ok && (json.Unmarshal(raw, &value) != nil || value == nil) {
		return nil, fault.New(fault.BadRequest, "body.value is not a JSON object, so it cannot hold content")
	}
	for k, v := range fields {
		value[k] = message.MarshalBody(v)
	}
	object["value"] = message.MarshalBody(value)
	return message.MarshalBody(object), nil
}

func (e *rethinkEncoder) Next() (Packet, bool) {
	if len(e.queue) == 0 {
		return Packet{}, false
	}
	l := e.queue[0]
	if l.text != nil {
		text := l.text
		l.text = nil
		e.left(l, len(text))
		return Packet{Text: true, Data: text}, true
	}
	n := min(len(l.content), e.o.Limits.Packet-len(l.uuid))
	e.buf = append(append(e.buf[:0], l.uuid...), l.content[:n]...)
	l.content = l.content[n:]
	e.left(l, n)
	return Packet{Data: e.buf}, true
}

// left counts what went out of the first message, and takes it out at its end.
func (e *rethinkEncoder) left(l *letter, n int) {
	e.pending -= n
	l.size -= n
	if len(l.content) == 0 {
		e.queue = slices.Delete(e.queue, 0, 1)
	}
}

func (e *rethinkEncoder) Stop(c Cancel) {
	for i, l := range e.queue {
		if CancelResource(l.message) == c.Resource {
			e.pending -= l.size
			e.queue = slices.Delete(e.queue, i, i+1)
			return
		}
	}
}

func (e *rethinkEncoder) Tell(Cancel) {}

func (e *rethinkEncoder) Lengthen(bool) {}

func (e *rethinkEncoder) Drain() []*pb.Message {
	var out []*pb.Message
	for _, l := range e.queue {
		out = append(out, l.message)
	}
	e.queue, e.pending = nil, 0
	return out
}

// CancelResource names the message in a `delete` by which a receiver of the older framing
// gives it up: its from, to and id written one after the other.
func CancelResource(m *pb.Message) string {
	return m.From + m.To + message.PlainID(m.Id)
}
