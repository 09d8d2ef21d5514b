package codec

import (
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Most deliveries of a frame are as the one before but for id, body and number:
//
//	listener │ via │ id │ type, from, to, … │ body │ origin │ number
//	════════   ═══        ═════════════════          ══════
//
// What is marked is the same, byte for byte, and there is nothing else. (A stub puts via in
// front of what came in through it.) Such a lot is noted
// by where its messages are in the frame. They are made when their turn comes.

// Lot is deliveries for one listener that follow each other and are alike. Their bytes are
// in the memory of their frame, until Free.
type Lot struct {
	listener string
	head     pb.Message // what all have in common, and what one has that is lent
	more     bool       // head says more than type, from, to and origin
	entries  []entry
	size     int // of the messages, in bytes

	data   []byte // the frame
	memory mem.Buffer
	alike  alike
}

// alike is what is the same in deliveries, with its tags.
type alike struct{ listener, via, heading, origin []byte }

// entry is a message of a lot.
type entry struct {
	number   uint64
	id, body place // in the frame
	size     int32
	gone     bool
}

// place is from where to where a value is; the zero value is nowhere.
type place struct{ from, to int32 }

// Bounds of a lot.
const (
	lotEntries = FrameMessages // of them there is room at once: a full frame
	// A lot is of at least lotFrom messages, or of longFromFrame bytes: to open one costs
	// more than to copy less.
	lotFrom       = 4
	longFromFrame = 2 << 10
	// lotShare is of which part of its frame's memory a lot is at least: it keeps all of it.
	// Of a usual frame's, longFromFrame bytes are enough.
	lotShare   = 4
	usualFrame = 32 << 10
)

var lots = sync.Pool{New: func() any { return &Lot{entries: make([]entry, 0, lotEntries)} }}

// keeps tells whether it is enough to keep the memory of its frame, of so many bytes.
func (l *Lot) keeps(memory int) bool {
	if l.size < memory/lotShare && memory > usualFrame {
		return false
	}
	return l.size >= longFromFrame || l.Len() >= lotFrom && l.size >= memory/lotShare
}

// Len is how many messages it has.
func (l *Lot) Len() int { return len(l.entries) }

// Head has the fields that all its messages have in common.
func (l *Lot) Head() *pb.Message { return &l.head }

// Size is the size of a message, in bytes.
func (l *Lot) Size(i int) int { return int(l.entries[i].size) }

// Number is the Message.number of a message.
func (l *Lot) Number(i int) uint64 { return l.entries[i].number }

// Drop takes a message out of the lot; only its size stays.
func (l *Lot) Drop(i int) { l.entries[i].gone = true }

// Free gives the memory of the lot back, and with it what has been lent of it. A lot that
// is not freed is left to the garbage collector.
func (l *Lot) Free() {
	if l.memory != nil {
		l.memory.Free()
	}
	if cap(l.entries) > lotEntries {
		return
	}
	l.head.Reset()
	l.listener, l.more, l.entries, l.size, l.data, l.memory, l.alike = "", false, l.entries[:0], 0, nil, nil, alike{}
	lots.Put(l)
}

// Opener makes the messages of lots.
type Opener struct {
	// Lends has messages lent: each is valid, with its body, until the next one is made or
	// its lot is freed, since its memory is used again.
	Lends bool
	arena arena
}

// Message makes a message of a lot; nil if it has been taken out.
func (o *Opener) Message(l *Lot, i int) *pb.Message {
	e := &l.entries[i]
	switch {
	case e.gone:
		return nil
	case o.Lends:
		return l.lend(e, &o.arena)
	}
	return l.open(e, &o.arena)
}

// Deliver puts a message of a lot into d, which must be zero, or have one of a lot already.
func (o *Opener) Deliver(l *Lot, i int, d *Delivered) { d.head, d.Size = o.Message(l, i), l.Size(i) }

// lend makes a message whose texts may be kept: nobody expects a string to change, and a
// copy of the message shares them.
func (l *Lot) lend(e *entry, a *arena) *pb.Message {
	l.head.Id, l.head.Body, l.head.Number = l.id(e, a), l.at(e.body), e.number
	return &l.head
}

// open makes a message that may be kept.
func (l *Lot) open(e *entry, a *arena) *pb.Message {
	m := a.message(int(e.size))
	m.Id = l.id(e, a)
	m.Type, m.From, m.To, m.Origin, m.Number = l.head.Type, l.head.From, l.head.To, l.head.Origin, e.number
	if e.body != (place{}) {
		m.Body = a.clone(l.at(e.body), 0)
	}
	if l.more {
		copyMore(m, &l.head)
	}
	return m
}

// copyMore copies what a heading says besides type, from and to.
func copyMore(m, h *pb.Message) {
	m.Via, m.Source, m.P2P, m.P2PHandler, m.P2PRequester = h.Via, h.Source, h.P2P, h.P2PHandler, h.P2PRequester
}

func (l *Lot) id(e *entry, a *arena) string { return lentText(a.clone(l.at(e.id), 0)) }

// at gives what is at a place, which cannot be appended to there; nil where that is nowhere.
func (l *Lot) at(p place) []byte {
	if p == (place{}) {
		return nil
	}
	return l.data[p.from:p.to:p.to]
}

// add adds a delivery that begins at a place of b and ends with it; false when it is not
// as those before.
func (l *Lot) add(b []byte, at int) bool {
	at, ok := skipAlike(b, at, l.alike.listener)
	message := placeOf(b, at, tag(2, bytes))
	if !ok || int(message.to) != len(b) {
		return false
	}
	if at, ok = skipAlike(b, int(message.from), l.alike.via); !ok {
		return false
	}
	e := entry{id: placeOf(b, at, tag(1, bytes)), size: message.to - message.from}
	if e.id.from == e.id.to || !isText(b[e.id.from:e.id.to]) {
		return false
	}
	if at, ok = skipAlike(b, int(e.id.to), l.alike.heading); !ok {
		return false
	}
	if e.body = placeOf(b, at, tag(10, bytes)); e.body.to > 0 {
		at = int(e.body.to)
	}
	if at, ok = skipAlike(b, at, l.alike.origin); !ok {
		return false
	}
	if e.number, at = numberAt(b, at, tag(13, varint)); at != len(b) {
		return false
	}
	l.entries = append(l.entries, e)
	l.size += int(e.size)
	return true
}

// follow adds a sequel that begins at a place, and gives where it ends; -1 when it is not as
// it must be.
func (l *Lot) follow(b []byte, at int) int {
	sequel := placeOf(b, at, tag(9, bytes))
	own := b[:sequel.to]
	e := entry{id: placeOf(own, int(sequel.from), tag(1, bytes)), number: l.entries[len(l.entries)-1].number + 1}
	if e.id.from == e.id.to || !isText(b[e.id.from:e.id.to]) {
		return -1
	}
	end := e.id.to
	if e.body = placeOf(own, int(end), tag(10, bytes)); e.body.to > 0 {
		end = e.body.to
	}
	if end != sequel.to {
		return -1
	}
	e.size = sequel.to - sequel.from + int32(len(l.alike.via)+len(l.alike.heading)+len(l.alike.origin)+sizeNumber(e.number)) // a frame is smaller than 2 GiB
	l.entries = append(l.entries, e)
	l.size += int(e.size)
	return int(end)
}

// skipAlike gives what follows some bytes, if they are there.
func skipAlike(b []byte, at int, alike []byte) (next int, ok bool) {
	if len(b)-at < len(alike) || string(b[at:at+len(alike)]) != string(alike) {
		return at, false
	}
	return at + len(alike), true
}

// placeOf gives where the value of a field is, if the field comes next; else nowhere.
func placeOf(b []byte, at int, t byte) place {
	if at >= len(b)-1 || b[at] != t {
		return place{}
	}
	if size := int(b[at+1]); size < 0x80 && size <= len(b)-at-2 { // as it mostly is
		return place{int32(at + 2), int32(at + 2 + size)} // a frame is smaller than 2 GiB
	}
	size, n := protowire.ConsumeVarint(b[at+1:])
	if n < 0 || size > uint64(len(b)-at-1-n) {
		return place{}
	}
	from := at + 1 + n
	return place{int32(from), int32(from + int(size))} // a frame is smaller than 2 GiB
}

// numberAt gives a number, if it comes next, and what follows.
func numberAt(b []byte, at int, t byte) (v uint64, next int) {
	if at >= len(b) || b[at] != t {
		return 0, at
	}
	v, n := uvarint(b[at+1:])
	if n < 0 {
		return 0, at
	}
	return v, at + 1 + n
}
