package codec

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// restOfRequest is what an AttachRequest has besides posts and credits.
func restOfRequest(r *pb.AttachRequest) proto.Message {
	if r.Hello == nil && len(r.Listeners)+len(r.Changes)+len(r.Awaited) == 0 {
		return nil
	}
	return &pb.AttachRequest{Hello: r.Hello, Listeners: r.Listeners, Changes: r.Changes, Awaited: r.Awaited}
}

type request struct{ *pb.AttachRequest }

func (r request) size() int {
	n := sizeRest(restOfRequest(r.AttachRequest))
	for _, p := range r.Posts {
		n += sizeWith(sizePost(p))
	}
	for _, c := range r.Credits {
		n += sizeWith(sizeCredit(c))
	}
	return n
}

func (r request) write(w *writer) error {
	for i := len(r.Credits) - 1; i >= 0; i-- {
		end := w.end()
		if err := w.credit(r.Credits[i]); err != nil {
			return err
		}
		w.close(4, end)
	}
	for i := len(r.Posts) - 1; i >= 0; i-- {
		end := w.end()
		if err := w.post(r.Posts[i]); err != nil {
			return err
		}
		w.close(3, end)
	}
	return w.rest(restOfRequest(r.AttachRequest))
}

// restOfPost is what few posts have.
func restOfPost(p *pb.Post) proto.Message {
	if p.PassedOn == nil && len(p.Sequels) == 0 {
		return nil
	}
	return &pb.Post{PassedOn: p.PassedOn, Sequels: p.Sequels}
}

func sizePost(p *pb.Post) int {
	if p == nil {
		return 0
	}
	n := sizeNumber(p.Sequence) + sizeNumber(uint64(p.Wait)) + sizeNumber(p.Number) + sizeFlag(p.Again) + // as protobuf has it
		sizeRest(restOfPost(p))
	if p.Message != nil {
		n += sizeWith(Size(p.Message))
	}
	if p.Timeout != nil {
		n += sizeWith(sizeDuration(p.Timeout))
	}
	if p.Ingress != nil {
		n += sizeWith(sizeText(p.Ingress.RemoteRuntimeUrl))
	}
	return n
}

func (w *writer) post(p *pb.Post) error {
	if p == nil {
		return nil
	}
	if err := w.rest(restOfPost(p)); err != nil {
		return err
	}
	w.flag(7, p.Again)
	w.number(6, p.Number)
	if p.Ingress != nil {
		end := w.end()
		w.text(1, p.Ingress.RemoteRuntimeUrl)
		w.close(5, end)
	}
	if p.Timeout != nil {
		end := w.end()
		w.duration(p.Timeout)
		w.close(4, end)
	}
	w.number(3, uint64(p.Wait)) // as protobuf has it
	if p.Message != nil {
		end := w.end()
		if err := w.message(p.Message); err != nil {
			return err
		}
		w.close(2, end)
	}
	w.number(1, p.Sequence)
	return nil
}

func readRequest(f frame, m *pb.AttachRequest) error {
	m.Reset()
	r := reader{b: f.data}
	var posts batch[pb.Post]
	var ingress *pb.Ingress
	for r.next() {
		switch r.tag {
		case tag(3, bytes):
			p := posts.next(&f)
			m.Posts = posts.list(m.Posts, p)
			_, r.err = readPost(f, r.long, p, &ingress)
		case tag(4, bytes):
			c := &pb.Credit{}
			m.Credits = append(m.Credits, c)
			r.err = readCredit(r.long, c)
		default:
			r.skip()
		}
	}
	return r.end(f.data, m)
}

// messageReader reads a message of a frame.
type messageReader interface {
	message(data []byte) (*pb.Message, error)
}

// readPost reads a post. Most of a frame came in at the same place. Of an odd one the
// message is another one than f gave.
func readPost(f messageReader, data []byte, p *pb.Post, ingress **pb.Ingress) (odd bool, err error) {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, varint):
			p.Sequence = r.v
		case tag(2, bytes):
			if r.odd = p.Message != nil; !r.odd {
				p.Message, r.err = f.message(r.long)
			}
		case tag(3, varint):
			p.Wait = pb.Wait(int32(r.v)) // as protobuf has it
		case tag(4, bytes):
			p.Timeout = sub(&r, p.Timeout, readDuration)
		case tag(5, bytes):
			p.Ingress = readIngress(&r, p.Ingress, ingress)
		case tag(6, varint):
			p.Number = r.v
		case tag(7, varint):
			p.Again = r.v != 0
		default:
			r.skip()
		}
	}
	return r.odd, r.end(data, p)
}

// readIngress reads where a post came in. One that is as the last is the last.
func readIngress(r *reader, have *pb.Ingress, last **pb.Ingress) *pb.Ingress {
	if have == nil && isIngress(r.long, *last) {
		return *last
	}
	in := sub(r, have, func(data []byte, in *pb.Ingress) error {
		inner := reader{b: data}
		for inner.next() {
			if inner.tag != tag(1, bytes) {
				inner.skip()
				continue
			}
			in.RemoteRuntimeUrl = inner.same((*last).GetRemoteRuntimeUrl())
		}
		return inner.end(data, in)
	})
	*last = in
	return in
}

// isIngress tells whether bytes are what an ingress is encoded as; nil is none.
func isIngress(data []byte, in *pb.Ingress) bool {
	if in == nil || len(unknownInIngress.of(in)) > 0 || len(data) != sizeText(in.RemoteRuntimeUrl) {
		return false
	}
	if len(data) == 0 {
		return true
	}
	size, n := uvarint(data[1:])
	return data[0] == tag(1, bytes) && size == uint64(len(in.RemoteRuntimeUrl)) && string(data[1+n:]) == in.RemoteRuntimeUrl
}

func sizeCredit(c *pb.Credit) int {
	if c == nil {
		return 0
	}
	n := sizeText(c.Listener) + sizeNumber(uint64(c.Bytes)) + sizeNumber(c.Queue)
	if c.Refused != nil {
		n += sizeWith(SizeOfOutcome(c.Refused))
	}
	return n
}

func (w *writer) credit(c *pb.Credit) error {
	if c == nil {
		return nil
	}
	if c.Refused != nil {
		end := w.end()
		if err := w.outcome(c.Refused); err != nil {
			return err
		}
		w.close(4, end)
	}
	w.number(3, c.Queue)
	w.number(2, uint64(c.Bytes))
	w.text(1, c.Listener)
	return nil
}

func readCredit(data []byte, c *pb.Credit) error {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, bytes):
			c.Listener = r.same("")
		case tag(2, varint):
			c.Bytes = uint32(r.v) // as protobuf has it
		case tag(3, varint):
			c.Queue = r.v
		default:
			r.skip()
		}
	}
	return r.end(data, c)
}
