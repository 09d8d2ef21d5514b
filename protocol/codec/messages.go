package codec

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// messages are frames of a session, which are nothing but messages.
type messages []*pb.Message

func (m messages) size() (n int) {
	for _, one := range m {
		n += sizeWith(Size(one))
	}
	return n
}

func (m messages) write(w *writer) error {
	for i := len(m) - 1; i >= 0; i-- {
		end := w.at
		if err := w.message(m[i]); err != nil {
			return err
		}
		w.close(1, end)
	}
	return nil
}

// readMessages reads such a frame, whose field of messages is into.
func readMessages(f frame, into *[]*pb.Message, whole proto.Message) error {
	r := reader{b: f.data}
	for r.next() {
		if r.tag != tag(1, bytes) {
			r.skip()
			continue
		}
		*into = append(*into, f.field(&r, nil))
	}
	return r.end(f.data, whole)
}
