package codec

import (
	"fmt"
	"reflect"
	"unsafe"

	"google.golang.org/protobuf/runtime/protoimpl"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// unknown is where messages of a type keep the fields that the type does not have. To
// ask for them with ProtoReflect, several times for each message, costs as much as to
// encode a text.
type unknown[M any] uintptr

var (
	unknownInMessage  = unknownIn[pb.Message]()
	unknownInResource = unknownIn[pb.Resource]()
	unknownInFlow     = unknownIn[pb.Flow]()
	unknownInIngress  = unknownIn[pb.Ingress]()
	unknownInRequest  = unknownIn[pb.AttachRequest]()
	unknownInResponse = unknownIn[pb.AttachResponse]()
)

// unknownIn panics if generated messages have no such place any more, as a program
// starts.
func unknownIn[M any]() unknown[M] {
	kind := reflect.TypeFor[M]()
	f, ok := kind.FieldByName("unknownFields")
	if !ok || f.Type != reflect.TypeFor[protoimpl.UnknownFields]() {
		panic(fmt.Sprintf("codec: %s has no unknown fields", kind))
	}
	return unknown[M](f.Offset)
}

// of gives them as they were encoded. m is not nil.
func (u unknown[M]) of(m *M) []byte {
	return *(*protoimpl.UnknownFields)(unsafe.Add(unsafe.Pointer(m), u))
}

// HasUnknown tells whether a message has fields that its type does not have. m is not nil.
func HasUnknown(m *pb.Message) bool { return len(unknownInMessage.of(m)) > 0 }

// FlowHasUnknown is HasUnknown of a flow.
func FlowHasUnknown(f *pb.Flow) bool { return len(unknownInFlow.of(f)) > 0 }
