package msgnode

import (
	"context"
	"encoding/json"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/internal/fault"
)

// own gives addresses to a session, unless another session owns them already.
func (n *Node) own(ctx context.Context, s Session, addresses []string, key string) error {
	return n.hold(ctx, s, addresses, key, func(a string) string { return ownerKey(a) })
}

// subscribe makes addresses lead to a session, besides others.
func (n *Node) subscribe(ctx context.Context, s Session, addresses []string) error {
	return n.hold(ctx, s, addresses, "", func(a string) string { return holdKey(a, s.Runtime) })
}

// hold writes one Hold for each address that the session does not hold so yet:
// a request that is repeated asks for nothing more. It returns when all are
// effective.
func (n *Node) hold(ctx context.Context, s Session, addresses []string, key string, storeKey func(string) string) error {
	fresh := make([]string, 0, len(addresses))
	n.mu.RLock()
	for _, a := range addresses {
		if n.directory.hold(storeKey(a)).Token != s.Token {
			fresh = append(fresh, a)
		}
	}
	have := n.directory.addresses(s.Token)
	n.mu.RUnlock()
	if len(fresh) > 0 && have+len(fresh) > n.limits.Addresses {
		return fault.New(fault.TooMany, "a session has at most %d addresses", n.limits.Addresses)
	}
	return n.each(ctx, fresh, func(ctx context.Context, a string) error {
		return n.putHold(ctx, storeKey(a), Hold{Address: a, Runtime: s.Runtime, Token: s.Token, Key: key})
	})
}

// putHold writes a hold where there is none that counts.
func (n *Node) putHold(ctx context.Context, storeKey string, h Hold) error {
	value, err := json.Marshal(h)
	if err != nil {
		return err
	}
	for {
		revision := n.state.revision(storeKey)
		n.mu.RLock()
		held := n.directory.valid(n.directory.hold(storeKey))
		n.mu.RUnlock()
		if held {
			return nil
		}
		if err := n.state.put(ctx, storeKey, value, revision); !errors.Is(err, errConflict) {
			return err
		}
	}
}

// dropHolds removes those of the given keys that are a token's.
func (n *Node) dropHolds(ctx context.Context, storeKeys []string, token string) error {
	return n.each(ctx, storeKeys, func(ctx context.Context, key string) error {
		return n.dropHold(ctx, key, token)
	})
}

func (n *Node) dropHold(ctx context.Context, storeKey, token string) error {
	for {
		revision := n.state.revision(storeKey)
		n.mu.RLock()
		h := n.directory.hold(storeKey)
		n.mu.RUnlock()
		if revision == 0 || h.Token != token {
			return nil
		}
		if err := n.state.remove(ctx, storeKey, revision); !errors.Is(err, errConflict) {
			return err
		}
	}
}

// each calls do for every item, several at a time, and gives the first error.
func (n *Node) each(ctx context.Context, items []string, do func(context.Context, string) error) error {
	if len(items) == 1 {
		return do(ctx, items[0])
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(n.limits.StoreWriters, 1))
	for _, item := range items {
		g.Go(func() error { return do(ctx, item) })
	}
	return g.Wait()
}

func (n *Node) isHeld(address string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.directory.isHeld(address)
}
