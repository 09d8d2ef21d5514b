package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
)

// store keeps what must survive a restart in a JetStream bucket of this runtime:
// the handler's address, the entries of the table (without the remote addresses,
// which are learned again), the registrations, and where addresses are that are in
// use: a Message Node that is away must not make them unknown.
type store struct {
	kv     jetstream.KeyValue
	js     jetstream.JetStream
	engine *engine.Engine

	revision uint64     // of termKey, as this registry has written it
	number   uint64     // of the term
	writing  sync.Mutex // held while something is written
	deposed  func()     // told when the term is over
	untaken  func()     // told of each write that the bucket does not take
}

// markerFor is how long the mark of a deletion is kept.
const markerFor = time.Minute

const (
	handlerKey       = "handler"
	connectionPrefix = "connection."
	registrationKey  = "registration."
	placeKey         = "place."
)

// openStore opens the bucket of a runtime; its name comes from the URL, so that
// many runtimes can share one NATS.
func openStore(ctx context.Context, e *engine.Engine, runtimeURL string) (*store, error) {
	sum := sha256.Sum256([]byte(runtimeURL))
	kv, err := e.Bucket(ctx, jetstream.KeyValueConfig{
		Bucket:      "peerbus_registry_" + hex.EncodeToString(sum[:10]),
		Description: "registry of " + runtimeURL,
		History:     1,
		Storage:     jetstream.FileStorage,
		// Allows marks of deletions that end.
		LimitMarkerTTL: markerFor,
	})
	if err != nil {
		return nil, err
	}
	return &store{kv: kv, js: e.JetStream(), engine: e, deposed: func() {}, untaken: func() {}}, nil
}

// saved is what load finds.
type saved struct {
	handler       string
	connections   []connection
	registrations []*registration
	places        map[string]savedPlace
	broken        []string // keys that cannot be read
}

// savedPlace is a place in the store.
type savedPlace struct {
	Entity  string `json:"entity"`
	Runtime string `json:"runtime"`
	Handler string `json:"handler,omitempty"`
	Flow    bool   `json:"flow,omitempty"`
}

// load reads everything back, once a term has begun: what was written before that is
// there when the store shows it. A replica of NATS that lags behind may do so late. A
// store that had nothing before the term is not asked.
func (s *store) load(ctx context.Context) (*saved, error) {
	all := &saved{places: map[string]savedPlace{}}
	if s.revision == 1 {
		return all, nil
	}
	w, err := s.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fault.New(fault.Unavailable, "reading the store: %w", err)
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case entry, open := <-w.Updates():
			if !open {
				return nil, fault.New(fault.Unavailable, "reading the store: it ended early")
			}
			if entry == nil {
				continue
			}
			if entry.Key() == termKey {
				if entry.Revision() >= s.revision {
					return all, nil // it was written last
				}
				continue
			}
			if err := all.take(entry.Key(), entry.Value()); err != nil {
				all.broken = append(all.broken, entry.Key())
			}
		case <-ctx.Done():
			return nil, fault.New(fault.Unavailable, "reading the store: %w", ctx.Err())
		}
	}
}

func (a *saved) take(key string, value []byte) error {
	switch {
	case key == handlerKey:
		a.handler = string(value)
	case strings.HasPrefix(key, connectionPrefix):
		var c connection
		if err := json.Unmarshal(value, &c); err != nil {
			return err
		}
		if c.Remote == "" || !c.exists() {
			return errors.New("an entry without its runtime")
		}
		a.connections = append(a.connections, c)
	case strings.HasPrefix(key, registrationKey):
		reg, err := decodeRegistration(value)
		if err != nil {
			return err
		}
		a.registrations = append(a.registrations, reg)
	case strings.HasPrefix(key, placeKey):
		var p savedPlace
		if err := json.Unmarshal(value, &p); err != nil {
			return err
		}
		if p.Entity == "" || p.Runtime == "" {
			return errors.New("a place of nothing")
		}
		a.places[p.Entity] = p
	}
	return nil
}

func (s *store) saveHandler(ctx context.Context, url string) error {
	return s.put(ctx, handlerKey, []byte(url))
}

func (s *store) saveConnection(ctx context.Context, c connection) error {
	value, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.put(ctx, key(connectionPrefix, c.Remote), value)
}

func (s *store) removeConnection(ctx context.Context, remote string) error {
	return s.remove(ctx, key(connectionPrefix, remote))
}

func (s *store) saveRegistration(ctx context.Context, reg *registration) error {
	value, err := reg.encode()
	if err != nil {
		return err
	}
	return s.put(ctx, key(registrationKey, reg.url()), value)
}

func (s *store) removeRegistration(ctx context.Context, url string) error {
	return s.remove(ctx, key(registrationKey, url))
}

// savePlace writes where an address is, or removes what is not known any more.
func (s *store) savePlace(ctx context.Context, p savedPlace) error {
	if p.Runtime == "" {
		return s.remove(ctx, key(placeKey, p.Entity))
	}
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return s.put(ctx, key(placeKey, p.Entity), value)
}

func (s *store) put(ctx context.Context, key string, value []byte) error {
	return s.write(ctx, key, value, nil)
}

// remove leaves nothing behind: entries come and go for ever, so that the mark of
// a deletion, which NATS keeps, must end too.
func (s *store) remove(ctx context.Context, key string) error {
	return s.write(ctx, key, nil, nats.Header{"KV-Operation": {"PURGE"}, jetstream.MsgRollup: {jetstream.MsgRollupSubject}},
		jetstream.WithMsgTTL(markerFor))
}

// key makes a key of an address, which itself may be too long for one or have
// other characters.
func key(prefix, addr string) string {
	sum := sha256.Sum256([]byte(addr))
	return prefix + hex.EncodeToString(sum[:])
}
