package msgnode

import (
	"context"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// subscription is the body of subscribe and unsubscribe (wire contract,
// section 5). A nil list is one that was not given.
type subscription struct {
	Resources   textList `json:"resources"`
	Subscribe   textList `json:"subscribe"`
	Unsubscribe textList `json:"unsubscribe"`
}

// addresses gives the one list that is there: resources, or the one that has
// the name of the message's type.
func (b subscription) addresses(kind string) (textList, error) {
	other := b.Subscribe
	if kind == message.Unsubscribe {
		other = b.Unsubscribe
	}
	switch {
	case b.Resources != nil && other != nil:
		return nil, fault.New(fault.BadRequest, "body has both resources and %s", kind)
	case b.Resources != nil:
		return b.Resources, nil
	case other != nil:
		return other, nil
	default:
		return nil, fault.New(fault.BadRequest, "body has neither resources nor %s", kind)
	}
}

// subscriptionService answers at `domain://msg-node.<domain>/sm`.
func (n *Node) subscriptionService(ctx context.Context, x *exchange) (reply, error) {
	if x.m.Type != message.Subscribe && x.m.Type != message.Unsubscribe {
		return reply{}, fault.New(fault.BadRequest, "type %q is not one of subscribe, unsubscribe", x.m.Type)
	}
	var body subscription
	if err := message.UnmarshalBody(x.m, &body); err != nil {
		return reply{}, err
	}
	list, err := body.addresses(x.m.Type)
	if err != nil {
		return reply{}, err
	}
	if err := list.check(x.m.Type, n.limits.RequestAddresses); err != nil {
		return reply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
	defer cancel()
	if x.m.Type == message.Subscribe {
		return reply{}, n.subscribeTo(ctx, x.socket.session, list)
	}
	return reply{}, n.unsubscribe(ctx, x.socket.session, list)
}

// subscribeTo subscribes all of a list, or nothing of it when one is refused. Who subscribes
// an object's `/subscription` is its reporter: that address becomes its own, if nobody has it,
// as an older runtime does not allocate the object (wire contract, sections 4 and 7).
func (n *Node) subscribeTo(ctx context.Context, s Session, list textList) error {
	var reported []string
	n.mu.RLock()
	for _, a := range list {
		if err := n.directory.mayHold(s.Runtime, a); err != nil || n.isOwn(a) {
			n.mu.RUnlock()
			return fault.New(fault.Forbidden, "%s cannot be subscribed by this runtime", a)
		}
		if n.directory.mayReport(s.Runtime, a) {
			reported = append(reported, a)
		}
	}
	n.mu.RUnlock()
	if err := n.own(ctx, s, reported, ""); err != nil {
		return err
	}
	return n.subscribe(ctx, s, list)
}

func (n *Node) unsubscribe(ctx context.Context, s Session, list textList) error {
	var keys []string
	n.mu.RLock()
	for _, a := range list {
		if keys = append(keys, holdKey(a, s.Runtime)); n.directory.isOnlyReported(a) {
			keys = append(keys, ownerKey(a))
		}
	}
	n.mu.RUnlock()
	return n.dropHolds(ctx, keys, s.Token)
}
