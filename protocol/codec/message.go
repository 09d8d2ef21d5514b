package codec

import (
	"slices"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Size is proto.Size of a message.
func Size(m *pb.Message) int {
	if m == nil {
		return 0
	}
	n := sizeText(m.Id) + sizeText(m.Type) + sizeText(m.From) + sizeText(m.To) + sizeText(m.Via) + sizeText(m.Source) +
		sizeFlag(m.P2P) + sizeText(m.P2PHandler) + sizeText(m.P2PRequester) + sizeLong(len(m.Body)) +
		sizeLong(len(m.Origin)) + sizeNumber(m.Number)
	if m.Resource != nil {
		n += sizeWith(sizeResource(m.Resource))
	}
	if m.Flow != nil {
		n += sizeWith(sizeFlow(m.Flow))
	}
	if m.Trace != nil {
		n += sizeWith(proto.Size(m.Trace))
	}
	return n + len(unknownInMessage.of(m))
}

// Append is proto.MarshalOptions.MarshalAppend of a message: it appends its bytes to b.
func Append(b []byte, m *pb.Message) ([]byte, error) { return AppendSized(b, m, Size(m)) }

// AppendSized is Append of a message whose Size is known.
func AppendSized(b []byte, m *pb.Message, size int) ([]byte, error) {
	b = slices.Grow(b, size)
	out := b[:len(b)+size]
	if err := encode(alone{m}, out[len(b):]); err != nil {
		return b, err
	}
	return out, nil
}

// alone is a message that is no part of a frame.
type alone struct{ *pb.Message }

func (a alone) size() int { return Size(a.Message) }

func (a alone) write(w *writer) error { return w.message(a.Message) }

func (w *writer) message(m *pb.Message) error {
	if m == nil {
		return nil
	}
	if err := w.allButID(m); err != nil {
		return err
	}
	w.text(1, m.Id)
	return nil
}

func (w *writer) allButID(m *pb.Message) error {
	w.raw(unknownInMessage.of(m))
	if m.Trace != nil {
		end := w.end()
		if err := w.rest(m.Trace); err != nil {
			return err
		}
		w.close(15, end)
	}
	if err := w.flow(14, m.Flow); err != nil {
		return err
	}
	w.number(13, m.Number)
	w.bytes(12, m.Origin)
	w.resource(11, m.Resource)
	w.bytes(10, m.Body)
	w.text(9, m.P2PRequester)
	w.text(8, m.P2PHandler)
	w.flag(7, m.P2P)
	w.text(6, m.Source)
	w.text(5, m.Via)
	w.text(4, m.To)
	w.text(3, m.From)
	w.text(2, m.Type)
	return nil
}

func sizeResource(r *pb.Resource) int {
	return sizeLong(len(r.Content)) + sizeText(r.MimeType) + len(unknownInResource.of(r))
}

func (w *writer) resource(field byte, r *pb.Resource) {
	if r == nil {
		return
	}
	end := w.end()
	w.raw(unknownInResource.of(r))
	w.text(2, r.MimeType)
	w.bytes(1, r.Content)
	w.close(field, end)
}

// restOfFlow are the acks, of which most messages have none.
func restOfFlow(f *pb.Flow) proto.Message {
	if len(f.Acks) == 0 {
		return nil
	}
	return &pb.Flow{Acks: f.Acks}
}

func sizeFlow(f *pb.Flow) int {
	return sizeText(f.Runtime) + sizeNumber(f.Epoch) + sizeNumber(f.Id) + sizeNumber(f.Sequence) + sizeNumber(f.Base) +
		sizeFlag(f.Refused) + sizeNumber(f.After) + sizeText(f.Replica) + sizeNumber(f.Receiver) +
		sizeRest(restOfFlow(f)) + len(unknownInFlow.of(f))
}

func (w *writer) flow(field byte, f *pb.Flow) error {
	if f == nil {
		return nil
	}
	end := w.end()
	w.raw(unknownInFlow.of(f))
	w.number(10, f.Receiver)
	w.text(9, f.Replica)
	w.number(8, f.After)
	w.flag(7, f.Refused)
	if err := w.rest(restOfFlow(f)); err != nil {
		return err
	}
	w.number(5, f.Base)
	w.number(4, f.Sequence)
	w.number(3, f.Id)
	w.number(2, f.Epoch)
	w.text(1, f.Runtime)
	w.close(field, end)
	return nil
}
