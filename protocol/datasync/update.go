package datasync

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// Bounds of what an update can do.
const (
	maxDepth = 16   // parts of an attribute's path
	maxList  = 1024 // elements of a list: no connection has that many candidates
)

// Operations on a list.
const (
	add    = "add"
	remove = "remove"
)

// update is the body of an update message.
type update struct {
	Version       int             `json:"version"`
	Source        string          `json:"source,omitempty"`
	Attribute     string          `json:"attribute"`
	Value         json.RawMessage `json:"value,omitempty"`
	AttributeType string          `json:"attributeType,omitempty"`
	Operation     string          `json:"operation,omitempty"`
	LastModified  string          `json:"lastModified,omitempty"`
}

// size is how many bytes an update may leave behind.
func (u update) size() int {
	return len(u.Value) + len(u.Attribute) + len(u.Source) + len(u.AttributeType) + len(u.Operation) + len(u.LastModified)
}

// parseUpdate reads what matters to an observer; what else there is may have any type.
func parseUpdate(m *pb.Message) (update, error) {
	var body struct {
		Version      message.Whole   `json:"version"`
		Attribute    string          `json:"attribute"`
		Value        json.RawMessage `json:"value"`
		Operation    any             `json:"operation"`
		LastModified any             `json:"lastModified"`
	}
	if err := message.UnmarshalBody(m, &body); err != nil {
		return update{}, err
	}
	u := update{Version: int(body.Version), Attribute: body.Attribute, Value: body.Value}
	u.Operation, _ = body.Operation.(string)
	u.LastModified, _ = body.LastModified.(string)
	if u.Version <= 0 {
		return u, fault.New(fault.BadRequest, "update has no version")
	}
	if u.Attribute == "" || strings.Count(u.Attribute, ".") >= maxDepth {
		return u, fault.New(fault.BadRequest, "update of attribute %.40q", u.Attribute)
	}
	return u, nil
}

// apply gives a node of the tree with the update done below it.
func (u update) apply(node any, path []string) (any, error) {
	if list, ok := node.([]any); ok {
		return u.applyToList(list, path)
	}
	object, ok := node.(map[string]any)
	if !ok {
		if node != nil {
			return nil, fault.New(fault.BadRequest, "attribute %.40q goes through a plain value", u.Attribute)
		}
		object = map[string]any{}
	}
	key := path[0]
	below := object[key]
	if len(path) == 1 && !u.ofList() {
		value, err := u.value()
		object[key] = value
		return object, err
	}
	if len(path) == 1 {
		path = []string{key, strconv.Itoa(maxList)} // the list itself: its end
	}
	if below == nil && u.ofList() && len(path) == 2 {
		below = []any{}
	}
	changed, err := u.apply(below, path[1:])
	if err != nil {
		return nil, err
	}
	object[key] = changed
	return object, nil
}

func (u update) ofList() bool { return u.Operation == add || u.Operation == remove }

func (u update) applyToList(list []any, path []string) (any, error) {
	index, err := strconv.Atoi(path[0])
	if err != nil || index < 0 {
		return nil, fault.New(fault.BadRequest, "attribute %.40q has no index of its list", u.Attribute)
	}
	index = min(index, len(list))
	switch {
	case len(path) > 1:
		return u.intoElement(list, index, path)
	case u.Operation == remove:
		n := min(max(1, len(u.elements())), len(list)-index)
		return slices.Delete(list, index, index+n), nil
	case u.Operation == add || index == len(list):
		elements := u.elements()
		if len(list)+len(elements) > maxList {
			return nil, fault.New(fault.TooLarge, "attribute %.40q has more than %d elements", u.Attribute, maxList)
		}
		return slices.Insert(list, index, elements...), nil
	default:
		value, err := u.value()
		list[index] = value
		return list, err
	}
}

func (u update) intoElement(list []any, index int, path []string) (any, error) {
	if index == len(list) {
		return nil, fault.New(fault.BadRequest, "attribute %.40q is beyond its list", u.Attribute)
	}
	changed, err := u.apply(list[index], path[1:])
	if err == nil {
		list[index] = changed
	}
	return list, err
}

func (u update) value() (any, error) {
	if len(u.Value) == 0 {
		return nil, nil
	}
	var v any
	if err := json.Unmarshal(u.Value, &v); err != nil {
		return nil, fault.New(fault.BadRequest, "update has a value that is no JSON")
	}
	return v, nil
}

// elements are what is added to a list: older peers send the element, others a
// list of elements.
func (u update) elements() []any {
	v, err := u.value()
	if err != nil || v == nil {
		return nil
	}
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}
