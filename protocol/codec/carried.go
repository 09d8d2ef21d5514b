package codec

import (
	"errors"
	"iter"
	"slices"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Messages of a flow that follow each other are passed on as a row (pb.Row), in the bytes in
// which they came: whoever does so looks at the first one, and where the others are.
//
//	delivery ──▶ first │ sequel │ sequel │ sequel ──▶ packet: first │ sequel
//	                                              ──▶ packet: first │ sequel

// row is what a Carried is besides its first message.
type row struct {
	heading Heading
	number  uint64 // of the first message
	sequels []byte
	count   int // of them
	size    int // of all messages, whole, in bytes
	longest int // of these
}

var errRow = errors.New("malformed row")

// readRow takes the bytes of a message and of its sequels, which it has from then on. Whatever
// it takes a bus takes as well, behind a via.
func readRow(encoded, sequels []byte) (c Carried, err error) {
	run := Run{In: &Inbound{}}
	if _, ok := run.readFirst(encoded); !ok || run.In.Via != "" || len(encoded) > longestPlain/2 || !run.In.rises() {
		return c, errRow
	}
	after := run.lastPlaces(run.First)
	r := &row{heading: run.rowHeading(), number: run.First, sequels: slices.Clip(sequels), size: len(encoded), longest: len(encoded)}
	var p Plain
	for rest, ok := sequels, true; len(rest) > 0; {
		if rest, ok = p.readSequel(rest); !ok || !after.next() {
			return c, errRow
		}
		r.count++
		one := r.heading.sizeOf(p.own, r.number+uint64(r.count)) // not negative
		r.size += one
		r.longest = max(r.longest, one)
	}
	m := &pb.Message{}
	if err := readMessage(encoded, m, nil); err != nil {
		return c, err
	}
	return Carried{Encoded: encoded, head: m, row: r}, nil
}

// Len is how many messages it is: more than one if it is a row.
func (c Carried) Len() int {
	if c.row == nil {
		return 1
	}
	return 1 + c.row.count
}

// LeftOut bounds how many bytes the sequels leave out, as a bus counts them: there the
// messages have a via.
func (c Carried) LeftOut(via string) int {
	if c.row == nil {
		return 0
	}
	behind := c.Encoded[idEnd(c.Encoded)+len(c.row.heading.Front):]
	body, _ := field(behind, tag(10, bytes))
	return c.row.count * (len(c.Encoded) - len(body) + sizeText(via))
}

// Longest bounds the size of each of the messages, in bytes.
func (c Carried) Longest() int {
	if c.row == nil {
		return c.Size()
	}
	return c.row.longest
}

// Each gives the messages one by one, each as a Carried of its own.
func (c Carried) Each() iter.Seq[Carried] {
	return func(yield func(Carried) bool) {
		if c.row == nil {
			yield(c)
			return
		}
		first := Carried{Encoded: c.Encoded}
		first.head = c.first()
		like := patternOf(first.head, c.Encoded)
		if !yield(first) {
			return
		}
		number := c.row.number
		for rest := c.row.sequels; len(rest) > 0; {
			var p Plain
			rest, _ = p.readSequel(rest) // it has been read before
			number++
			encoded := c.row.heading.AppendMessage(make([]byte, 0, c.row.heading.sizeOf(p.own, number)), p.Encoded, number)
			if !yield(Carried{Encoded: encoded, head: first.head, like: like}) {
				return
			}
		}
	}
}

// first is the first message of a row.
func (c Carried) first() *pb.Message {
	if c.row.number == c.head.Number {
		return c.head
	}
	m := &pb.Message{}
	_ = readMessage(c.Encoded, m, nil) // it has been made of what was read
	return m
}

// Wire is how many bytes AppendRow appends.
func (c Carried) Wire() int {
	n := c.SizeOfFirst()
	if c.row != nil {
		n += len(c.row.sequels)
	}
	return n
}

// SizeOfFirst is how many of the bytes of AppendRow are those of the first message.
func (c Carried) SizeOfFirst() int {
	if c.Encoded != nil {
		return sizeWith(len(c.Encoded))
	}
	return sizeWith(Size(c.head))
}

// AppendRow appends the fields of a pb.Row with the message, or with all messages of the
// row.
func (c Carried) AppendRow(b []byte) ([]byte, error) {
	size := len(c.Encoded)
	if c.Encoded == nil {
		size = Size(c.head)
	}
	b = appendLength(b, 2, size)
	if c.Encoded == nil {
		return AppendSized(b, c.head, size)
	}
	b = append(b, c.Encoded...)
	if c.row != nil {
		b = append(b, c.row.sequels...)
	}
	return b, nil
}

// Cut divides a row: head is as many of the first messages as have at most wire bytes in a
// row, and whole bytes when each of them is whole; tail is the rest. Either may have no
// message.
func (c Carried) Cut(wire, whole int) (head, tail Carried) {
	if wire -= c.SizeOfFirst(); wire < 0 || c.row == nil && c.Size() > whole || len(c.Encoded) > whole {
		return head, c
	}
	r := c.row
	if r == nil {
		return c, tail
	}
	size, count, at := len(c.Encoded), 0, 0
	for at < len(r.sequels) {
		var p Plain
		p.readSequel(r.sequels[at:])                             // it has been read before
		own := r.heading.sizeOf(p.own, r.number+uint64(count)+1) // not negative
		if at+len(p.Encoded) > wire || size+own > whole {
			break
		}
		at += len(p.Encoded)
		size += own
		count++
	}
	if count == r.count {
		return c, tail
	}
	var p Plain
	next := r.number + uint64(count) + 1 // not negative
	behind, _ := p.readSequel(r.sequels[at:])
	encoded := r.heading.AppendMessage(nil, p.Encoded, next)
	head = c.part(c.Encoded, row{heading: r.heading, number: r.number, sequels: r.sequels[:at:at], count: count, size: size, longest: r.longest})
	tail = c.part(encoded, row{heading: r.heading, number: next, sequels: behind, count: r.count - count - 1, size: r.size - size, longest: r.longest})
	return head, tail
}

// part is some of a row: these bytes, and what follows.
func (c Carried) part(encoded []byte, r row) Carried {
	one := Carried{Encoded: encoded, head: c.head, row: &r}
	if r.count == 0 {
		one.head, one.row = one.first(), nil
	}
	return one
}

// Join gives both as one row, if next continues c. Then c itself is not to be used any
// more.
func (c Carried) Join(next Carried) (Carried, bool) {
	if c.row == nil || next.row == nil || !c.row.goesOn(next.row) {
		return c, false
	}
	id, rest := field(next.Encoded, tag(1, bytes))
	body, _ := field(rest[len(c.row.heading.Front):], tag(10, bytes))
	joined := *c.row
	joined.sequels = append(appendSequel(joined.sequels, id, body), next.row.sequels...)
	joined.count += 1 + next.row.count
	joined.size += next.row.size
	joined.longest = max(joined.longest, next.row.longest)
	c.row = &joined
	return c, true
}

// goesOn tells whether another row begins where it ends, and has the same heading.
func (r *row) goesOn(next *row) bool {
	h, other := &r.heading, &next.heading
	number := r.number + uint64(r.count) + 1 // not negative
	at, begin := h.Flow.at(number), other.Flow.at(next.number)
	return next.number == number && begin.Sequence == at.Sequence && begin.Base == at.Base && begin.After == 0 &&
		string(h.Front) == string(other.Front) && string(h.Back) == string(other.Back) && string(h.Flow.Name) == string(other.Flow.Name)
}

// readRows reads a packet that is nothing but rows; none of any other. Of so many bytes are
// the messages at most, when they are whole.
func readRows(data []byte, most int) (Messages, error) {
	data = slices.Clone(data)
	r := reader{b: data}
	var all Messages
	for r.next() {
		if r.tag != tag(6, bytes) {
			return nil, errRow
		}
		c, err := readRowField(r.long)
		if err != nil {
			return nil, err
		}
		if most -= c.Size(); most < 0 {
			return nil, errRow
		}
		all = append(all, c)
	}
	if !r.done() {
		return nil, errRow
	}
	return all, nil
}

func readRowField(data []byte) (c Carried, err error) {
	encoded, sequels := field(data, tag(2, bytes))
	switch {
	case encoded == nil:
		return c, errRow
	case len(sequels) > 0:
		return readRow(encoded, sequels)
	}
	m := &pb.Message{}
	if err := readMessage(encoded, m, nil); err != nil {
		return c, err
	}
	if c = (Carried{Encoded: encoded, head: m}); !takesVia(encoded) {
		c.Encoded = nil
	}
	return c, nil
}
