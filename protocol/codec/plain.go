package codec

import (
	"slices"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// A plain post is a number, and a message of nothing but id, type, from, to and body,
// encoded as every encoder does it. Most posts are plain, and most plain ones differ from
// the one before in id, body and number alone: such make a run, which a bus takes at once
// and without a pb.Message for each. Everything else is in Request.Posts.

// Bounds of a run.
const (
	runPosts     = 64        // a full frame
	runBytes     = 16 << 10  // of its messages, but for the last
	longestPlain = 250 << 10 // a longer message is a post of its own
	// leftOutBytes is how many bytes the sequels of a frame leave out, of the headings of their
	// messages: ten times what a client's do. A few bytes could stand for a long one each.
	leftOutBytes = 1 << 20
)

// Run is plain posts that follow each other in a frame, with the same type, from and to,
// and with numbers that rise by one. Its texts are in the memory of the frame: they are
// valid until Request.Clear.
type Run struct {
	Type, From, To string
	First          uint64   // number: of the post, or of the message that came in a flow
	Before         int      // of Request.Posts, those that are before it in the frame
	In             *Inbound // of messages that came in a flow; nil of plain posts

	block    []byte // type, from and to, encoded
	heading  int    // bytes of a message besides id and body, about, as they are encoded
	from, to int    // of Request.plain
	piece    int    // of Request.pieces, which they are in
	size     int    // of the messages
}

// Plain is one post of a run. Its bytes are in the memory of the frame: they are valid
// until Request.Clear.
type Plain struct {
	ID, Body []byte
	// Encoded is the message, or what is in the frame of a sequel.
	Encoded []byte
	own     int // of a sequel: bytes of id and body, as they are encoded; else 0
}

func (p *Plain) sequel() bool { return p.own > 0 }

// Len is how many posts a run has.
func (run *Run) Len() int { return run.to - run.from }

// Size is the size of its messages together, in bytes.
func (run *Run) Size() int { return run.size }

// Plain gives the posts of a run.
func (r *Request) Plain(run *Run) []Plain { return r.plain[run.from:run.to] }

// Open gives a plain post the form that it would have in Posts, and with it the bytes of
// its message. The post is valid until the next call; its message stays.
func (r *Request) Open(run *Run, i int) (*pb.Post, []byte) {
	m, b := r.ownOf(run, i)
	_ = readMessage(b, m, &r.known) // it has been read before
	r.opened.Message = m
	if run.In != nil {
		r.opened.Number, r.opened.Ingress = 0, run.In.Ingress
	} else {
		r.opened.Number, r.opened.Ingress = run.First+uint64(i), nil // not negative
	}
	return &r.opened, b
}

// ownOf is own of the message of a post.
func (r *Request) ownOf(run *Run, i int) (*pb.Message, []byte) {
	p := &r.plain[run.from+i]
	if !p.sequel() {
		return r.own(&r.pieces[run.piece], p.Encoded)
	}
	size := run.sizeOf(p, i)
	return r.arena.message(size), run.appendMessage(r.arena.space(size, r.Room), p, i)
}

// AppendMessage appends the message of a plain post.
func (run *Run) AppendMessage(b []byte, p *Plain) []byte { return run.appendMessage(b, p, 0) }

// appendMessage appends the message of the i-th post.
func (run *Run) appendMessage(b []byte, p *Plain, i int) []byte {
	switch {
	case !p.sequel():
		return append(b, p.Encoded...)
	case run.In == nil:
		return (&Heading{Front: run.block}).AppendMessage(b, p.Encoded, 0)
	}
	h := run.rowHeading()
	return h.AppendMessage(append(b, run.In.via...), p.Encoded, run.First+uint64(i)) // not negative
}

// rowHeading is the heading of a row in a flow.
func (run *Run) rowHeading() Heading {
	in := run.In
	return Heading{Front: run.block, Back: in.origin, Flow: RowFlow{in.name, run.First, FlowPlace{
		Sequence: in.Flow.Sequence, Base: in.Flow.Base, After: in.Flow.After,
	}}}
}

// AppendHeading appends what its messages have in common: of posts with whose they are, of
// messages of a flow without that. b has room for HeadingSize bytes, which the heading uses.
func (run *Run) AppendHeading(b, origin []byte) ([]byte, Heading) {
	from := len(b)
	b = append(b, run.block...)
	if run.In != nil {
		b = append(b, run.In.via...)
	}
	front := len(b)
	if run.In != nil {
		b = append(b, run.In.origin...)
	} else {
		b = AppendOrigin(b, origin, 0)
	}
	return b, Heading{Front: b[from:front:front], Back: b[front:len(b):len(b)]}
}

// HeadingSize is how much AppendHeading appends.
func (run *Run) HeadingSize(origin []byte) int {
	if run.In != nil {
		return len(run.block) + len(run.In.via) + len(run.In.origin)
	}
	return len(run.block) + OriginSize(origin, 0)
}

// readPlain takes a post that is plain, with its sequels; false for any other one, or for one
// with sequels that are not as they must be.
func (r *Request) readPlain(data []byte) bool {
	number, encoded, sequels := plainParts(data)
	return r.readFirst(number, encoded) && (len(sequels) == 0 || r.readSequels(number, sequels))
}

// readSequels takes those of the post that was taken last.
func (r *Request) readSequels(number uint64, data []byte) bool {
	run := r.lastRun()
	var p Plain
	after := run.lastPlaces(number)
	for len(data) > 0 {
		rest, ok := p.readSequel(data)
		if number++; !ok || !after.next() {
			return false
		}
		if r.leftOut += run.heading; r.leftOut > leftOutBytes {
			return false
		}
		if run.full() {
			run = r.goOn(run, number)
		}
		run.push(r, &p)
		data = rest
	}
	return true
}

// rising are the number of a message and its place in a flow, if it has one: both are one more
// in each sequel, and never more than they can be.
type rising struct{ number, sequence uint64 }

// next tells whether there may be another message.
func (r *rising) next() bool {
	r.number++
	r.sequence++
	return r.number > 0 && r.sequence > 0
}

// lastPlaces is rising of the last message of a run, which has that number.
func (run *Run) lastPlaces(number uint64) rising {
	last := rising{number: number}
	if run.In != nil {
		last.sequence = run.In.Flow.Sequence + number - run.First
	}
	return last
}

// readSequel takes the first of some, and gives those behind it.
func (p *Plain) readSequel(data []byte) (rest []byte, ok bool) {
	own, rest := field(data, tag(9, bytes))
	id, body := field(own, tag(1, bytes))
	if len(body) > 0 {
		var behind []byte
		if body, behind = field(body, tag(10, bytes)); body == nil || len(behind) > 0 {
			return nil, false
		}
	}
	if id == nil || len(own) > longestPlain || !isText(id) {
		return nil, false
	}
	p.ID, p.Body, p.Encoded, p.own = id, body, data[:len(data)-len(rest)], len(own)
	return rest, true
}

// goOn begins another run behind one that is full.
func (r *Request) goOn(run *Run, number uint64) *Run {
	next := r.newRun()
	next.Type, next.From, next.To, next.block, next.heading, next.First = run.Type, run.From, run.To, run.block, run.heading, number
	if run.In != nil {
		next.In = r.inbound()
		next.In.follow(run.In, uint64(run.Len())) // not negative
		r.inbounds = r.inbounds[:len(r.inbounds)+1]
	}
	r.Runs = append(r.Runs, next)
	return r.lastRun()
}

// readFirst takes a post of a number and a message.
func (r *Request) readFirst(number uint64, encoded []byte) bool {
	if number == 0 || len(encoded) == 0 || len(encoded) > longestPlain {
		return false
	}
	id, rest := field(encoded, tag(1, bytes))
	if id == nil || !isText(id) {
		return false
	}
	if run := r.lastRun(); run != nil && run.goesOn(r, number, rest) {
		return r.add(run, id, rest[len(run.block):], encoded)
	}
	run := r.newRun()
	run.First = number
	return run.begin(rest) && r.add(&run, id, rest[len(run.block):], encoded)
}

// newRun gives a run that is to begin behind those that are there.
func (r *Request) newRun() Run {
	return Run{Before: len(r.Posts), from: len(r.plain), to: len(r.plain), piece: len(r.pieces) - 1}
}

// plainParts are number and message of a post, in this order or the other one, and what is
// behind them: nothing else but sequels, which are at the end.
func plainParts(data []byte) (number uint64, encoded, sequels []byte) {
	if number, data = numberField(data, tag(6, varint)); number > 0 {
		all := data
		encoded, data = field(data, tag(2, bytes))
		encoded = all[len(all)-len(data)-len(encoded):][:len(encoded)] // with the room behind it
	} else {
		encoded, data = field(data, tag(2, bytes))
		number, data = numberField(data, tag(6, varint))
	}
	if len(data) > 0 && data[0] != tag(9, bytes) {
		return 0, nil, nil
	}
	return number, encoded, data
}

// lastRun is the run that goes on, if the next post belongs to it; nil when there is none, as
// at the beginning of a piece: each has runs of its own, which keep it.
func (r *Request) lastRun() *Run {
	n := len(r.Runs)
	if n == 0 || r.Runs[n-1].piece != len(r.pieces)-1 {
		return nil
	}
	return &r.Runs[n-1]
}

// goesOn tells whether the next post is one of the run: rest is what follows its id.
func (run *Run) goesOn(r *Request, number uint64, rest []byte) bool {
	return run.In == nil && number == run.First+uint64(run.Len()) && run.Before == len(r.Posts) && // not negative
		!run.full() &&
		len(rest) >= len(run.block) && string(rest[:len(run.block)]) == string(run.block)
}

func (run *Run) full() bool { return run.Len() >= runPosts || run.size >= runBytes }

// begin reads what the posts of a run have in common; rest is what follows the id.
func (run *Run) begin(rest []byte) bool {
	kind, next := field(rest, tag(2, bytes))
	from, next := field(next, tag(3, bytes))
	to, next := field(next, tag(4, bytes))
	if kind == nil || from == nil || to == nil || !utf8.Valid(kind) || !utf8.Valid(from) || !utf8.Valid(to) {
		return false
	}
	run.Type, run.From, run.To = lentText(kind), lentText(from), lentText(to)
	run.block = rest[:len(rest)-len(next)]
	run.heading = len(run.block)
	return true
}

// add puts a post at the end of a run, which may be a new one; rest is what follows the
// texts. False when that is not a body, or nothing.
func (r *Request) add(run *Run, id, rest, encoded []byte) bool {
	var body []byte
	if len(rest) > 0 {
		if body, rest = field(rest, tag(10, bytes)); body == nil || len(rest) > 0 {
			return false
		}
	}
	if run.Len() == 0 {
		r.Runs = append(r.Runs, *run)
		run = r.lastRun()
	}
	run.push(r, &Plain{ID: id, Body: body, Encoded: encoded})
	return true
}

// push adds a post, whose message has so many bytes.
func (run *Run) push(r *Request, p *Plain) {
	n := len(r.plain)
	r.plain = slices.Grow(r.plain, 1)[:n+1]
	to := &r.plain[n]
	to.ID, to.Body, to.Encoded, to.own = p.ID, p.Body, p.Encoded, p.own // in place of a copy of memory that was just written
	run.size += run.MessageSize(p)
	run.to++
}

// Sizes appends that of each message.
func (r *Request) Sizes(sizes []int, run *Run) []int {
	posts := r.Plain(run)
	for i := range posts {
		sizes = append(sizes, run.sizeOf(&posts[i], i))
	}
	return sizes
}

// sizeOf is that of the message of the i-th post, in bytes.
func (run *Run) sizeOf(p *Plain, i int) int {
	if run.In == nil || !p.sequel() {
		return run.MessageSize(p)
	}
	h := run.rowHeading()
	return len(run.In.via) + h.sizeOf(p.own, run.First+uint64(i)) // not negative
}

// MessageSize is that of the message of a plain post, in bytes; of one in a flow it is about that.
func (run *Run) MessageSize(p *Plain) int {
	if p.sequel() {
		return p.own + run.heading
	}
	return len(p.Encoded)
}

// keptPlain is how many places for plain posts a Request keeps: those of a full frame of a stub's
// rows, which append has made a few more of. A client's has a few hundred.
const keptPlain = 8 * FrameMessages

// clearPlain gives the frame back that the plain posts are in.
func (r *Request) clearPlain() {
	r.clearInbounds()
	clear(r.plain)
	clear(r.Runs)
	r.Runs, r.plain = r.Runs[:0], r.plain[:0]
	if cap(r.plain) > keptPlain {
		r.Runs, r.plain = nil, nil
	}
	for i := range r.pieces {
		r.pieces[i].free()
	}
	r.pieces = r.pieces[:0]
	if cap(r.pieces) > keptPieces {
		r.pieces = nil
	}
}

// keptPieces is for how many pieces a stream keeps the place: most frames have a few.
const keptPieces = 64

// field reads a field of bytes, as every encoder has it, which is not empty, and gives
// what follows. For anything else nil, and all of b.
func field(b []byte, t byte) (value, rest []byte) {
	if len(b) < 3 || b[0] != t {
		return nil, b
	}
	n, at := int(b[1]), 2
	if n >= 0x80 {
		if n, at = n&0x7f|int(b[2]&0x7f)<<7, 3; b[2] >= 0x80 && len(b) > 3 {
			n, at = n|int(b[3])<<14, 4
		}
		if b[at-1] == 0 || b[at-1] >= 0x80 {
			return nil, b
		}
	}
	if n == 0 || n > len(b)-at {
		return nil, b
	}
	return b[at : at+n : at+n], b[at+n:]
}

// numberField is field of a number; for anything else 0, and all of b.
func numberField(b []byte, t byte) (v uint64, rest []byte) {
	if len(b) < 2 || b[0] != t {
		return 0, b
	}
	v, n := protowire.ConsumeVarint(b[1:])
	if v == 0 || n != protowire.SizeVarint(v) {
		return 0, b
	}
	return v, b[1+n:]
}

func lentText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
