package msgnode

import (
	"encoding/json"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// textList is a list of strings as older peers write it: one string, a list,
// or a list in a list. Null is none, as if it were not given.
type textList []string

// UnmarshalJSON reads any of the three forms.
func (l *textList) UnmarshalJSON(raw []byte) error {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	if v == nil {
		return nil
	}
	out, ok := flatten(textList{}, v, 0)
	if !ok {
		return fault.New(fault.BadRequest, "want a string or a list of strings")
	}
	*l = out
	return nil
}

func flatten(dst textList, v any, depth int) (textList, bool) {
	switch v := v.(type) {
	case nil:
		return dst, true
	case string:
		return append(dst, v), true
	case []any:
		ok := depth < 2
		for i := 0; i < len(v) && ok; i++ {
			dst, ok = flatten(dst, v[i], depth+1)
		}
		return dst, ok
	default:
		return dst, false
	}
}

// check refuses a list that is too long, or has in it what is no address. The
// name is that of the field.
func (l textList) check(name string, most int) error {
	if len(l) > most {
		return fault.New(fault.TooLarge, "%s has %d addresses, more than %d", name, len(l), most)
	}
	for _, a := range l {
		if a == "" {
			return fault.New(fault.BadRequest, "%s has an empty address in it", name)
		}
		if len(a) > address.MaxLength {
			return fault.New(fault.BadRequest, "%s has an address of more than %d bytes in it", name, address.MaxLength)
		}
	}
	return nil
}
