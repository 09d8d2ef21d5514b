package msgnode

import (
	"encoding/json"
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
// and has no lock; the Node's mu guards it. Every replica has all of it, so texts
// that records share are kept once.
type directory struct {
	sessions map[string]Session  // by runtime
	keys     map[entryID]string  // runtime by the session's store key
	holds    map[string]*held    // by store key
	places   map[string][]*held  // by address; its owner first
	tokens   map[string][]*held  // by token
	orphaned map[string]struct{} // tokens that have holds and no session
}

// held is a Hold in the directory, with its places in two lists, so that none is
// searched.
type held struct {
	Hold
	key       string // in the store
	ofToken   int
	ofAddress int
}

func (h *held) owns() bool { return strings.HasPrefix(h.key, ownerPrefix) }

func newDirectory() *directory {
	return &directory{
		sessions: map[string]Session{}, keys: map[entryID]string{},
		holds: map[string]*held{}, places: map[string][]*held{}, tokens: map[string][]*held{},
		orphaned: map[string]struct{}{},
	}
}

// apply takes one change of the state bucket; nil: the key is gone. It gives
// the session before and after, when the change is one of a session.
func (d *directory) apply(key string, value []byte) (before, after Session, err error) {
	if session, ok := strings.CutPrefix(key, sessionPrefix); ok {
		return d.applySession(session, value)
	}
	return before, after, d.applyHold(key, value)
}

func (d *directory) applySession(key string, value []byte) (before, after Session, err error) {
	if value != nil {
		if err := json.Unmarshal(value, &after); err != nil {
			return before, after, fault.New(fault.Internal, "session %s: %w", key, err)
		}
	}
	id := idOf(key)
	before = d.sessions[d.keys[id]]
	after.Runtime, after.Token = same(after.Runtime, before.Runtime), same(after.Token, before.Token)
	if before.Token != "" {
		delete(d.sessions, before.Runtime)
		delete(d.keys, id)
	}
	if after.Token != "" {
		d.sessions[after.Runtime] = after
		d.keys[id] = after.Runtime
	}
	d.looseEnds(before, after)
	return before, after, nil
}

// looseEnds notes whether the holds of a session's tokens count.
func (d *directory) looseEnds(before, after Session) {
	if before.Token != after.Token && len(d.tokens[before.Token]) > 0 {
		d.orphaned[before.Token] = struct{}{}
	}
	delete(d.orphaned, after.Token)
}

// same gives the text that is there already, when it is the same.
func same(fresh, there string) string {
	if fresh == there {
		return there
	}
	return fresh
}

func (d *directory) applyHold(key string, value []byte) error {
	if old := d.holds[key]; old != nil {
		d.forget(old)
	}
	if value == nil {
		return nil
	}
	h := &held{key: key}
	if err := json.Unmarshal(value, &h.Hold); err != nil {
		return fault.New(fault.Internal, "address %s: %w", key, err)
	}
	s := d.sessions[h.Runtime]
	h.Runtime, h.Token = same(h.Runtime, s.Runtime), same(h.Token, s.Token)
	d.add(h)
	return nil
}

func (d *directory) add(h *held) {
	d.holds[h.key] = h
	h.ofToken = len(d.tokens[h.Token])
	d.tokens[h.Token] = append(d.tokens[h.Token], h)
	if !d.valid(h.Hold) {
		d.orphaned[h.Token] = struct{}{}
	}
	at := d.places[h.Address]
	if at == nil {
		at = make([]*held, 0, 1) // most have one
	}
	h.ofAddress = len(at)
	if at = append(at, h); h.owns() {
		at[0], at[h.ofAddress] = h, at[0]
		at[h.ofAddress].ofAddress, h.ofAddress = h.ofAddress, 0
	}
	d.places[h.Address] = at
}

func (d *directory) forget(h *held) {
	delete(d.holds, h.key)
	of := d.tokens[h.Token]
	last := of[len(of)-1]
	of[h.ofToken], last.ofToken = last, h.ofToken
	if keep(d.tokens, h.Token, of[:len(of)-1]); len(of) == 1 {
		delete(d.orphaned, h.Token)
	}
	at := d.places[h.Address]
	last = at[len(at)-1]
	at[h.ofAddress], last.ofAddress = last, h.ofAddress
	keep(d.places, h.Address, at[:len(at)-1])
}

// keep shortens a list by the last one, or removes it.
func keep(lists map[string][]*held, of string, list []*held) {
	list[:len(list)+1][len(list)] = nil // it has moved
	if len(list) == 0 {
		delete(lists, of)
		return
	}
	lists[of] = list
}

// hold gives the Hold of a store key; the zero one when there is none.
func (d *directory) hold(key string) Hold {
	if h := d.holds[key]; h != nil {
		return h.Hold
	}
	return Hold{}
}

// valid tells whether a hold's session is still the one that made it.
func (d *directory) valid(h Hold) bool {
	return h.Token != "" && d.sessions[h.Runtime].Token == h.Token
}

// holders appends the sessions that hold an address to dst, each once.
func (d *directory) holders(dst []Session, to string) []Session {
	direct := d.addressed(to)
	if direct.Token != "" {
		dst = append(dst, direct)
	}
	owner := ""
	for _, h := range d.places[to] {
		if h.Runtime == direct.Runtime || h.Runtime == owner || !d.valid(h.Hold) {
			continue
		}
		if h.owns() {
			owner = h.Runtime
		}
		dst = append(dst, d.sessions[h.Runtime])
	}
	return dst
}

// around appends the session of the runtime that an address is below to dst, if it has
// announced flows: its bus is the other end of a flow, and knows what there is below its
// URL without a subscription of each address. Stubs and connections are its own matter, and
// so is a flow that begins at that runtime. Nobody else could subscribe the address (mayHold).
func (d *directory) around(dst []Session, to, flow string) []Session {
	u, err := address.Parse(to)
	if err != nil || u.Kind != address.Runtime || u.Text == u.Runtime || u.Runtime == flow {
		return dst
	}
	if s := d.sessions[u.Runtime]; s.Flow {
		dst = append(dst, s)
	}
	return dst
}

// addressed gives the session whose own address it is; the zero one when it is
// another address.
func (d *directory) addressed(to string) Session {
	i := strings.LastIndexByte(to, '/')
	if i < 0 {
		return Session{}
	}
	if s := d.sessions[to[:i]]; s.Token != "" && s.Token == to[i+1:] {
		return s
	}
	return Session{}
}

// owner of an address, when it has one that counts.
func (d *directory) owner(address string) (Hold, bool) {
	if at := d.places[address]; len(at) > 0 && at[0].owns() && d.valid(at[0].Hold) {
		return at[0].Hold, true
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
func (d *directory) keysOf(token string) []string {
	keys := make([]string, 0, len(d.tokens[token]))
	for _, h := range d.tokens[token] {
		keys = append(keys, h.key)
	}
	slices.Sort(keys)
	return keys
}

// allocatedUnder gives a session's addresses that were allocated under a key.
func (d *directory) allocatedUnder(token, key string) []string {
	var out []string
	for _, h := range d.tokens[token] {
		if h.Key != "" && h.Key == key {
			out = append(out, h.Address)
		}
	}
	return out
}

// orphans gives the holds whose session is gone, which an interrupted close has
// left: their tokens by store key.
func (d *directory) orphans() map[string]string {
	out := map[string]string{}
	for token := range d.orphaned {
		for _, h := range d.tokens[token] {
			if !d.valid(h.Hold) {
				out[h.key] = token
			}
		}
	}
	return out
}

// mayUse refuses an address to a runtime when it is another's: it stands in
// another runtime that has a session, or another session owns it or the data
// object that it belongs to. What nobody holds is free to use: older peers
// invent addresses. All of a Connection object is its reporter's; the observer
// of another object may write as `<obj>`, when it changes a child.
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
	object := base(u)
	if d.isOthers(name, runtime) || d.isOthers(object, runtime) ||
		u.Kind == address.ConnectionData && d.isOthers(object+address.SubscriptionSuffix, runtime) {
		return fault.New(fault.Forbidden, "%s belongs to another session", name)
	}
	return nil
}

func (d *directory) isOthers(name, runtime string) bool {
	h, ok := d.owner(name)
	return ok && h.Runtime != runtime
}

// mayReport tells whether an address is `<obj>/subscription` of a data object that nobody
// owns, and no other session reports: the reporter alone subscribes that (wire contract,
// section 7).
func (d *directory) mayReport(runtime, name string) bool {
	return d.isOnlyReported(name) && d.mayUse(runtime, name) == nil
}

// isOnlyReported tells whether an address is `<obj>/subscription` of a data object that
// nobody owns itself, as one that was allocated is.
func (d *directory) isOnlyReported(name string) bool {
	if !isReporters(name) {
		return false
	}
	_, owned := d.owner(strings.TrimSuffix(name, address.SubscriptionSuffix))
	return !owned
}

// isReporters tells whether an address is `<obj>/subscription` of a data object.
func isReporters(name string) bool {
	u, err := address.Parse(name)
	return err == nil && (u.Kind == address.ConnectionData || u.Kind == address.DataObject) &&
		name == base(u)+address.SubscriptionSuffix
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
