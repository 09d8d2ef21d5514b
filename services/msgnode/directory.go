package msgnode

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// Keys of the state bucket:
//
//	s.<runtime>            a Session
//	o.<address>            the Hold of the session that owns the address
//	h.<address>.<runtime>  the Hold of a session that has subscribed it
//
// All are in one bucket, so that every replica sees them in one order: a hold
// is never seen before its session.
const (
	sessionPrefix = "s."
	ownerPrefix   = "o."
	holdPrefix    = "h."
)

func sessionKey(runtime string) string { return sessionPrefix + hashed(runtime) }
func ownerKey(address string) string   { return ownerPrefix + hashed(address) }
func holdKey(address, runtime string) string {
	return holdPrefix + hashed(address) + "." + hashed(runtime)
}

// Hold makes an address lead to a session. It counts only as long as the
// runtime has a session with that token.
type Hold struct {
	Address string `json:"address"`
	Runtime string `json:"runtime"`
	Token   string `json:"token"`
	// Key is the allocation key under which the address can be freed.
	Key string `json:"key,omitempty"`
}

// directory is the state bucket in memory: who holds which address. It is pure
// and has no lock; the Node's mu guards it.
type directory struct {
	sessions map[string]Session // by runtime
	runtimes map[string]string  // runtime by the session's own address
	keys     map[string]string  // runtime by the session's store key
	holds    map[string]Hold    // by store key
	places   map[string]*place  // by address
	tokens   map[string]keySet  // store keys of the holds, by token
}

type keySet map[string]struct{}

// place is what is known of one address.
type place struct {
	owner       Hold // zero: nobody
	subscribers map[string]Hold
}

func newDirectory() *directory {
	return &directory{
		sessions: map[string]Session{}, runtimes: map[string]string{}, keys: map[string]string{},
		holds: map[string]Hold{}, places: map[string]*place{}, tokens: map[string]keySet{},
	}
}

// apply takes one change of the state bucket; nil: the key is gone. It gives
// the session before and after, when the change is one of a session.
func (d *directory) apply(key string, value []byte) (before, after Session, err error) {
	if strings.HasPrefix(key, sessionPrefix) {
		return d.applySession(key, value)
	}
	return before, after, d.applyHold(key, value)
}

func (d *directory) applySession(key string, value []byte) (before, after Session, err error) {
	if value != nil {
		if err := json.Unmarshal(value, &after); err != nil {
			return before, after, fault.New(fault.Internal, "session %s: %w", key, err)
		}
	}
	before = d.sessions[d.keys[key]]
	if before.Token != "" {
		delete(d.sessions, before.Runtime)
		delete(d.runtimes, before.Address())
		delete(d.keys, key)
	}
	if after.Token != "" {
		d.sessions[after.Runtime] = after
		d.runtimes[after.Address()] = after.Runtime
		d.keys[key] = after.Runtime
	}
	return before, after, nil
}

func (d *directory) applyHold(key string, value []byte) error {
	if old, ok := d.holds[key]; ok {
		d.forget(key, old)
	}
	if value == nil {
		return nil
	}
	var h Hold
	if err := json.Unmarshal(value, &h); err != nil {
		return fault.New(fault.Internal, "address %s: %w", key, err)
	}
	d.holds[key] = h
	if d.tokens[h.Token] == nil {
		d.tokens[h.Token] = keySet{}
	}
	d.tokens[h.Token][key] = struct{}{}
	p := d.places[h.Address]
	if p == nil {
		p = &place{subscribers: map[string]Hold{}}
		d.places[h.Address] = p
	}
	if strings.HasPrefix(key, ownerPrefix) {
		p.owner = h
	} else {
		p.subscribers[h.Runtime] = h
	}
	return nil
}

func (d *directory) forget(key string, h Hold) {
	delete(d.holds, key)
	if delete(d.tokens[h.Token], key); len(d.tokens[h.Token]) == 0 {
		delete(d.tokens, h.Token)
	}
	p := d.places[h.Address]
	if strings.HasPrefix(key, ownerPrefix) {
		p.owner = Hold{}
	} else {
		delete(p.subscribers, h.Runtime)
	}
	if p.owner.Token == "" && len(p.subscribers) == 0 {
		delete(d.places, h.Address)
	}
}

// valid tells whether a hold's session is still the one that made it.
func (d *directory) valid(h Hold) bool {
	return h.Token != "" && d.sessions[h.Runtime].Token == h.Token
}

// holders appends the sessions that hold an address to dst, each once.
func (d *directory) holders(dst []Session, to string) []Session {
	direct, ok := d.runtimes[to]
	if ok {
		dst = append(dst, d.sessions[direct])
	}
	p := d.places[to]
	if p == nil {
		return dst
	}
	owned := d.valid(p.owner)
	if owned && p.owner.Runtime != direct {
		dst = append(dst, d.sessions[p.owner.Runtime])
	}
	for runtime, h := range p.subscribers {
		if runtime != direct && (!owned || runtime != p.owner.Runtime) && d.valid(h) {
			dst = append(dst, d.sessions[runtime])
		}
	}
	return dst
}

// owner of an address, when it has one that counts.
func (d *directory) owner(address string) (Hold, bool) {
	if p := d.places[address]; p != nil && d.valid(p.owner) {
		return p.owner, true
	}
	return Hold{}, false
}

// isHeld tells whether any session holds an address.
func (d *directory) isHeld(address string) bool {
	var few [4]Session
	return len(d.holders(few[:0], address)) > 0
}

// addresses is how many a session has.
func (d *directory) addresses(token string) int { return len(d.tokens[token]) }

// keysOf gives the store keys of a token's holds, in order.
func (d *directory) keysOf(token string) []string { return slices.Sorted(maps.Keys(d.tokens[token])) }

// allocatedUnder gives a session's addresses that were allocated under a key.
func (d *directory) allocatedUnder(token, key string) []string {
	var out []string
	for k := range d.tokens[token] {
		if h := d.holds[k]; h.Key != "" && h.Key == key {
			out = append(out, h.Address)
		}
	}
	return out
}

// orphans gives the holds whose session is gone, which an interrupted close has
// left: their tokens by store key.
func (d *directory) orphans() map[string]string {
	out := map[string]string{}
	for token, keys := range d.tokens {
		for key := range keys {
			if d.valid(d.holds[key]) {
				break // a token's holds are all alike
			}
			out[key] = token
		}
	}
	return out
}

// mayUse refuses an address to a runtime when it is another's: it stands in
// another runtime that has a session, or another session owns it or the data
// object that it belongs to. What nobody holds is free to use: older peers
// invent addresses.
func (d *directory) mayUse(runtime, name string) error {
	if address.Within(name, runtime) {
		return nil
	}
	if err := d.mayHold(runtime, name); err != nil {
		return err
	}
	u, err := address.Parse(name)
	if err != nil {
		return err
	}
	for _, a := range [...]string{name, base(u)} {
		if h, ok := d.owner(a); ok && h.Runtime != runtime {
			return fault.New(fault.Forbidden, "%s belongs to another session", name)
		}
	}
	return nil
}

// mayHold refuses an address inside another runtime that has a session: only
// that one may have its messages.
func (d *directory) mayHold(runtime, name string) error {
	u, err := address.Parse(name)
	if err != nil {
		return err
	}
	if s, ok := d.sessions[u.Runtime]; ok && s.Runtime != runtime {
		return fault.New(fault.Forbidden, "%s is in another runtime", name)
	}
	return nil
}

// base is the address that `/subscription`, `/changes` and the like stand
// below: the scheme, the domain and the first segment.
func base(u address.URL) string {
	start := len(u.Scheme) + len("://")
	if u.Scheme == "" || len(u.Text) < start {
		return u.Text
	}
	host, rest, ok := strings.Cut(u.Text[start:], "/")
	if !ok {
		return u.Text
	}
	segment, _, _ := strings.Cut(rest, "/")
	return u.Text[:start+len(host)+1+len(segment)]
}
