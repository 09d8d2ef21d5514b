package olderpeer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// The older framing of the data channel (section 11).

const (
	packetSize = 16384 // bytes of binary, or UTF-16 units of text, in a packet
	// receiverIDLength is the length of a uuid, in characters, that an older receiver
	// cuts off the front of a binary packet.
	receiverIDLength = 12
)

// packet is one message of the data channel.
type packet struct {
	text bool
	data []byte
}

// envelope is a text packet. Data is an opening, or a string: a piece of split text.
type envelope struct {
	UUID string          `json:"uuid"`
	Data json.RawMessage `json:"data"`
}

type opening struct {
	UUID        string   `json:"uuid"`
	SendingTime int64    `json:"sendingTime"` // milliseconds since 1970
	DataSize    int      `json:"dataSize"`    // bytes or UTF-16 units that follow
	TextMessage *Message `json:"textMessage"`
}

// packetsOf cuts a message into packets, as an older sender does: binary content
// follows in binary packets, and long text content in text packets.
func packetsOf(m Message, uuid string, now time.Time) ([]packet, error) {
	content := at(m.Body, "value", "content")
	var (
		pieces []packet
		size   int
	)
	switch content := content.(type) {
	case []byte:
		pieces, size = binaryPieces(uuid, content), len(content)
	case string:
		if units := utf16.Encode([]rune(content)); len(units) > packetSize {
			pieces, size = textPieces(uuid, units), len(units)
		}
	}
	if size > 0 {
		m = withoutContent(m)
	}
	data, err := json.Marshal(opening{UUID: uuid, SendingTime: now.UnixMilli(), DataSize: size, TextMessage: &m})
	if err != nil {
		return nil, fmt.Errorf("encode the message: %w", err)
	}
	first, err := json.Marshal(envelope{UUID: uuid, Data: data})
	if err != nil {
		return nil, fmt.Errorf("encode the packet: %w", err)
	}
	return append([]packet{{text: true, data: first}}, pieces...), nil
}

func withoutContent(m Message) Message {
	value := Message{Body: m.Body["value"].(Body)}.with("content", nil).Body
	delete(value, "content")
	return m.with("value", value)
}

func binaryPieces(uuid string, content []byte) []packet {
	var prefix []byte
	for _, unit := range utf16.Encode([]rune(uuid)) {
		prefix = binary.LittleEndian.AppendUint16(prefix, unit)
	}
	var pieces []packet
	for len(content) > 0 {
		n := min(len(content), packetSize)
		piece := append(append([]byte(nil), prefix...), content[:n]...)
		pieces = append(pieces, packet{data: piece})
		content = content[n:]
	}
	return pieces
}

func textPieces(uuid string, units []uint16) []packet {
	var pieces []packet
	for len(units) > 0 {
		n := min(len(units), packetSize)
		data := fmt.Sprintf(`{"uuid":%q,"data":%s}`, uuid, quoteUnits(units[:n]))
		pieces = append(pieces, packet{text: true, data: []byte(data)})
		units = units[n:]
	}
	return pieces
}

// quoteUnits writes UTF-16 units as a JSON string. JavaScript cuts a string between
// the halves of a surrogate pair without a thought, and escapes what is left alone.
func quoteUnits(units []uint16) string {
	var text strings.Builder
	text.WriteByte('"')
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) && i+1 < len(units) {
			if pair := utf16.DecodeRune(r, rune(units[i+1])); pair != utf8.RuneError {
				text.WriteRune(pair)
				i++
				continue
			}
		}
		if r < ' ' || r == '"' || r == '\\' || utf16.IsSurrogate(r) {
			fmt.Fprintf(&text, `\u%04x`, r)
			continue
		}
		text.WriteRune(r)
	}
	text.WriteByte('"')
	return text.String()
}

// drawPacketID draws a uuid of the given length, or of 8 to 13 characters.
func drawPacketID(length int) string {
	if length == 0 {
		length = 8 + rand.IntN(6)
	}
	var id strings.Builder
	for range length {
		id.WriteString(strconv.FormatInt(rand.Int64N(36), 36))
	}
	return id.String()
}

// assembler puts packets together as an older receiver does: it wants a uuid of 12
// characters before binary content, and does not understand split text. The errors
// say what would have stopped it.
type assembler struct {
	open map[string]*transfer
}

type transfer struct {
	message Message
	value   Body // of the message, where the content belongs
	size    int
	content []byte
}

// text takes a text packet and returns a message if that completes one.
func (a *assembler) text(data []byte) (*Message, error) {
	var outer envelope
	if err := json.Unmarshal(data, &outer); err != nil {
		return nil, fmt.Errorf("a text packet is no JSON: %w", err)
	}
	if strings.HasPrefix(string(outer.Data), `"`) {
		return nil, fmt.Errorf("text split into packets (transfer %q)", outer.UUID)
	}
	var inner opening
	if err := json.Unmarshal(outer.Data, &inner); err != nil {
		return nil, fmt.Errorf("a text packet opens no message: %w", err)
	}
	switch {
	case outer.UUID == "" || inner.UUID != outer.UUID:
		return nil, fmt.Errorf("a text packet has the uuids %q and %q", outer.UUID, inner.UUID)
	case inner.TextMessage == nil:
		return nil, errors.New("a text packet has no textMessage")
	case inner.TextMessage.missing() != "":
		return nil, fmt.Errorf("a message on the data channel has no %s", inner.TextMessage.missing())
	case inner.DataSize == 0:
		return inner.TextMessage, nil
	}
	return nil, a.begin(outer.UUID, inner)
}

func (a *assembler) begin(uuid string, o opening) error {
	value, ok := o.TextMessage.Body["value"].(Body)
	mimetype := stringAt(value, "mimetype")
	switch {
	case o.DataSize < 0 || o.DataSize > maxDataSize:
		return fmt.Errorf("dataSize is %d", o.DataSize)
	case !ok:
		return errors.New("content follows a message whose body.value is no object")
	case strings.HasPrefix(mimetype, "text"):
		return fmt.Errorf("text content of type %q follows in packets of its own", mimetype)
	case len(utf16.Encode([]rune(uuid))) != receiverIDLength:
		return fmt.Errorf("binary content follows under a uuid of %d characters", len(uuid))
	case len(a.open) >= openTransfers:
		return fmt.Errorf("more than %d transfers at once", openTransfers)
	}
	if a.open == nil {
		a.open = map[string]*transfer{}
	}
	a.open[uuid] = &transfer{message: *o.TextMessage, value: value, size: o.DataSize}
	return nil
}

// binary takes a binary packet and returns a message if that completes one.
func (a *assembler) binary(data []byte) (*Message, error) {
	const head = 2 * receiverIDLength
	if len(data) <= head {
		return nil, fmt.Errorf("a binary packet of %d bytes", len(data))
	}
	units := make([]uint16, receiverIDLength)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(data[2*i:])
	}
	uuid := string(utf16.Decode(units))
	t := a.open[uuid]
	if t == nil {
		return nil, fmt.Errorf("a binary packet begins with %q, which no message has opened", uuid)
	}
	if len(data)-head > packetSize {
		return nil, fmt.Errorf("a binary packet with %d bytes of content", len(data)-head)
	}
	t.content = append(t.content, data[head:]...)
	if len(t.content) < t.size {
		return nil, nil
	}
	delete(a.open, uuid)
	if len(t.content) > t.size {
		return nil, fmt.Errorf("%d bytes of content where dataSize said %d", len(t.content), t.size)
	}
	t.value["content"] = t.content
	return &t.message, nil
}
