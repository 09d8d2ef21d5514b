package codec

import pb "github.com/peerbus/peerbus/gen/peerbus/v1"

// heading is what a message says between its id and its body: fields 2 to 9. The next one
// mostly says it in the same bytes, which are compared then, and not read.
type heading struct {
	encoded                  []byte // its fields, one behind the other; none: it is not known
	copied                   []byte // memory for a copy of them
	kind, from, to           string
	via, source              string
	p2pHandler, p2pRequester string
	p2p, more                bool // more: it says more than the first three
}

// maxHeading is of how many bytes a heading may be to be known.
const maxHeading = 1 << 10

// take takes the heading that is known, if it is the one that comes next. So far there is
// nothing but an id in the message.
func (h *heading) take(r *reader, m *pb.Message) bool {
	n := len(h.encoded)
	if n == 0 || len(r.b)-r.at < n || string(r.b[r.at:][:n]) != string(h.encoded) {
		return false
	}
	if (&reader{b: r.b, at: r.at + n}).atHeading() {
		return false // it goes on
	}
	r.at += n
	m.Type, m.From, m.To = h.kind, h.from, h.to
	if h.more {
		m.Via, m.Source, m.P2P, m.P2PHandler, m.P2PRequester = h.via, h.source, h.p2p, h.p2pHandler, h.p2pRequester
	}
	return true
}

// readsHeading reads a heading into an empty message, and tells whether it says more than
// its first three fields.
func (k *known) readsHeading(r *reader, m *pb.Message) (more bool) {
	if !k.heading.take(r, m) {
		k.readHeading(r, m)
	}
	return saysMore(m)
}

// readHeading reads one that is not known, and knows it from then on.
func (k *known) readHeading(r *reader, m *pb.Message) {
	from := r.at
	for r.err == nil && r.atHeading() && r.next() {
		k.headingField(r, m)
	}
	if r.err == nil && k.brief && r.at-from <= maxHeading {
		k.heading.note(r.b[from:r.at], m, !k.copies)
	}
}

// note knows a heading, which has been read into a message that was empty but for its id.
// Its bytes are copied, unless they stay.
func (h *heading) note(encoded []byte, m *pb.Message, stay bool) {
	if h.encoded = encoded; !stay {
		h.copied = append(h.copied[:0], encoded...)
		h.encoded = h.copied
	}
	h.kind, h.from, h.to = m.Type, m.From, m.To
	h.via, h.source, h.p2p, h.p2pHandler, h.p2pRequester = m.Via, m.Source, m.P2P, m.P2PHandler, m.P2PRequester
	h.more = saysMore(m)
}

func saysMore(m *pb.Message) bool {
	return m.P2P || len(m.Via)+len(m.Source)+len(m.P2PHandler)+len(m.P2PRequester) > 0
}

// atHeading tells whether the next field is one of a heading.
func (r *reader) atHeading() bool {
	if r.at == len(r.b) {
		return false
	}
	next := r.b[r.at]
	return next >= tag(2, bytes) && next <= tag(9, bytes) && (next&7 == bytes && next>>3 != 7 || next == tag(7, varint))
}

// headingField reads a field, if it is one of a heading, wherever it is.
func (k *known) headingField(r *reader, m *pb.Message) bool {
	switch r.tag {
	case tag(2, bytes):
		m.Type = k.text(k.heading.kind, r, r.long)
	case tag(3, bytes):
		m.From = k.text(k.heading.from, r, r.long)
	case tag(4, bytes):
		m.To = k.text(k.heading.to, r, r.long)
	case tag(5, bytes):
		m.Via = k.text(k.heading.via, r, r.long)
	case tag(6, bytes):
		m.Source = k.text(k.heading.source, r, r.long)
	case tag(7, varint):
		m.P2P = r.v != 0
	case tag(8, bytes):
		m.P2PHandler = k.text(k.heading.p2pHandler, r, r.long)
	case tag(9, bytes):
		m.P2PRequester = k.text(k.heading.p2pRequester, r, r.long)
	default:
		return false
	}
	return true
}
