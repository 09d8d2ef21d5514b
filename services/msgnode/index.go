package msgnode

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// index is the domain registry in memory. It is pure; the Node's mu guards it.
type index struct {
	entries map[string]*indexed     // by URL
	urls    map[string]string       // by store key
	found   map[tag]map[string]bool // URLs by field and value
}

// tag is a value by which entries are found.
type tag struct {
	by    field
	value string
}

// indexed is an entry with what is searched for read out of it.
type indexed struct {
	Entry
	scheme      string
	resources   []string
	dataSchemes []string
}

func newIndex() *index {
	return &index{entries: map[string]*indexed{}, urls: map[string]string{}, found: map[tag]map[string]bool{}}
}

// apply takes one change of the registry's bucket; nil: the key is gone.
func (x *index) apply(key string, value []byte) error {
	if old := x.entries[x.urls[key]]; old != nil {
		x.forget(key, old)
	}
	if value == nil {
		return nil
	}
	var e Entry
	if err := json.Unmarshal(value, &e); err != nil {
		return fault.New(fault.Internal, "entry %s: %w", key, err)
	}
	in := newIndexed(e)
	x.entries[e.URL], x.urls[key] = in, e.URL
	for _, t := range in.tags() {
		if x.found[t] == nil {
			x.found[t] = map[string]bool{}
		}
		x.found[t][e.URL] = true
	}
	return nil
}

func (x *index) forget(key string, old *indexed) {
	delete(x.entries, old.URL)
	delete(x.urls, key)
	for _, t := range old.tags() {
		if delete(x.found[t], old.URL); len(x.found[t]) == 0 {
			delete(x.found, t)
		}
	}
}

func newIndexed(e Entry) *indexed {
	in := &indexed{Entry: e, resources: texts(e.Value["resources"]), dataSchemes: texts(e.Value["dataSchemes"])}
	if u, err := address.Parse(e.URL); err == nil {
		in.scheme = u.Scheme
	}
	return in
}

// tags are the values by which an entry is found.
func (e *indexed) tags() []tag {
	tags := []tag{{byScheme, e.scheme}}
	if e.scheme != defaultScheme {
		tags = append(tags, tag{byScheme, schemeDataObject})
	}
	if user := text(e.Value["user"]); user != "" {
		tags = append(tags, tag{byUser, user}, tag{byIdentifier, user})
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

func (e *indexed) isOf(scheme string) bool {
	return scheme == "" || scheme == e.scheme || (scheme == schemeDataObject && e.scheme != defaultScheme)
}

func (e *indexed) matches(c criteria) bool {
	return anyOf(c.Resources, e.resources) && anyOf(c.DataSchemes, e.dataSchemes)
}

func anyOf(wanted, have []string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(have, w) })
}

// one gives the entry of a URL, in the scheme when one is asked for.
func (x *index) one(q query) (Entry, bool) {
	e := x.entries[q.url]
	if q.url == "" || e == nil || !e.isOf(q.scheme) {
		return Entry{}, false
	}
	return e.Entry, true
}

// search gives the entries that match, in the order of their URLs, up to the
// bounds of the answer.
func (x *index) search(q query, c criteria, l *Limits) []Entry {
	var out []Entry
	size := 0
	for _, url := range slices.Sorted(maps.Keys(x.found[tag{q.by, q.value}])) {
		e := x.entries[url]
		if !e.isOf(q.scheme) || !e.matches(c) {
			continue
		}
		for name, raw := range e.Value {
			size += len(name) + len(raw)
		}
		if len(out) >= l.SearchResults || size > l.SearchBytes {
			break
		}
		out = append(out, e.Entry)
	}
	return out
}

// named gives the URLs of the entries with a name.
func (x *index) named(name string) []string {
	return slices.Sorted(maps.Keys(x.found[tag{byName, name}]))
}

// texts reads a list of strings; what is none is empty.
func texts(raw json.RawMessage) []string {
	var l textList
	if len(raw) == 0 || l.UnmarshalJSON(raw) != nil {
		return nil
	}
	return l
}
