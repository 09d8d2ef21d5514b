package codec

import (
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func sizeRange(r *pb.Range) int { return sizeNumber(r.GetFirst()) + sizeNumber(r.GetLast()) }

func (w *writer) settled(r *pb.Range) {
	w.number(2, r.GetLast())
	w.number(1, r.GetFirst())
}

func readRange(data []byte, m *pb.Range) error {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, varint):
			m.First = r.v
		case tag(2, varint):
			m.Last = r.v
		default:
			r.skip()
		}
	}
	return r.end(data, m)
}

func sizeDuration(d *durationpb.Duration) int {
	return sizeNumber(uint64(d.Seconds)) + sizeNumber(uint64(d.Nanos)) // as protobuf has it
}

func (w *writer) duration(d *durationpb.Duration) {
	w.number(2, uint64(d.Nanos))   // as protobuf has it
	w.number(1, uint64(d.Seconds)) // as protobuf has it
}

func readDuration(data []byte, d *durationpb.Duration) error {
	r := reader{b: data}
	for r.next() {
		switch r.tag {
		case tag(1, varint):
			d.Seconds = int64(r.v) // as protobuf has it
		case tag(2, varint):
			d.Nanos = int32(r.v) // as protobuf has it
		default:
			r.skip()
		}
	}
	return r.end(data, d)
}
