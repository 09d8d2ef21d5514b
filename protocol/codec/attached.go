package codec

import (
	"math"
	"slices"
	"sync/atomic"

	"google.golang.org/grpc/mem"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Request is an AttachRequest as a bus takes it: beside each post there are the bytes of
// its message, which go on as they came when nothing of it is changed. What is read
// into it again overwrites its posts; their messages stay. Plain posts are in Runs.
type Request struct {
	pb.AttachRequest
	// Runs are the plain posts.
	Runs []Run
	// Encoded are the messages of Posts, each with Room bytes of capacity behind it.
	Encoded [][]byte
	// Room is for what is appended to a message.
	Room int

	posts []*pb.Post // empty ones, but for Posts
	arena arena
	known known
	kept  int // a message of so many bytes is most of a frame that may be kept

	plain    []Plain    // of Runs
	inbounds []*Inbound // likewise
	lent     mem.Buffer // the frame that they are in; nil when there are none
	opened   pb.Post
}

// Response is an AttachResponse as a bus makes it: a message whose bytes are known is not
// encoded again.
type Response struct {
	pb.AttachResponse
	// Encoded are the messages of Deliveries; empty for one that is to be encoded.
	Encoded []Parts
	// Leaves counts the bytes of memory that gRPC has for frames until it has sent them.
	Leaves *atomic.Int64
}

// Parts are the bytes of a message: those that many have, and what follows them, if
// anything does. Or Deliveries that are encoded already, in place of one.
type Parts struct{ Head, Tail, Deliveries []byte }

// marshal encodes it. Long messages are not copied: gRPC reads them where they are.
func (r *Response) marshal() (mem.BufferSlice, error) {
	f := response{&r.AttachResponse, r.Encoded}
	b := Buffers.Get(f.size() - r.long())
	w := writer{b: *b, at: len(*b), shares: true}
	if err := w.encode(f); err != nil {
		Buffers.Put(b)
		return nil, err
	}
	return r.parts(&w, r.leave(b, Buffers)), nil
}

// long is the bytes of long messages.
func (r *Response) long() (n int) {
	for _, p := range r.Encoded {
		if len(p.Head) >= longFrom {
			n += len(p.Head)
		}
	}
	return n
}

// parts puts a frame together of what was written, and what stays where it is.
func (r *Response) parts(w *writer, array mem.Buffer) mem.BufferSlice {
	if len(w.beside) == 0 {
		return mem.BufferSlice{array}
	}
	parts := make(mem.BufferSlice, 0, 2*len(w.beside)+1)
	from := 0
	for _, s := range slices.Backward(w.beside) {
		parts = append(parts, array.Slice(from, s.at), r.leave(&s.data, mem.NopBufferPool{}))
		from = s.at
	}
	if from < len(w.b) {
		parts = append(parts, array.Slice(from, len(w.b)))
	}
	array.Free()
	return parts
}

// leave counts memory until gRPC has sent what is in it.
func (r *Response) leave(b *[]byte, pool mem.BufferPool) mem.Buffer {
	r.Leaves.Add(int64(cap(*b)))
	return mem.NewBuffer(b, leaving{pool, r.Leaves})
}

// leaving is the memory of a frame until gRPC has sent it: a mem.BufferPool for one.
type leaving struct {
	pool  mem.BufferPool
	bytes *atomic.Int64
}

// Get is of mem.BufferPool; nobody calls it.
func (l leaving) Get(size int) *[]byte { return l.pool.Get(size) }

// Put is of mem.BufferPool.
func (l leaving) Put(b *[]byte) {
	l.bytes.Add(-int64(cap(*b)))
	l.pool.Put(b)
}

// Listened is a Response for a Listen call, which has deliveries alone.
type Listened struct{ *Response }

// AppendOrigin appends to an encoded message, which has neither, whose post it is and
// which one of them (Message.origin and Message.number).
func AppendOrigin(encoded, origin []byte, number uint64) []byte {
	if len(origin) > 0 {
		encoded = append(encoded, tag(12, bytes))
		encoded = appendVarint(encoded, uint64(len(origin)))
		encoded = append(encoded, origin...)
	}
	if number > 0 {
		encoded = append(encoded, tag(13, varint))
		encoded = appendVarint(encoded, number)
	}
	return encoded
}

// OriginSize is how much AppendOrigin appends.
func OriginSize(origin []byte, number uint64) int { return sizeLong(len(origin)) + sizeNumber(number) }

func appendVarint(b []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// keptPosts is how many empty posts a Request keeps: a full frame.
const keptPosts = 64

// next gives an empty post.
func (r *Request) next() *pb.Post {
	n := len(r.Posts)
	if n == len(r.posts) {
		for spare := make([]pb.Post, arenaMessages); len(spare) > 0; spare = spare[1:] {
			r.posts = append(r.posts, &spare[0])
		}
	}
	r.Posts, r.Encoded = r.posts[:n+1], append(r.Encoded, nil)
	return r.posts[n]
}

// Clear makes it empty. It keeps memory for posts, no more than a usual frame takes.
func (r *Request) Clear() {
	for _, p := range r.Posts {
		p.Reset()
	}
	clear(r.Encoded)
	posts, encoded := r.posts, r.Encoded[:0]
	if len(posts) > keptPosts {
		posts, encoded = nil, nil
	}
	r.clearPlain()
	*r = Request{
		Runs: r.Runs, Encoded: encoded, Room: r.Room,
		posts: posts, arena: r.arena, known: r.known, plain: r.plain, inbounds: r.inbounds,
	}
}

// message reads the message of the last post, and keeps its bytes: those of the frame, if
// they are most of it and have the room behind them.
func (r *Request) message(data []byte) (*pb.Message, error) {
	m, b := r.arena.message(len(data)), data
	if len(data) < r.kept || cap(data)-len(data) != r.Room {
		b = r.arena.clone(data, r.Room)
	}
	r.Encoded[len(r.Posts)-1] = b
	return m, readMessage(b, m, &r.known)
}

// unmarshal reads a frame that gRPC has.
func (r *Request) unmarshal(data mem.BufferSlice) error {
	r.Clear()
	f, lent := whole(data, r.Room)
	defer func() { r.lend(lent) }()
	return readAttached(f, r)
}

func readAttached(f frame, m *Request) error {
	if m.kept = len(f.data) / 2; f.lent {
		m.kept = math.MaxInt
	}
	r := reader{b: f.data}
	var ingress *pb.Ingress
	for r.next() {
		switch r.tag {
		case tag(3, bytes):
			if !m.readPlain(r.long) && !m.readInbound(r.long, &ingress) {
				r.err = m.readPost(r.long, &ingress)
			}
		case tag(4, bytes):
			c := &pb.Credit{}
			m.Credits = append(m.Credits, c)
			r.err = readCredit(r.long, c)
		default:
			r.skip()
		}
	}
	err := r.end(f.data, &m.AttachRequest)
	if r.odd { // all was read anew, and what was read before is in the posts that are kept
		m.Encoded, m.posts = make([][]byte, len(m.Posts)), nil
		m.Runs, m.plain, m.inbounds = nil, nil, nil
	}
	return err
}

func (r *Request) readPost(data []byte, ingress **pb.Ingress) error {
	p := r.next()
	odd, err := readPost(r, data, p, ingress)
	if odd {
		r.Encoded[len(r.Posts)-1] = nil
	}
	return err
}
