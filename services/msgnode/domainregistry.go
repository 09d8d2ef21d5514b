package msgnode

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// registryBody is the body of any request to the domain registry (wire
// contract, section 6).
type registryBody struct {
	Resource  string          `json:"resource"`
	Value     json.RawMessage `json:"value"`
	Attribute string          `json:"attribute"`
	Criteria  criteria        `json:"criteria"`
}

// registryService answers at `domain://registry.<domain>`.
func (n *Node) registryService(ctx context.Context, x *exchange) (reply, error) {
	var body registryBody
	if err := message.UnmarshalBody(x.m, &body); err != nil {
		return reply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.limits.StoreTimeout)
	defer cancel()
	s := x.socket.session
	switch x.m.Type {
	case message.Create:
		return reply{}, n.registerEntry(ctx, s, body)
	case message.Read:
		return n.readEntries(body)
	case message.Update:
		return reply{}, n.updateEntry(ctx, s, body)
	case message.Delete:
		return reply{}, n.unregister(ctx, s, body)
	default:
		return reply{}, fault.New(fault.BadRequest, "type %q is not one of create, read, update, delete", x.m.Type)
	}
}

// registerEntry makes an entry, or makes it anew.
func (n *Node) registerEntry(ctx context.Context, s Session, body registryBody) error {
	value, err := body.object()
	if err != nil {
		return err
	}
	e, err := newEntry(value, s.Runtime, n.now(), &n.limits)
	if err != nil {
		return err
	}
	return n.changeEntry(ctx, s, e.URL, func(_ Entry, there bool, count int) (Entry, error) {
		if !there && count >= n.limits.Entries {
			return e, fault.New(fault.TooMany, "the domain registry has %d entries, which is its bound", count)
		}
		return e, nil
	})
}

func (b registryBody) object() (object, error) {
	var value object
	if err := json.Unmarshal(b.Value, &value); err != nil || value == nil {
		return nil, fault.New(fault.BadRequest, "value is not a JSON object")
	}
	return value, nil
}

// updateEntry keeps an entry alive, or changes it.
func (n *Node) updateEntry(ctx context.Context, s Session, body registryBody) error {
	url, err := entryURL(body.Resource)
	if err != nil {
		return err
	}
	fields, err := body.changes()
	if err != nil {
		return err
	}
	return n.changeEntry(ctx, s, url, func(e Entry, there bool, _ int) (Entry, error) {
		if !there {
			return e, errNoEntry(url)
		}
		return e.merged(fields, n.now(), &n.limits)
	})
}

// changes are the fields that an update sets: none for a keep-alive.
func (b registryBody) changes() (object, error) {
	switch {
	case len(b.Value) == 0 || string(b.Value) == "null":
		return nil, nil
	case b.Attribute != "":
		return object{b.Attribute: b.Value}, nil
	case b.Value[0] == '{':
		return b.object()
	default:
		return nil, fault.New(fault.BadRequest, "value is no object, and there is no attribute")
	}
}

func errNoEntry(what string) error {
	return fault.New(fault.NotFound, "the domain registry has no %s", what)
}

// unregister removes an entry by its URL, or the sender's by their name. What
// is not there is removed already.
func (n *Node) unregister(ctx context.Context, s Session, body registryBody) error {
	var value struct {
		URL  string `json:"url"`
		Name string `json:"name"`
	}
	if len(body.Value) > 0 {
		if err := json.Unmarshal(body.Value, &value); err != nil {
			return fault.New(fault.BadRequest, "value is no object with a text as url or name")
		}
	}
	if value.URL == "" && value.Name == "" {
		url, err := entryURL(body.Resource)
		if err != nil {
			return fault.New(fault.BadRequest, "value.url and value.name are missing")
		}
		value.URL = url
	}
	urls := []string{value.URL}
	if value.URL == "" {
		urls = n.namedBy(s, value.Name)
	}
	return n.each(ctx, urls, func(ctx context.Context, url string) error {
		return n.changeEntry(ctx, s, url, func(Entry, bool, int) (Entry, error) { return Entry{}, nil })
	})
}

// namedBy gives the entries of a runtime with a name, which may be their URL.
func (n *Node) namedBy(s Session, name string) []string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var urls []string
	for _, url := range append(n.index.named(name), name) {
		if e, there := n.index.one(query{url: url}); there && e.By == s.Runtime {
			urls = append(urls, url)
		}
	}
	return urls
}

// readEntries looks one up, or searches. When only disconnected ones are there
// the code is 408, with their value.
func (n *Node) readEntries(body registryBody) (reply, error) {
	q, err := parseQuery(body.Resource)
	if err != nil {
		return reply{}, err
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if e, ok := n.index.one(q); ok {
		e = n.current(e)
		return found(e.view(), e.Live), nil
	}
	if q.by == "" {
		return reply{}, errNoEntry(q.url)
	}
	entries := n.index.search(q, body.Criteria, &n.limits)
	if len(entries) == 0 {
		return reply{}, errNoEntry(body.Resource)
	}
	value, live := map[string]object{}, false
	for _, e := range entries {
		e = n.current(e)
		value[e.URL] = e.view()
		live = live || e.Live
	}
	return found(value, live), nil
}

// current is an entry as it stands now. When that is not what is stored the
// sweep is called for, so that all others are told as well.
func (n *Node) current(e Entry) Entry {
	seen := e.seenAt(n.now())
	if seen.Live != e.Live {
		n.wakeSweeper()
	}
	return seen
}

func found(value any, live bool) reply {
	if live {
		return reply{fields: map[string]any{"value": value}}
	}
	const text = "disconnected"
	return reply{code: fault.Timeout, fields: map[string]any{"value": value, "description": text, "desc": text}}
}

// changeEntry writes what change makes of an entry; the zero Entry removes it.
// s may write an entry whose URL is not another's, and which was not registered
// by another runtime that is still connected. A change of its status is
// published by whoever wrote it.
func (n *Node) changeEntry(ctx context.Context, s Session, url string, change func(e Entry, there bool, count int) (Entry, error)) error {
	key := hashed(url)
	for {
		revision := n.registry.revision(key)
		n.mu.RLock()
		before, there := n.index.one(query{url: url})
		count := len(n.index.entries)
		err := n.mayWrite(s, url, before)
		n.mu.RUnlock()
		if err != nil {
			return err
		}
		after, err := change(before, there, count)
		if err != nil {
			return err
		}
		if err = n.writeEntry(ctx, key, after, revision); errors.Is(err, errConflict) {
			continue
		}
		if err == nil {
			n.publishStatus(url, before, after)
		}
		return err
	}
}

// mayWrite is called with mu held. The node itself has no session.
func (n *Node) mayWrite(s Session, url string, e Entry) error {
	if s.Runtime == "" {
		return nil
	}
	if err := n.directory.mayUse(s.Runtime, url); err != nil {
		return err
	}
	if by := n.directory.sessions[e.By]; by.Socket != "" && by.Runtime != s.Runtime {
		return fault.New(fault.Forbidden, "%s is registered by another runtime", url)
	}
	return nil
}

func (n *Node) writeEntry(ctx context.Context, key string, e Entry, revision uint64) error {
	if e.URL == "" {
		if revision == 0 {
			return nil
		}
		return n.registry.remove(ctx, key, revision)
	}
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return n.registry.put(ctx, key, value, revision)
}

// publishStatus tells who has subscribed it that an entry is live or is not.
func (n *Node) publishStatus(url string, before, after Entry) {
	if before.Live == after.Live {
		return
	}
	m := &pb.Message{
		Id: message.StringID(uuid.NewString()), Type: message.Update,
		From: address.DomainRegistry(n.domain), To: address.Registration(url),
		Body: message.MarshalBody(map[string]string{"value": after.status(), "attribute": "status"}),
	}
	way := n.wayTo(m)
	if way.err != nil {
		return // nobody wants to know
	}
	if err := n.relay([]received{{Carried: codec.Bare(m)}}, "", way).at(0); err != nil {
		n.log.Debug("a status is not delivered to all", "address", url, "error", err)
	}
}

// applyRegistry takes a change of the registry's bucket, from the store.
func (n *Node) applyRegistry(key string, value []byte) {
	n.mu.Lock()
	err := n.index.apply(key, value)
	n.mu.Unlock()
	if err != nil {
		n.log.Warn("the domain registry has what cannot be read", "error", err)
	}
}
