package codec

import (
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

	posts  []*pb.Post // empty ones, but for Posts
	arena  arena
	known  known
	pieces []gathered // of the frame; those in which Runs are

	plain    []Plain    // of Runs
	inbounds []*Inbound // likewise
	opened   pb.Post
	leftOut  int // bytes, by sequels
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

// NumberSize is OriginSize of a number without an origin.
func NumberSize(number uint64) int { return sizeNumber(number) }

func appendVarint(b []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// keptPosts is how many empty posts a Request keeps: a full frame, as they are made.
const keptPosts = 10 * arenaMessages

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
		posts: posts, arena: r.arena, known: r.known, pieces: r.pieces, plain: r.plain, inbounds: r.inbounds,
	}
}

// message reads the message of the last post, and keeps its bytes.
func (r *Request) message(data []byte) (*pb.Message, error) {
	m, b := r.own(r.piece(), data)
	r.Encoded[len(r.Posts)-1] = b
	return m, readMessage(b, m, &r.known)
}

// piece is the one that is read.
func (r *Request) piece() *gathered { return &r.pieces[len(r.pieces)-1] }

// own gives an empty message, and its bytes, with room behind: a piece has them.
func (r *Request) own(in *gathered, data []byte) (*pb.Message, []byte) {
	b := in.take(data, r.Room)
	if b == nil {
		b = r.arena.clone(data, r.Room)
	}
	return r.arena.message(len(data)), b
}

// unmarshal reads a frame that gRPC has.
func (r *Request) unmarshal(data mem.BufferSlice) error {
	r.Clear()
	ends := pieces(data)
	if len(ends) < 2 {
		return r.readPiece(gather(data, r.Room))
	}
	from := data.Reader()
	defer from.Close()
	for at := 0; len(ends) > 0; at, ends = ends[0], ends[1:] {
		if err := r.readPiece(gatherPiece(from, ends[0]-at, r.Room)); err != nil {
			return err
		}
	}
	return nil
}

// readPiece reads the next piece of a frame, or the only one.
func (r *Request) readPiece(piece gathered) error {
	before := len(r.Runs)
	r.pieces = append(r.pieces, piece)
	err := readAttached(piece.data, r)
	if len(r.Runs) == before {
		r.piece().free()
	}
	return err
}

func readAttached(data []byte, m *Request) error {
	r := reader{b: data}
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
	err := r.end(data, &m.AttachRequest)
	if r.odd { // all was read anew, and what was read before is in the posts that are kept
		m.Encoded, m.posts = make([][]byte, len(m.Posts)), nil
		m.Runs, m.plain, m.inbounds = nil, nil, nil
		for _, p := range m.Posts {
			if err == nil && len(p.GetSequels()) > 0 {
				err = errSequels
			}
		}
	}
	return err
}

func (r *Request) readPost(data []byte, ingress **pb.Ingress) error {
	p := r.next()
	odd, err := readPost(r, data, p, ingress)
	if err == nil && len(p.Sequels) > 0 {
		err = errSequels
	}
	if odd {
		r.Encoded[len(r.Posts)-1] = nil
	}
	return err
}
