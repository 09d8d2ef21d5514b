package msgnode

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// Defaults of an allocation (wire contract, section 4).
const (
	defaultScheme = "hyperty"
	defaultNumber = 5
	maxScheme     = 64 // bytes
)

// allocation is the body of a create.
type allocation struct {
	Scheme string `json:"scheme"`
	// Subscription is an addition of ours: what is below each address for those who
	// subscribe it belongs to the session as well.
	Subscription bool `json:"subscription"`
	Value        struct {
		Scheme string         `json:"scheme"`
		Number *message.Whole `json:"number"`
		Key    string         `json:"allocationKey"`
	} `json:"value"`
}

// wanted is what an allocation asks for, with its defaults.
type wanted struct {
	scheme       string
	number       int
	key          string
	subscription bool
}

func parseAllocation(m *pb.Message, most int) (w wanted, err error) {
	var body allocation
	if err := message.UnmarshalBody(m, &body); err != nil {
		return w, err
	}
	w = wanted{cmp.Or(body.Scheme, body.Value.Scheme, defaultScheme), defaultNumber, body.Value.Key, body.Subscription}
	if body.Value.Number != nil {
		w.number = int(*body.Value.Number)
		if w.number < 1 {
			return w, fault.New(fault.BadRequest, "number is %d; want 1 or more", w.number)
		}
		if w.number > most {
			return w, fault.New(fault.TooLarge, "number is %d, more than %d", w.number, most)
		}
	}
	return w, checkScheme(w.scheme, w.key)
}

// checkScheme refuses what is no scheme, or one whose addresses are not
// allocated: they name a runtime or a backend service.
func checkScheme(scheme, key string) error {
	if len(key) > address.MaxLength {
		return fault.New(fault.BadRequest, "allocationKey is longer than %d bytes", address.MaxLength)
	}
	if len(scheme) > maxScheme || strings.TrimLeft(scheme, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-") != "" {
		return fault.New(fault.BadRequest, "scheme %.80q has characters that no scheme has, or too many", scheme)
	}
	u, err := address.Parse(scheme + "://domain/id")
	if err != nil {
		return err
	}
	if u.Kind != address.Hyperty && u.Kind != address.ConnectionData && u.Kind != address.DataObject {
		return fault.New(fault.BadRequest, "addresses of scheme %q are not allocated", scheme)
	}
	return nil
}

// allocationService answers at `…/address-allocation` and its older names.
func (n *Node) allocationService(ctx context.Context, x *exchange) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
	defer cancel()
	switch x.m.Type {
	case message.Create:
		return n.allocate(ctx, x)
	case message.Delete:
		return n.free(ctx, x)
	default:
		return reply{}, fault.New(fault.BadRequest, "type %q is not one of create, delete", x.m.Type)
	}
}

func (n *Node) allocate(ctx context.Context, x *exchange) (reply, error) {
	w, err := parseAllocation(x.m, n.limits.RequestAddresses)
	if err != nil {
		return reply{}, err
	}
	allocated := make([]string, w.number)
	for i := range allocated {
		allocated[i] = address.Object(w.scheme, n.domain, allocationID(x.socket.session.Token, x.m, i))
	}
	value, owned := map[string]any{"allocated": allocated}, allocated
	if w.subscription {
		value["subscription"] = true
		for _, a := range allocated {
			owned = append(owned, a+address.SubscriptionSuffix)
		}
	}
	if err := n.own(ctx, x.socket.session, owned, w.key); err != nil {
		return reply{}, err
	}
	return reply{fields: map[string]any{"value": value}}, nil
}

// allocationID makes the uuid of one address out of the request, so that one
// which is repeated gets the same addresses again. The session's secret in it
// keeps others from knowing them.
func allocationID(token string, m *pb.Message, i int) string {
	seed := fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%d", token, m.From, m.Id, m.Body, i)
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(seed)).String()
}

// freeing is the body of a delete: allocation keys or addresses in resource,
// addresses in childrenResources.
type freeing struct {
	Resource textList `json:"resource"`
	Children textList `json:"childrenResources"`
}

// free gives up addresses. What is not there is freed already.
func (n *Node) free(ctx context.Context, x *exchange) (reply, error) {
	var body freeing
	if err := message.UnmarshalBody(x.m, &body); err != nil {
		return reply{}, err
	}
	if body.Resource == nil && body.Children == nil {
		return reply{}, fault.New(fault.BadRequest, "body has neither resource nor childrenResources")
	}
	list := append(body.Resource, body.Children...)
	if err := list.check("delete", n.limits.RequestAddresses); err != nil {
		return reply{}, err
	}
	s := x.socket.session
	keys, err := n.keysToFree(s, list)
	if err != nil {
		return reply{}, err
	}
	return reply{}, n.dropHolds(ctx, keys, s.Token)
}

// keysToFree finds the store keys of addresses and allocation keys. Another
// session's address is refused. An object's `/subscription` goes with it: older reporters
// free the object alone.
func (n *Node) keysToFree(s Session, list textList) ([]string, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var keys []string
	for _, name := range list {
		if h, ok := n.directory.owner(name); ok && h.Token != s.Token {
			return nil, fault.New(fault.Forbidden, "%s belongs to another session", name)
		}
		keys = append(keys, ownerKey(name), holdKey(name, s.Runtime))
		if below := name + address.SubscriptionSuffix; isReporters(below) {
			keys = append(keys, ownerKey(below), holdKey(below, s.Runtime))
		}
		for _, a := range n.directory.allocatedUnder(s.Token, name) {
			keys = append(keys, ownerKey(a))
		}
	}
	return keys, nil
}
