package msgnode

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/peerbus/peerbus/protocol/address"
)

// indexed is an entry as the index keeps it.
type indexed struct {
	text     string // the entry as it is stored
	url      string
	traits   unique.Handle[traits]
	deadline int64 // when a sweep has to look at it, in milliseconds since 1970
	place    int   // in the index's deadlines
}

// traits are what a search narrows down by, as JSON. Most entries share theirs with
// many others.
type traits struct{ resources, dataSchemes string }

func newIndexed(stored string, retention time.Duration) (*indexed, Entry, error) {
	var e Entry
	if err := json.Unmarshal([]byte(stored), &e); err != nil {
		return nil, e, err
	}
	in := &indexed{text: stored, url: e.URL, deadline: e.At + e.Expires*1000}
	if i := strings.Index(stored, e.URL); i >= 0 {
		in.url = stored[i : i+len(e.URL)] // no copy of its own
	}
	if !e.Live {
		in.deadline = e.At + retention.Milliseconds()
	}
	in.traits = unique.Make(traits{string(e.Value["resources"]), string(e.Value["dataSchemes"])})
	return in, e, nil
}

// entry reads the text again. It could be read when it came.
func (e *indexed) entry() (out Entry) {
	_ = json.Unmarshal([]byte(e.text), &out)
	return out
}

// schemeOf a URL; empty when it has none.
func schemeOf(url string) string {
	u, err := address.Parse(url)
	if err != nil {
		return ""
	}
	return u.Scheme
}

func (e *indexed) isOf(scheme string) bool {
	if scheme == "" {
		return true
	}
	own := schemeOf(e.url)
	return scheme == own || (scheme == schemeDataObject && own != defaultScheme)
}

// matcher tells of entries whether they match, reading each kind of traits once.
func (c criteria) matcher() func(*indexed) bool {
	if len(c.Resources)+len(c.DataSchemes) == 0 {
		return func(*indexed) bool { return true }
	}
	known := map[unique.Handle[traits]]bool{}
	return func(e *indexed) bool {
		matches, ok := known[e.traits]
		if !ok {
			t := e.traits.Value()
			matches = anyOf(c.Resources, texts(json.RawMessage(t.resources))) &&
				anyOf(c.DataSchemes, texts(json.RawMessage(t.dataSchemes)))
			known[e.traits] = matches
		}
		return matches
	}
}

func anyOf(wanted, have []string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(have, w) })
}

// entrySet is a set of entries, of which most have one. The zero value is empty.
type entrySet struct {
	one  *indexed
	more map[*indexed]struct{} // all of them, once there have been several
}

func (s entrySet) size() int {
	switch {
	case s.more != nil:
		return len(s.more)
	case s.one != nil:
		return 1
	}
	return 0
}

func (s entrySet) with(e *indexed) entrySet {
	switch {
	case s.more != nil:
		s.more[e] = struct{}{}
	case s.one == nil:
		s.one = e
	default:
		s = entrySet{more: map[*indexed]struct{}{s.one: {}, e: {}}}
	}
	return s
}

func (s entrySet) without(e *indexed) entrySet {
	if s.more != nil {
		delete(s.more, e)
	} else if s.one == e {
		s.one = nil
	}
	return s
}

// all of them, in no order.
func (s entrySet) all() iter.Seq[*indexed] {
	if s.more != nil {
		return maps.Keys(s.more)
	}
	return func(yield func(*indexed) bool) {
		if s.one != nil {
			yield(s.one)
		}
	}
}

// lowest keeps the first n, by URL, of those that it is offered, without sorting
// all of them.
type lowest struct {
	n    int
	best []*indexed
	full bool
	last string // the highest URL that may still be among them, when full
}

func (l *lowest) offer(e *indexed) {
	if l.full && e.url > l.last {
		return
	}
	if l.best = append(l.best, e); len(l.best) >= 2*max(l.n, 1) {
		l.sorted()
	}
}

func (l *lowest) sorted() []*indexed {
	slices.SortFunc(l.best, func(a, b *indexed) int { return strings.Compare(a.url, b.url) })
	if len(l.best) >= l.n && l.n > 0 {
		l.full, l.last = true, l.best[l.n-1].url
	}
	l.best = l.best[:min(l.n, len(l.best))]
	return l.best
}
