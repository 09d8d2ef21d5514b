package msgnode

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// index is the domain registry in memory. It is pure; the Node's mu guards it. Every
// replica has all of it, so it keeps an entry as the text that is stored, and beside
// that only what is looked at without reading the text.
type index struct {
	retention time.Duration
	entries   map[entryID]*indexed
	found     map[tag]entrySet // by field and value
	due       deadlines
}

// entryID is the store key of an entry: the hash of its URL.
type entryID [16]byte

// idOf reads a store key; what is none of ours gets an id all the same.
func idOf(key string) (id entryID) {
	if len(key) != 2*len(id) {
		return urlID(key)
	}
	if _, err := hex.Decode(id[:], []byte(key)); err != nil {
		return urlID(key)
	}
	return id
}

func urlID(url string) entryID {
	sum := sha256.Sum256([]byte(url))
	return entryID(sum[:16])
}

// tag is a value by which entries are found.
type tag struct {
	by    field
	value string
}

func newIndex(retention time.Duration) *index {
	return &index{retention: retention, entries: map[entryID]*indexed{}, found: map[tag]entrySet{}}
}

// apply takes one change of the registry's bucket; nil: the key is gone.
func (x *index) apply(key string, value []byte) error {
	id := idOf(key)
	if old := x.entries[id]; old != nil {
		x.forget(id, old)
	}
	if value == nil {
		return nil
	}
	in, e, err := newIndexed(string(value), x.retention)
	if err != nil {
		return fault.New(fault.Internal, "entry %s: %w", key, err)
	}
	x.entries[id] = in
	x.due.add(in)
	for _, t := range tagsOf(e) {
		set, there := x.found[t]
		if !there {
			t.value = strings.Clone(t.value) // it outlives the entry
		}
		x.found[t] = set.with(in)
	}
	return nil
}

func (x *index) forget(id entryID, old *indexed) {
	delete(x.entries, id)
	x.due.remove(old)
	for _, t := range tagsOf(old.entry()) {
		if set := x.found[t].without(old); set.size() == 0 {
			delete(x.found, t)
		} else {
			x.found[t] = set
		}
	}
}

// tagsOf are the values by which an entry is found.
func tagsOf(e Entry) []tag {
	scheme := schemeOf(e.URL)
	tags := []tag{{byScheme, scheme}}
	if scheme != defaultScheme {
		tags = append(tags, tag{byScheme, schemeDataObject})
	}
	if user := text(e.Value["user"]); user != "" {
		tags = append(tags, tag{byUser, user})
		if i := strings.LastIndexByte(user, '/'); i >= 0 {
			tags = append(tags, tag{byIdentifier, user[i+1:]})
		}
	}
	for by, value := range map[field]string{byGUID: text(e.Value["guid"]), byName: text(e.Value["name"])} {
		if value != "" {
			tags = append(tags, tag{by, value})
		}
	}
	return tags
}

// one gives the entry of a URL, in the scheme when one is asked for.
func (x *index) one(q query) (Entry, bool) {
	if q.url == "" {
		return Entry{}, false
	}
	e := x.entries[urlID(q.url)]
	if e == nil || !e.isOf(q.scheme) {
		return Entry{}, false
	}
	return e.entry(), true
}

// search gives the entries that match, in the order of their URLs, up to the
// bounds of the answer.
func (x *index) search(q query, c criteria, l *Limits) []Entry {
	var out []Entry
	size := 0
	for _, in := range x.candidates(q, c, l.SearchResults) {
		e := in.entry()
		for name, raw := range e.Value {
			size += len(name) + len(raw)
		}
		if size > l.SearchBytes {
			break
		}
		out = append(out, e)
	}
	return out
}

// candidates are the first n that match, by URL. Whoever is known to a provider by
// his whole URL is found by that as well.
func (x *index) candidates(q query, c criteria, n int) []*indexed {
	best := lowest{n: n}
	narrowed := c.matcher()
	look := func(by field) {
		for e := range x.found[tag{by, q.value}].all() {
			if (by == byScheme || e.isOf(q.scheme)) && narrowed(e) {
				best.offer(e)
			}
		}
	}
	look(q.by)
	if q.by == byIdentifier {
		look(byUser)
	}
	return best.sorted()
}

// overdue gives the URLs of the entries that time has come for: those that a sweep
// disconnects or removes.
func (x *index) overdue(now time.Time) []string { return x.due.until(now.UnixMilli()) }

// named gives the URLs of the entries with a name.
func (x *index) named(name string) []string {
	var urls []string
	for e := range x.found[tag{byName, name}].all() {
		urls = append(urls, e.url)
	}
	slices.Sort(urls)
	return urls
}

// texts reads a list of strings; what is none is empty.
func texts(raw json.RawMessage) []string {
	var l textList
	if len(raw) == 0 || l.UnmarshalJSON(raw) != nil {
		return nil
	}
	return l
}
