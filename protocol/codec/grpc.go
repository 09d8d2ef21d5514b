package codec

import (
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// GRPC is gRPC's codec for every service of ours, for ForceServerCodecV2 and
// ForceCodecV2. On the wire it is the one that every gRPC has.
type GRPC struct{}

var reflected = encoding.GetCodecV2(protocodec.Name)

// Name is encoding.CodecV2's.
func (GRPC) Name() string { return protocodec.Name }

func asWritten(v any) written {
	switch v := v.(type) {
	case *pb.AttachRequest:
		if v != nil && len(unknownInRequest.of(v)) == 0 {
			return request{v}
		}
	case *pb.AttachResponse:
		if v != nil && len(unknownInResponse.of(v)) == 0 {
			return response{v, nil}
		}
	case *Response:
		return response{&v.AttachResponse, v.Encoded}
	case Listened:
		return listened{&pb.ListenResponse{Deliveries: v.Deliveries}, v.Encoded}
	case *pb.ListenResponse:
		return listened{v, nil}
	case *pb.MessageNodeConnectRequest:
		return carry(v.GetMessages())
	case *pb.MessageNodeConnectResponse:
		return carry(v.GetMessages())
	case Messages:
		return v
	}
	return nil
}

// Encoded is a frame whose bytes are there already, for SendMsg of a stream: gRPC frees
// them when it has written them.
type Encoded struct{ Parts mem.BufferSlice }

// Marshal is encoding.CodecV2's.
func (GRPC) Marshal(v any) (mem.BufferSlice, error) {
	if e, ok := v.(*Encoded); ok {
		return e.Parts, nil
	}
	if r, ok := v.(*Response); ok && r.Leaves != nil {
		return r.marshal()
	}
	f := asWritten(v)
	if f == nil {
		return reflected.Marshal(v)
	}
	size := f.size()
	if mem.IsBelowBufferPoolingThreshold(size) {
		b := make([]byte, size)
		if err := encode(f, b); err != nil {
			return nil, err
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	b := Buffers.Get(size)
	if err := encode(f, *b); err != nil {
		Buffers.Put(b)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(b, Buffers)}, nil
}

// Unmarshal is encoding.CodecV2's.
func (GRPC) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *Received:
		return v.unmarshal(data)
	case *pb.AttachRequest:
		return read(data, v, readRequest)
	case *Request:
		return v.unmarshal(data)
	case *pb.AttachResponse:
		return read(data, v, readResponse)
	case *pb.ListenResponse:
		return read(data, v, readListened)
	case *pb.MessageNodeConnectRequest:
		return read(data, v, readConnectRequest)
	case *pb.MessageNodeConnectResponse:
		return read(data, v, readConnectResponse)
	case *Messages:
		return read(data, v, readSession)
	}
	return reflected.Unmarshal(data, v)
}

func read[M any](data mem.BufferSlice, m M, read func(frame, M) error) error {
	f, lent := whole(data, 0)
	defer lent.Free()
	return read(f, m)
}
