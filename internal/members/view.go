package members

import (
	"encoding/json"
	"slices"
	"strings"
)

// Keys of the bucket.
const (
	memberPrefix = "m."
	leadPrefix   = "lead."
)

func memberKey(m Member) string  { return memberPrefix + m.Kind + "." + m.ID }
func leadKey(kind string) string { return leadPrefix + kind }
func isMember(key string) bool   { return strings.HasPrefix(key, memberPrefix) }
func fits(key string, m Member) bool {
	if isMember(key) {
		return key == memberKey(m)
	}
	return key == leadKey(m.Kind)
}

// record is what a key has, and when it was written, by the clock of the view.
type record struct {
	member   Member
	revision uint64
	at       uint64
}

// view is the bucket as one member sees it. It is pure and has no lock.
type view struct {
	own     string // key of the member whose view it is
	misses  uint64
	most    int
	clock   uint64 // how many beats of its own have come through the bucket
	records map[string]record
}

func newView(self Member, l Limits) *view {
	return &view{own: memberKey(self), misses: uint64(l.Misses), most: l.Members, records: map[string]record{}} // positive
}

// again is a view that begins anew, with those that this one has: their beats are still to
// come.
func (v *view) again() *view {
	fresh := &view{own: v.own, misses: v.misses, most: v.most, records: map[string]record{}}
	for key, r := range v.records {
		if key != v.own {
			fresh.records[key] = record{member: r.member}
		}
	}
	return fresh
}

// written is what is known of one's own writes, beside what comes of them.
type written struct {
	last   uint64 // revision
	seen   uint64 // the last that has come
	unseen int    // how many were written since
}

// isStale takes a write and what has come by then. It tells whether the two are of
// different buckets: revisions go back, or none has come for as many writes as make
// another member gone.
func (w *written) isStale(revision, seen uint64, misses int) bool {
	back := revision <= w.last
	w.last = revision
	if seen != w.seen {
		w.seen, w.unseen = seen, 0
		return back
	}
	w.unseen++
	return back || w.unseen > misses
}

// put takes the value of a key. It tells whether who is there, or who leads, is
// another one since.
func (v *view) put(key string, value []byte, revision uint64) (changed bool, err error) {
	var m Member
	if err := json.Unmarshal(value, &m); err != nil {
		return false, err
	}
	if err := m.Check(); err != nil {
		return false, err
	}
	if !fits(key, m) {
		return false, nil // none of ours
	}
	before, known := v.records[key]
	if !known && len(v.records) >= v.most {
		return false, nil
	}
	if key == v.own {
		v.clock++
	}
	v.records[key] = record{member: m, revision: revision, at: v.clock}
	return !known || before.member != m, nil
}

// drop takes a key away.
func (v *view) drop(key string) (changed bool) {
	_, changed = v.records[key]
	delete(v.records, key)
	return changed
}

// lost gives the keys of members and leaders that are gone without a word.
func (v *view) lost() []string {
	var out []string
	for key, r := range v.records {
		if key != v.own && v.clock-r.at >= v.misses {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// of gives the members of a kind, in the order of their ids.
func (v *view) of(kind string) []Member {
	var out []Member
	for key, r := range v.records {
		if isMember(key) && r.member.Kind == kind {
			out = append(out, r.member)
		}
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// leader of a kind.
func (v *view) leader(kind string) (Member, bool) {
	r, ok := v.records[leadKey(kind)]
	return r.member, ok
}
