package msgnode

import (
	"encoding/json"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// Model is what a replica knows and decides, without sockets, store and clock: its
// directory, index, machine of sessions and pace, driven by hand. Programs that
// measure or simulate a domain use it, so that they run what a node runs. It is not
// for several goroutines.
//
// A verb gives the writes that a Node would make, and does not apply them: the
// caller says when they reach which replica.
type Model struct {
	limits    Limits
	directory *directory
	index     *index
	pace      *pace
}

// Write is one of a key; without Value the key is removed.
type Write struct {
	// Registry: to the bucket of the domain registry, not that of the state.
	Registry bool
	Key      string
	Value    []byte
}

// NewModel makes one that knows nothing.
func NewModel(l Limits) *Model {
	return &Model{limits: l, directory: newDirectory(), index: newIndex(l.EntryRetention), pace: newPace(&l)}
}

// Replica is another replica that sees the same writes: it shares what is known, and
// has a pace of its own.
func (m *Model) Replica() *Model {
	return &Model{limits: m.limits, directory: m.directory, index: m.index, pace: newPace(&m.limits)}
}

// Known is how many records of each kind a model has.
type Known struct{ Sessions, Owners, Subscribers, Entries int }

// Known counts them.
func (m *Model) Known() Known {
	k := Known{Sessions: len(m.directory.sessions), Entries: len(m.index.entries)}
	for _, h := range m.directory.holds {
		if h.owns() {
			k.Owners++
		} else {
			k.Subscribers++
		}
	}
	return k
}

// Socket is where a runtime's session is; empty: nowhere.
func (m *Model) Socket(runtime string) string { return m.directory.sessions[runtime].Socket }

// Apply takes a write as the watcher of a store does.
func (m *Model) Apply(writes ...Write) error {
	for _, w := range writes {
		var err error
		if w.Registry {
			err = m.index.apply(w.Key, w.Value)
		} else {
			_, _, err = m.directory.apply(w.Key, w.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Open is a runtime's `open`, or its `re-open` when it gives a token. fresh is the
// token of a session that is made. kept: the token was right. The writes are none
// when nothing changes. Error: TooMany for what is paced beyond ReopenWait.
func (m *Model) Open(runtime, given, fresh, socket string, now time.Time) (writes []Write, wait time.Duration, kept bool, err error) {
	e := event{kind: evOpen, runtime: runtime, socket: socket, given: given, fresh: fresh, flow: true}
	if given != "" {
		e.kind = evReopen
	}
	before := m.directory.sessions[runtime]
	if e.kind == evReopen && before.Token != given {
		var ok bool
		if wait, ok = m.pace.delay(runtime, now, m.limits.ReopenWait); !ok {
			return nil, 0, false, fault.New(fault.TooMany, "%s re-opens too often", runtime)
		}
	}
	writes, out := m.step(e)
	return writes, wait, out == outKept, nil
}

// Lost is the end of a socket.
func (m *Model) Lost(runtime, socket string, now time.Time) []Write {
	writes, _ := m.step(event{kind: evLost, runtime: runtime, socket: socket, now: now})
	return writes
}

// Gone is what a sweep writes of a session whose replica is gone.
func (m *Model) Gone(runtime, replica string, now time.Time) []Write {
	writes, _ := m.step(event{kind: evGone, runtime: runtime, replica: replica, now: now})
	return writes
}

func (m *Model) step(e event) ([]Write, outcome) {
	before := m.directory.sessions[e.runtime]
	after, out := next(before, e)
	if after == before {
		return nil, out
	}
	value, _ := json.Marshal(after) // strings and numbers have a JSON form
	return []Write{{Key: sessionKey(e.runtime), Value: value}}, out
}

// Own gives addresses to a runtime, as an allocation does.
func (m *Model) Own(runtime string, addresses ...string) []Write {
	return m.hold(runtime, addresses, ownerKey)
}

// Subscribe makes addresses lead to a runtime.
func (m *Model) Subscribe(runtime string, addresses ...string) []Write {
	return m.hold(runtime, addresses, func(a string) string { return holdKey(a, runtime) })
}

func (m *Model) hold(runtime string, addresses []string, key func(string) string) []Write {
	token := m.directory.sessions[runtime].Token
	var writes []Write
	for _, a := range addresses {
		if m.directory.hold(key(a)).Token == token && token != "" {
			continue
		}
		value, _ := json.Marshal(Hold{Address: a, Runtime: runtime, Token: token})
		writes = append(writes, Write{Key: key(a), Value: value})
	}
	return writes
}

// Unsubscribe takes subscriptions of a runtime back.
func (m *Model) Unsubscribe(runtime string, addresses ...string) []Write {
	return m.drop(addresses, func(a string) string { return holdKey(a, runtime) })
}

// Free gives addresses back.
func (m *Model) Free(addresses ...string) []Write { return m.drop(addresses, ownerKey) }

func (m *Model) drop(addresses []string, key func(string) string) []Write {
	var writes []Write
	for _, a := range addresses {
		if m.directory.holds[key(a)] != nil {
			writes = append(writes, Write{Key: key(a)})
		}
	}
	return writes
}

// Register makes an entry of the domain registry out of the value of a `create`.
func (m *Model) Register(runtime string, value []byte, now time.Time) (Write, error) {
	fields, err := registryBody{Value: value}.object()
	if err != nil {
		return Write{}, err
	}
	e, err := newEntry(fields, runtime, now, &m.limits)
	if err != nil {
		return Write{}, err
	}
	return entryWrite(e)
}

// Update is a change of an entry's fields; without any it is a keep-alive. Error:
// NotFound.
func (m *Model) Update(url string, fields []byte, now time.Time) (Write, error) {
	e, there := m.index.one(query{url: url})
	if !there {
		return Write{}, errNoEntry(url)
	}
	changes, err := registryBody{Value: fields}.changes()
	if err != nil {
		return Write{}, err
	}
	if e, err = e.merged(changes, now, &m.limits); err != nil {
		return Write{}, err
	}
	return entryWrite(e)
}

func entryWrite(e Entry) (Write, error) {
	value, err := json.Marshal(e)
	return Write{Registry: true, Key: hashed(e.URL), Value: value}, err
}

// Read tells how many entries the resource of a `read` finds.
func (m *Model) Read(resource string) (int, error) {
	q, err := parseQuery(resource)
	if err != nil {
		return 0, err
	}
	if e, ok := m.index.one(q); ok {
		_ = e.view()
		return 1, nil
	}
	return len(m.index.search(q, criteria{}, &m.limits)), nil
}

// Holders tells how many sessions hold an address.
func (m *Model) Holders(address string) int {
	return len(m.directory.holders(nil, address))
}

// Due tells how many entries and holds a sweep finds to change.
func (m *Model) Due(now time.Time) int {
	return len(m.index.overdue(now)) + len(m.directory.orphans())
}
