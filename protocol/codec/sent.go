package codec

import (
	"sync/atomic"

	"google.golang.org/grpc/mem"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Response is an AttachResponse as a bus writes it: a message whose bytes are known is not
// encoded again.
type Response struct {
	pb.AttachResponse
	// Encoded has the bytes of each of Deliveries' messages; empty Parts for one that is
	// still to be encoded.
	Encoded []Parts
	// Leaves counts the bytes of memory that gRPC holds for frames that it has not sent
	// yet.
	Leaves *atomic.Int64

	writer writer
}

// Parts are the bytes of a delivery's message: Head, which many may share, and Tail, which
// follows it. Or Front and Deliveries, one after the other, are whole deliveries, encoded,
// which take the place of this one; the bytes of Deliveries belong to Owner, if that is not
// nil.
type Parts struct {
	Head, Tail, Front, Deliveries []byte
	Owner                         Owner
}

// delivers tells whether it is deliveries that are encoded.
func (p *Parts) delivers() bool { return len(p.Front)+len(p.Deliveries) > 0 }

// Owner is told when its bytes have been sent, and may be used again.
type Owner interface{ Sent() }

// stays tells whether deliveries are not copied: to note a few bytes costs more than that.
func (p *Parts) stays() bool { return p.Owner != nil && len(p.Deliveries) >= longFromFrame }

func (r *Response) size() int { return response{&r.AttachResponse, r.Encoded}.size() }

func (r *Response) write(w *writer) error { return response{&r.AttachResponse, r.Encoded}.write(w) }

// marshal encodes it. What is long is not copied: gRPC reads it where it is.
func (r *Response) marshal() (mem.BufferSlice, error) {
	long, n := r.long()
	b := Buffers.Get(r.size() - long)
	r.writer = writer{b: *b, at: len(*b), shares: true, beside: make([]leaving, 0, n+1)} // one for b
	if err := r.writer.encode(r); err != nil {
		Buffers.Put(b)
		return nil, err
	}
	return r.parts(b), nil
}

// long is the bytes of what is long, and in how many places they are.
func (r *Response) long() (size, n int) {
	for i := range r.Encoded {
		p := &r.Encoded[i]
		if len(p.Head) >= longFrom {
			size += len(p.Head)
			n++
		}
		if p.stays() {
			size += len(p.Deliveries)
			n++
		}
	}
	return size, n
}

// parts puts a frame together of what was written into b, and what stays where it is.
func (r *Response) parts(b *[]byte) mem.BufferSlice {
	beside := append(r.writer.beside, leaving{pool: Buffers})
	r.writer = writer{}
	last := len(beside) - 1
	array := beside[last].leave(b, r.Leaves)
	if last == 0 {
		return mem.BufferSlice{array}
	}
	parts := make(mem.BufferSlice, 0, 2*last+1)
	from := 0
	for i := last - 1; i >= 0; i-- {
		s := &beside[i]
		if from < s.at {
			parts = append(parts, array.Slice(from, s.at))
		}
		parts = append(parts, s.leave(&s.data, r.Leaves))
		from = s.at
	}
	if from < len(*b) {
		parts = append(parts, array.Slice(from, len(*b)))
	}
	array.Free()
	return parts
}

// leaving is some memory of a frame until gRPC has sent it: a mem.BufferPool for one.
type leaving struct {
	at    int // in front of which byte of what was written
	data  []byte
	owner Owner          // nil for none
	pool  mem.BufferPool // without an owner
	bytes *atomic.Int64
}

// leave counts memory until gRPC has sent what is in it.
func (l *leaving) leave(b *[]byte, bytes *atomic.Int64) mem.Buffer {
	l.bytes = bytes
	bytes.Add(int64(cap(*b)))
	return mem.NewBuffer(b, l)
}

// Get is of mem.BufferPool; nobody calls it.
func (l *leaving) Get(size int) *[]byte { return Buffers.Get(size) }

// Put is of mem.BufferPool.
func (l *leaving) Put(b *[]byte) {
	l.bytes.Add(-int64(cap(*b)))
	if l.owner != nil {
		l.owner.Sent()
		return
	}
	l.pool.Put(b)
}
