package framing

import (
	"encoding/json"
	"slices"
	"unicode/utf8"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

const (
	maxUUID      = 64 // bytes of a transfer's name
	splitUnits   = 16384
	progressStep = 10 // percent
)

// textPacket is what a text packet holds: the opening of a message, or a piece
// of split text.
type textPacket struct {
	UUID string          `json:"uuid"`
	Data json.RawMessage `json:"data"`
}

type opening struct {
	DataSize    message.Whole   `json:"dataSize"`
	TextMessage json.RawMessage `json:"textMessage"`
}

type rethinkDecoder struct {
	table *table[string]
	limit Limits
	quiet []string // transfers given up lately, whose rest may still come
}

func newRethinkDecoder(l Limits) *rethinkDecoder {
	return &rethinkDecoder{table: newTable[string](l), limit: l}
}

func (d *rethinkDecoder) Decode(p Packet) (Received, error) {
	var r Received
	var err error
	if p.Text {
		err = d.text(p.Data, &r)
	} else {
		err = d.binary(p.Data, &r)
	}
	return r, err
}

func (d *rethinkDecoder) text(data []byte, r *Received) error {
	var p textPacket
	if !utf8.Valid(data) || json.Unmarshal(data, &p) != nil || p.UUID == "" || len(p.UUID) > maxUUID || len(p.Data) == 0 {
		return fault.New(fault.BadRequest, "text packet is no message packet")
	}
	if p.Data[0] == '"' {
		return d.splitText(p, r)
	}
	var o opening
	if err := json.Unmarshal(p.Data, &o); err != nil || o.DataSize < 0 {
		return fault.New(fault.BadRequest, "data of packet %.20q is no message", p.UUID)
	}
	m, err := message.ParseJSON(o.TextMessage)
	if c, ok := cancelOf(m); ok {
		r.Cancelled = append(r.Cancelled, c)
		return nil
	}
	if err != nil {
		if m != nil {
			r.Wrong = append(r.Wrong, Wrong{m, err})
		}
		return err
	}
	if o.DataSize == 0 {
		r.Messages = append(r.Messages, codec.Bare(m))
		return nil
	}
	return d.open(p.UUID, m, int(o.DataSize), r)
}

// open begins a message whose content follows.
func (d *rethinkDecoder) open(uuid string, m *pb.Message, size int, r *Received) error {
	if d.table.get(uuid) != nil {
		d.giveUp(uuid, r)
		return fault.New(fault.BadRequest, "transfer %.20q begins again", uuid)
	}
	if size > d.limit.Message {
		d.hush(uuid)
		r.GivenUp = append(r.GivenUp, Cancel{Resource: CancelResource(m)})
		return fault.New(fault.TooLarge, "content has %d bytes, more than %d", size, d.limit.Message)
	}
	d.dropped(d.table.open(uuid, &transfer{size: size, message: m}), r)
	return nil
}

// splitText takes a piece of text content, which older senders may split. They
// cut between UTF-16 units, so that a piece alone need not be text: it is kept
// as units, two bytes each.
func (d *rethinkDecoder) splitText(p textPacket, r *Received) error {
	t := d.table.get(p.UUID)
	if t == nil {
		return d.unknown(p.UUID)
	}
	piece, err := jsonUnits(p.Data)
	if err != nil || len(piece) == 0 || len(t.data) > 0 && !t.text || len(t.data)+len(piece) > 2*t.size {
		d.giveUp(p.UUID, r)
		return fault.New(fault.BadRequest, "transfer %.20q has a piece that does not fit", p.UUID)
	}
	t.text = true
	d.dropped(d.table.grow(p.UUID, piece), r)
	units := len(t.data) / 2
	// Older senders give the size in units; one that gives bytes is known by its
	// last piece, which is short.
	if units < t.size && (len(piece) >= 2*splitUnits || len(fromUTF16LE(t.data)) != t.size) {
		d.progress(t, units, r)
		return nil
	}
	d.table.drop(p.UUID)
	body, err := setValue(t.message.Body, map[string]string{"content": fromUTF16LE(t.data)})
	if err != nil {
		return err
	}
	t.message.Body = body
	r.Messages = append(r.Messages, codec.Bare(t.message))
	return nil
}

// binary takes a piece of content behind its transfer's name.
func (d *rethinkDecoder) binary(data []byte, r *Received) error {
	uuid, t := d.match(data)
	if t == nil {
		return d.unknownBinary(data)
	}
	piece := data[2*utf16Len(uuid):]
	if len(piece) == 0 || t.text || len(piece) > t.size-len(t.data) {
		d.giveUp(uuid, r)
		return fault.New(fault.BadRequest, "transfer %.20q has a piece that does not fit", uuid)
	}
	d.dropped(d.table.grow(uuid, piece), r)
	if len(t.data) < t.size {
		d.progress(t, len(t.data), r)
		return nil
	}
	d.table.drop(uuid)
	t.message.Resource = &pb.Resource{Content: t.data, MimeType: mimeType(t.message)}
	r.Messages = append(r.Messages, codec.Bare(t.message))
	return nil
}

func (d *rethinkDecoder) dropped(victims []victim[string], r *Received) {
	for _, v := range victims {
		r.GivenUp = append(r.GivenUp, Cancel{Resource: CancelResource(v.message)})
		d.hush(v.name)
	}
}

// match finds the open transfer whose name a binary packet begins with: older
// senders draw names of 8 to 13 characters.
func (d *rethinkDecoder) match(data []byte) (string, *transfer) {
	for units := maxUUIDUnits; units >= minUUIDUnits; units-- {
		if len(data) < 2*units {
			continue
		}
		name := fromUTF16LE(data[:2*units])
		if t := d.table.get(name); t != nil {
			return name, t
		}
	}
	return "", nil
}

func (d *rethinkDecoder) progress(t *transfer, have int, r *Received) {
	percent := int(int64(have) * 100 / int64(t.size))
	if percent >= t.percent+progressStep {
		t.percent = percent - percent%progressStep
		r.Progress = append(r.Progress, Progress{Message: t.message, Percent: percent})
	}
}

func (d *rethinkDecoder) giveUp(uuid string, r *Received) {
	r.GivenUp = append(r.GivenUp, Cancel{Resource: CancelResource(d.table.get(uuid).message)})
	d.table.drop(uuid)
	d.hush(uuid)
}

// hush remembers a transfer whose rest is passed over: an older sender does not
// stop.
func (d *rethinkDecoder) hush(uuid string) {
	if len(d.quiet) >= d.limit.Transfers {
		d.quiet = d.quiet[1:]
	}
	d.quiet = append(d.quiet, uuid)
}

func (d *rethinkDecoder) unknown(uuid string) error {
	if slices.Contains(d.quiet, uuid) {
		return nil
	}
	return fault.New(fault.BadRequest, "piece of transfer %.20q, which is not open", uuid)
}

func (d *rethinkDecoder) unknownBinary(data []byte) error {
	for _, q := range d.quiet {
		if name := utf16LE(q); len(data) >= len(name) && string(data[:len(name)]) == string(name) {
			return nil
		}
	}
	return fault.New(fault.BadRequest, "binary packet of no open transfer")
}

// cancelOf reads the message by which the peer gives up a transfer. It has no
// id, unlike any other.
func cancelOf(m *pb.Message) (Cancel, bool) {
	if m.GetType() != message.Delete || m.GetId() != "" {
		return Cancel{}, false
	}
	var body struct {
		Resource string `json:"resource"`
	}
	err := message.UnmarshalBody(m, &body)
	return Cancel{Resource: body.Resource}, err == nil && body.Resource != ""
}

// CancelMessage tells a peer of the older framing, from stub to stub, that a
// transfer was given up.
func CancelMessage(from, to string, c Cancel) *pb.Message {
	return &pb.Message{
		Type: message.Delete, From: from, To: to,
		Body: message.MarshalBody(map[string]string{"resource": c.Resource}),
	}
}

func mimeType(m *pb.Message) string {
	var body struct {
		Value struct {
			MimeType string `json:"mimetype"`
		} `json:"value"`
	}
	if message.UnmarshalBody(m, &body) != nil {
		return ""
	}
	return body.Value.MimeType
}
