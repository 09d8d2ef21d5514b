package gateway

import (
	"encoding/json"
	"reflect"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/peerbus/peerbus/protocol/message"
)

// wrongDuration names the field of a body that should be a duration: the decoder
// alone does not say which it is. It is nil when there is none.
func wrongDuration(text []byte, into any) error {
	d, ok := descriptorOf(into)
	var fields map[string]json.RawMessage
	if !ok || json.Unmarshal(text, &fields) != nil {
		return nil
	}
	for name, value := range fields {
		f := d.Fields().ByTextName(name)
		if f == nil || f.Message() == nil || f.Message().FullName() != durationName {
			continue
		}
		if protojson.Unmarshal(value, &durationpb.Duration{}) != nil {
			return message.NoDuration(name)
		}
	}
	return nil
}

var durationName = (*durationpb.Duration)(nil).ProtoReflect().Descriptor().FullName()

// descriptorOf is of what a body is read into: a message, or a field that holds one.
func descriptorOf(into any) (protoreflect.MessageDescriptor, bool) {
	if m, ok := into.(proto.Message); ok {
		return m.ProtoReflect().Descriptor(), true
	}
	t := reflect.TypeOf(into)
	if t == nil || t.Kind() != reflect.Pointer {
		return nil, false
	}
	m, ok := reflect.Zero(t.Elem()).Interface().(proto.Message)
	if !ok {
		return nil, false
	}
	return m.ProtoReflect().Descriptor(), true
}
