package codec

import (
	"slices"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Carried is a message with the bytes that it came in, which go on as they are when
// nothing of it is changed. One that is alike to another one before it (alike.go) is not
// decoded until somebody wants it. It may be a row of messages.
type Carried struct {
	Encoded []byte // nil: it is to be encoded

	head *pb.Message
	like *pattern // of the other one, which head is then; nil if head is the message
	row  *row     // it is the first of this; nil of one by itself
}

// Bare is a message that is to be encoded, or none (nil).
func Bare(m *pb.Message) Carried { return Carried{head: m} }

// Whole is a message with its bytes.
func Whole(m *pb.Message, encoded []byte) Carried { return Carried{head: m, Encoded: encoded} }

// Head is the message, or another one with the same in all fields but id, body, number
// and the place in its flow; nil when there is none.
func (c Carried) Head() *pb.Message { return c.head }

// Alike tells whether Head is another message.
func (c Carried) Alike() bool { return c.like != nil }

// Message is the message, which is decoded now if it is alike to another one.
func (c Carried) Message() *pb.Message {
	if c.like == nil {
		return c.head
	}
	m := &pb.Message{}
	_ = readMessage(c.Encoded, m, nil) // it has been looked at
	return m
}

// Size is that of the message in bytes, encoded; of a row that of all, whole.
func (c Carried) Size() int {
	if c.row != nil {
		return c.row.size
	}
	if c.Encoded != nil {
		return len(c.Encoded)
	}
	return Size(c.head)
}

// SizeInFrame is what it takes of a frame, in bytes.
func (c Carried) SizeInFrame() int { return sizeWith(c.Size()) }

// Messages is a frame of a session as a Message Node and its stubs have it: a
// MessageNodeConnectRequest or a MessageNodeConnectResponse, which are nothing but
// messages.
//
// What is read is made together: messages of a frame that have one receiver share a copy
// of their bytes, as they mostly go on together.
type Messages []Carried

// Count is how many messages they are.
func (m Messages) Count() (n int) {
	for _, one := range m {
		n += one.Len()
	}
	return n
}

func (m Messages) size() (n int) {
	for _, one := range m {
		n += one.SizeInFrame()
	}
	return n
}

func (m Messages) write(w *writer) error {
	for i := len(m) - 1; i >= 0; i-- {
		end := w.end()
		if m[i].Encoded != nil {
			w.raw(m[i].Encoded)
		} else if err := w.message(m[i].head); err != nil {
			return err
		}
		w.close(1, end)
	}
	return nil
}

// carry makes a frame of messages that are all to be encoded.
func carry(messages []*pb.Message) Messages {
	m := make(Messages, len(messages))
	for i, one := range messages {
		m[i].head = one
	}
	return m
}

func readSession(f frame, into *Messages) error {
	var whole pb.MessageNodeConnectRequest
	m, err := readMessages(f, &whole)
	if m == nil {
		m = carry(whole.Messages)
	}
	*into = m
	return err
}

func readConnectRequest(f frame, m *pb.MessageNodeConnectRequest) error {
	m.Reset()
	all, err := readMessages(f, m)
	if all != nil {
		m.Messages = all.list()
	}
	return err
}

func readConnectResponse(f frame, m *pb.MessageNodeConnectResponse) error {
	m.Reset()
	all, err := readMessages(f, m)
	if all != nil {
		m.Messages = all.list()
	}
	return err
}

// readMessages reads a frame that is nothing but messages. What package proto has to
// read goes into whole, and it gives none.
func readMessages(f frame, whole proto.Message) (Messages, error) {
	r := reader{b: f.data}
	var all Messages
	for r.next() {
		if r.tag != tag(1, bytes) {
			r.skip()
			continue
		}
		if all == nil {
			all = make(Messages, 0, min(mostTogether, 1+(len(f.data)-r.at)/(r.at-r.from))) // most are as long as the first
		}
		all = append(all, Carried{Encoded: r.long})
	}
	switch {
	case r.err != nil:
		return nil, r.err
	case r.odd || len(r.rest) > 0:
		return nil, proto.Unmarshal(f.data, whole)
	}
	return all, all.read(f)
}

// together is how many bytes of messages share a copy at most, and mostTogether how many
// messages: a full frame. One that is kept longer than the others keeps no more than that.
const (
	together     = 16 << 10
	mostTogether = 64
)

// read reads the messages of a frame, of which there are the bytes.
func (m Messages) read(f frame) error {
	for len(m) > 0 {
		n, size := m.run()
		if err := m[:n].readRun(f, size); err != nil {
			return err
		}
		m = m[n:]
	}
	return nil
}

// run gives how many of the first ones share a copy, and of how many bytes.
func (m Messages) run() (n, size int) {
	to, head := receiver(m[0].Encoded), headOf(m[0].Encoded)
	for n, size = 1, len(m[0].Encoded); n < len(m); n++ {
		next := m[n].Encoded
		if n == mostTogether || size+len(next) > together || !hasHead(next, head) && string(receiver(next)) != string(to) {
			break
		}
		size += len(next)
	}
	return n, size
}

// readRun reads messages that share a copy of their bytes, unless they may keep those of
// the frame.
//
// The reader of an idle session keeps the stack that it has needed once: what is not
// inlined here, and in known.text, is so for the sake of 4 KiB for each session.
func (m Messages) readRun(f frame, size int) error {
	b, before := f.data, 0
	if f.lent || size < len(b)/2 {
		last := m[len(m)-1].Encoded
		before = f.place(m[0].Encoded)
		b = slices.Clone(b[before : f.place(last)+len(last)]) // one behind the other
	}
	reads := newRunReader()
	for i := range m {
		begin := f.place(m[i].Encoded) - before
		encoded := b[begin : begin+len(m[i].Encoded) : begin+len(m[i].Encoded)]
		if reads.like.fits(encoded) {
			m[i] = Carried{Encoded: encoded, head: reads.like.of, like: reads.like}
			continue
		}
		one, err := reads.message(encoded)
		if err != nil {
			return err
		}
		if m[i] = (Carried{Encoded: encoded, head: one}); !takesVia(encoded) {
			m[i].Encoded = nil
		}
		if i+1 < len(m) {
			reads.like = patternOf(one, encoded)
		}
	}
	return nil
}

// runReader is what readRun needs besides the messages.
type runReader struct {
	makes
	like *pattern // of the last message that was decoded
}

// newRunReader is not on the stack of a session's reader, which is small while it is idle.
//
//go:noinline
func newRunReader() *runReader { return &runReader{} }

// takesVia tells whether a via counts that is put in front of an encoded message: none of
// its fields is there twice, and none is an empty via.
//
//go:noinline
func takesVia(encoded []byte) bool {
	r, last := reader{b: encoded}, byte(0)
	for r.next() {
		if r.tag <= last || r.tag == tag(5, bytes) && len(r.long) == 0 {
			return false
		}
		last = r.tag
	}
	return r.err == nil && !r.odd
}

// makes makes messages that share their bytes.
type makes struct {
	messages several[pb.Message]
	flows    several[pb.Flow]
	last     known
}

func (a *makes) message(encoded []byte) (*pb.Message, error) {
	m := a.messages.next()
	return m, readMessageWith(encoded, m, &a.last, &a.flows)
}

// place is where a part of the frame begins in it. Its capacity goes on to the end.
func (f frame) place(part []byte) int { return cap(f.data) - cap(part) }

// receiver finds the field `to` of an encoded message; nil when it is odd.
func receiver(encoded []byte) []byte {
	for r := (reader{b: encoded}); r.next(); {
		if r.tag == tag(4, bytes) {
			return r.long
		}
	}
	return nil
}

// several makes what is in the messages of a frame: one, and more of them at a time as they
// are wanted. nil makes each by itself.
type several[M any] struct {
	made []M
	size int
}

func (s *several[M]) next() *M {
	if s == nil {
		return new(M)
	}
	if len(s.made) == 0 {
		s.size = min(max(2*s.size, 1), 64)
		s.made = make([]M, s.size)
	}
	one := &s.made[0]
	s.made = s.made[1:]
	return one
}

// list gives the messages without their bytes.
func (m Messages) list() []*pb.Message {
	list := make([]*pb.Message, len(m))
	for i, one := range m {
		list[i] = one.Message()
	}
	return list
}
