package datasync

import (
	"encoding/json"
	"slices"
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// Invitation is what a `create` asks to observe.
type Invitation struct {
	Source  string // the stub that reports the object
	Object  Object // its data may be empty
	version int
}

// ParseInvitation reads a `create`. The object's address may be missing: it is
// the sender without `/subscription`.
func ParseInvitation(m *pb.Message) (Invitation, error) {
	var body struct {
		Source   string          `json:"source"`
		Schema   string          `json:"schema"`
		Resource string          `json:"resource"`
		Value    json.RawMessage `json:"value"`
	}
	if err := message.UnmarshalBody(m, &body); err != nil {
		return Invitation{}, err
	}
	if len(body.Value) == 0 {
		return Invitation{}, fault.New(fault.BadRequest, "invitation has no value")
	}
	o, _, err := snapshot(body.Value)
	if err != nil {
		return Invitation{}, err
	}
	o.URL = body.Resource
	if o.URL == "" {
		o.URL = strings.TrimSuffix(m.From, address.SubscriptionSuffix)
	}
	if o.Schema == "" {
		o.Schema = body.Schema
	}
	source := firstOf(body.Source, o.Reporter, m.Source)
	if source == "" {
		return Invitation{}, fault.New(fault.BadRequest, "invitation has no source")
	}
	return Invitation{Source: source, Object: o, version: o.Version}, nil
}

func firstOf(texts ...string) string {
	i := slices.IndexFunc(texts, func(t string) bool { return t != "" })
	if i < 0 {
		return ""
	}
	return texts[i]
}

type subscription struct {
	Subscriber string   `json:"subscriber"`
	Source     string   `json:"source,omitempty"`
	Framing    []string `json:"framing,omitempty"`
}

// Subscription is a request to observe an object of ours.
type Subscription struct {
	Subscriber string
	Framing    []string // announced by a peer of our own
}

// ParseSubscription reads a `subscribe`; older peers give `subscriber` alone.
func ParseSubscription(m *pb.Message) (Subscription, error) {
	var s subscription
	if err := message.UnmarshalBody(m, &s); err != nil {
		return Subscription{}, err
	}
	s.Subscriber = firstOf(s.Subscriber, s.Source)
	if s.Subscriber == "" {
		return Subscription{}, fault.New(fault.BadRequest, "subscription has no subscriber")
	}
	return Subscription{s.Subscriber, s.Framing}, nil
}

// DeleteReason is why an object was deleted, as Delete has put it; empty for an
// older peer.
func DeleteReason(m *pb.Message) string {
	var body struct {
		Desc string `json:"desc"`
	}
	if message.UnmarshalBody(m, &body) != nil {
		return ""
	}
	return body.Desc
}
