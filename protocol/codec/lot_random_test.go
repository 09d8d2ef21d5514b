package codec

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// anyFrame draws a frame of deliveries that are mostly alike, and some of which no encoder of
// ours makes: with fields in another order, doubled, empty, unknown, or longer than they must be.
func anyFrame(t *rapid.T) (b []byte) {
	long := rapid.SampledFrom([]int{0, 20, 300, 3 << 10}).Draw(t, "body")
	usual := rapid.SampledFrom([][]int{{1, 2, 3, 4, 10, 12, 13}, {5, 1, 2, 3, 4, 10, 12, 13}, {1, 2, 3, 4, 5, 7, 10, 13}, {1, 10}}).Draw(t, "usual")
	odd := rapid.IntRange(2, 40).Draw(t, "odd")
	for n := range rapid.IntRange(1, 40).Draw(t, "messages") {
		fields := usual
		is := rapid.IntRange(0, odd).Draw(t, "is odd") == 0
		if is {
			fields = append([]int(nil), usual...)
			at := rapid.IntRange(0, len(fields)-1).Draw(t, "at")
			switch rapid.IntRange(0, 3).Draw(t, "how") {
			case 0:
				fields[at] = rapid.IntRange(1, 17).Draw(t, "field")
			case 1:
				fields = append(fields[:at], fields[at+1:]...)
			case 2:
				fields = append(fields, rapid.IntRange(1, 17).Draw(t, "field"))
			case 3:
				to := rapid.IntRange(0, len(fields)-1).Draw(t, "to")
				fields[at], fields[to] = fields[to], fields[at]
			}
		}
		var m []byte
		for _, f := range fields {
			m = appendAnyField(t, m, f, n, long, is)
		}
		listener := "listener"
		if is && rapid.Bool().Draw(t, "other listener") {
			listener = rapid.SampledFrom([]string{"", "other", "\xff"}).Draw(t, "listener")
		}
		d := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), listener)
		d = protowire.AppendBytes(protowire.AppendTag(d, 2, protowire.BytesType), m)
		if is && rapid.IntRange(0, 5).Draw(t, "more of the delivery") == 0 {
			d = protowire.AppendBytes(protowire.AppendTag(d, 3, protowire.BytesType), nil)
		}
		b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), d)
	}
	return b
}

func appendAnyField(t *rapid.T, m []byte, f, n, long int, odd bool) []byte {
	value := []byte(fmt.Sprint("value of ", f))
	switch f {
	case 1:
		value = fmt.Append(nil, "id ", n)
	case 10:
		value = make([]byte, long+n%3)
		for i := range value {
			value[i] = byte(n)
		}
	case 11, 14, 15:
		value = nil
	case 7, 13:
		return protowire.AppendVarint(append(m, tag(byte(f), varint)), uint64(n)) // small
	}
	if odd {
		switch rapid.IntRange(0, 6).Draw(t, "value") {
		case 0:
			value = nil
		case 1:
			value = append(value, 'x')
		case 2: // not UTF-8, which some fields may be
			value = append(value, 0xff)
		case 3: // a length that is longer than it must be
			if len(value) < 0x80 && f < 16 {
				return append(append(m, tag(byte(f), bytes), byte(len(value))|0x80, 0), value...)
			}
		}
	}
	return protowire.AppendBytes(protowire.AppendTag(m, protowire.Number(f), protowire.BytesType), value)
}

// What a frame says is what package proto reads, however it is encoded, whether its messages
// are lent or kept, and what is kept stays when the memory of the frame is used again.
func TestAnyFrameIsReadAsProto(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lends := rapid.Bool().Draw(t, "lends")
		got := Received{Lends: func(string) bool { return lends }}
		var kept, kepts []*pb.Message
		opener := Opener{Lends: lends}
		for range rapid.IntRange(1, 3).Draw(t, "frames") {
			b := anyFrame(t)
			var want pb.AttachResponse
			wrong := proto.Unmarshal(b, &want)
			data, pool := append([]byte(nil), b...), &overwrites{}
			parts := mem.BufferSlice{mem.NewBuffer(&data, pool)}
			err := GRPC{}.Unmarshal(parts, &got)
			parts.Free()
			if (err == nil) != (wrong == nil) {
				t.Fatalf("%v, want %v", err, wrong)
			}
			if err != nil {
				return
			}
			at, all := 0, got.Deliveries
			one := func(listener string, m *pb.Message) {
				d := want.Deliveries[at]
				at++
				if listener != d.Listener || !proto.Equal(m, d.Message) {
					t.Fatalf("read %s: %v\nwant %v", listener, m, d)
				}
				if m != nil && !lends {
					kept, kepts = append(kept, m), append(kepts, d.Message)
				}
			}
			for _, g := range got.Groups {
				if g.Lot == nil {
					for _, d := range all[:g.Length] {
						one(g.Listener, d.Message())
					}
					all = all[g.Length:]
					continue
				}
				for i := range g.Length {
					one(g.Listener, opener.Message(g.Lot, i))
				}
				g.Lot.Free()
			}
			if at != len(want.Deliveries) {
				t.Fatalf("%d messages, want %d", at, len(want.Deliveries))
			}
		}
		for i := range kept {
			if !proto.Equal(kept[i], kepts[i]) {
				t.Fatalf("kept %v\nwant %v", kept[i], kepts[i])
			}
		}
	})
}
