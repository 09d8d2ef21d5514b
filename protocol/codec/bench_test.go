package codec

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// BenchmarkFrame encodes and decodes a frame of 64 short messages, here and with
// package proto.
func BenchmarkFrame(b *testing.B) {
	frame := &pb.AttachRequest{}
	for n := range uint64(64) {
		frame.Posts = append(frame.Posts, &pb.Post{Sequence: n, Number: n, Message: &pb.Message{
			Id: `"7f3e"`, Type: "event", From: "hyperty://example.org/alice", To: "hyperty://example.org/bob",
			Body: []byte(`{"value":"` + string(make([]byte, 50)) + `"}`), Number: n, Origin: make([]byte, 16),
		}})
	}
	for name, codec := range map[string]encoding.CodecV2{"ours": GRPC{}, "proto": reflected} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				data, err := codec.Marshal(frame)
				if err != nil {
					b.Fatal(err)
				}
				flat := mem.BufferSlice{mem.SliceBuffer(data.Materialize())}
				if err := codec.Unmarshal(flat, &pb.AttachRequest{}); err != nil {
					b.Fatal(err)
				}
				data.Free()
			}
		})
	}
}

// BenchmarkRequest reads a frame of 64 short posts as a bus does.
func BenchmarkRequest(b *testing.B) {
	frame := &pb.AttachRequest{}
	for n := range uint64(64) {
		frame.Posts = append(frame.Posts, &pb.Post{Number: n + 1, Message: &pb.Message{
			Id: `"7f3e4f12-1111-2222-3333-123456789abc-1z"`, Type: "create", From: "hyperty://example.org/alice", To: "hyperty://example.org/bob",
			Body: make([]byte, 64),
		}})
	}
	data, err := GRPC{}.Marshal(frame)
	if err != nil {
		b.Fatal(err)
	}
	m := Request{Room: 32}
	b.ReportAllocs()
	for b.Loop() {
		if err := (GRPC{}).Unmarshal(data, &m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRow reads a frame of a message and 127 sequels: of a client and of a stub as
// a bus does, and of a packet as a stub does.
func BenchmarkRow(b *testing.B) {
	row := flowRow(10, 100, FrameMessages-1)
	for _, m := range append(row.Sequels, row.Message) {
		m.Body = fmt.Appendf(nil, `{"value":%q}`, strings.Repeat("x", 52))
	}
	carried, err := readRow(rowBytes(b, row))
	if err != nil {
		b.Fatal(err)
	}
	packet, _ := carried.AppendRow(nil)
	posted := NewCarried(carried, "v", &pb.Ingress{RemoteRuntimeUrl: "r"})
	stub, _ := posted.Append(AppendHead(nil, Head{}, posted.Size()))
	row.Message.Origin, row.Message.Number, row.Message.Flow = nil, 0, nil
	client, _ := proto.Marshal(&pb.AttachRequest{Posts: []*pb.Post{{Number: 7, Message: row.Message, Sequels: row.Sequels}}})
	for name, read := range map[string]func(m *Request) error{
		"client": func(m *Request) error { return m.unmarshal(mem.BufferSlice{mem.SliceBuffer(client)}) },
		"stub":   func(m *Request) error { return m.unmarshal(mem.BufferSlice{mem.SliceBuffer(stub)}) },
		"packet": func(*Request) error { _, err := readRowField(packet); return err },
	} {
		b.Run(name, func(b *testing.B) {
			m := Request{Room: 32}
			for b.Loop() {
				if err := read(&m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
