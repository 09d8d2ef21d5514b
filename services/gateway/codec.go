package gateway

import (
	"encoding/json"
	"io"
	"maps"
	"net/url"
	"slices"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// codec is the JSON of everything but messages: the names of the protos, all fields,
// and nothing that is not known.
type codec struct{ runtime.JSONPb }

func newCodec() *codec {
	return &codec{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}}}
}

// NewDecoder reads a whole body: what stands behind the object is no part of it.
func (c *codec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if len(text) == 0 {
			return io.EOF
		}
		var whole json.RawMessage // what JSONPb makes of a part may stop before the end
		if err := json.Unmarshal(text, &whole); err != nil {
			return err
		}
		if err = c.Unmarshal(text, v); err != nil {
			if wrong := wrongDuration(text, v); wrong != nil {
				return wrong
			}
		}
		return err
	})
}

// parameters reads a query. Names that the request has not are refused.
type parameters struct{}

// Parse is runtime.QueryParameterParser's.
func (parameters) Parse(m proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !isParameter(m.ProtoReflect().Descriptor(), name, filter) {
			return fault.New(fault.BadRequest, "there is no parameter %s", name).In(name)
		}
		if n := len(values[name]); n > 1 {
			return fault.New(fault.BadRequest, "%s is given %d times", name, n).In(name)
		}
		if err := message.CheckUTF8(name, values[name][0]); err != nil {
			return err
		}
		if err := (&runtime.DefaultQueryParser{}).Parse(m, url.Values{name: values[name]}, filter); err != nil {
			return fault.New(fault.BadRequest, "%s %.80q is not of its type", name, values[name][0]).In(name)
		}
	}
	return nil
}

func isParameter(d protoreflect.MessageDescriptor, name string, filter *utilities.DoubleArray) bool {
	f := d.Fields().ByName(protoreflect.Name(name))
	return f != nil && f.Kind() != protoreflect.MessageKind && !filter.HasCommonPrefix([]string{name})
}
