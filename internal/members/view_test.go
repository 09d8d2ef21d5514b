package members

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

func member(kind, id string) Member { return Member{Kind: kind, ID: id, Addr: "127.0.0.1:1"} }

// bucket writes keys into a view, one revision after the other.
type bucket struct {
	t        *testing.T
	view     *view
	revision uint64
}

func (b *bucket) put(key string, m Member) bool {
	b.t.Helper()
	value, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	b.revision++
	changed, err := b.view.put(key, value, b.revision)
	if err != nil {
		b.t.Fatal(err)
	}
	return changed
}

func (b *bucket) beat(m Member) bool { b.t.Helper(); return b.put(memberKey(m), m) }

func newBucket(t *testing.T, self Member, misses int) *bucket {
	return &bucket{t: t, view: newView(self, Limits{Misses: misses}.orDefaults())}
}

func TestAMemberIsGoneAfterSoManyBeatsOfOnesOwn(t *testing.T) {
	me, other := member("bus", "me"), member("bus", "other")
	b := newBucket(t, me, 3)
	b.beat(me)
	b.beat(other)
	for range 2 {
		b.beat(me)
		if lost := b.view.lost(); len(lost) != 0 {
			t.Fatalf("lost too early: %v", lost)
		}
	}
	b.beat(other) // it was only slow
	b.beat(me)
	b.beat(me)
	if lost := b.view.lost(); len(lost) != 0 {
		t.Fatalf("lost in spite of its beat: %v", lost)
	}
	b.beat(me)
	if lost := b.view.lost(); !slices.Equal(lost, []string{"m.bus.other"}) {
		t.Fatalf("lost %v", lost)
	}
}

func TestNobodyIsGoneWhileOnesOwnBeatsDoNotComeThrough(t *testing.T) {
	me, other := member("bus", "me"), member("bus", "other")
	b := newBucket(t, me, 1)
	b.beat(me)
	b.beat(other)
	if lost := b.view.lost(); len(lost) != 0 { // however long it takes
		t.Fatalf("lost %v", lost)
	}
}

func TestAChangeIsOneOfWhoIsThereNotABeat(t *testing.T) {
	me, other := member("bus", "me"), member("bus", "other")
	b := newBucket(t, me, 3)
	if !b.beat(me) || !b.beat(other) {
		t.Error("a new member is no change")
	}
	if b.beat(other) {
		t.Error("a beat is a change")
	}
	other.Leaving = true
	if !b.beat(other) {
		t.Error("that a member leaves is no change")
	}
	if !b.view.drop(memberKey(other)) || b.view.drop(memberKey(other)) {
		t.Error("the removal is a change once")
	}
}

// Those that were known before another watch are there until they miss their beats.
func TestAViewThatBeginsAnew(t *testing.T) {
	me, other, dead := member("bus", "me"), member("bus", "other"), member("bus", "dead")
	b := newBucket(t, me, 3)
	b.beat(me)
	b.beat(other)
	b.beat(dead)
	b.view = b.view.again()
	if n := len(b.view.of("bus")); n != 2 || b.view.clock != 0 {
		t.Fatalf("%d others at %d", n, b.view.clock)
	}
	for range 3 {
		b.beat(me)
		b.beat(other)
	}
	if lost := b.view.lost(); !slices.Equal(lost, []string{"m.bus.dead"}) {
		t.Errorf("lost %v", lost)
	}
}

func TestWritten(t *testing.T) {
	var w written
	for i, step := range []struct {
		revision, seen uint64
		stale          bool
	}{
		{5, 0, false}, {6, 5, false}, {8, 6, false}, {9, 6, false}, {12, 6, false}, {13, 6, true}, // more than two have not come
		{14, 13, false}, {3, 14, true}, {4, 0, false}, {5, 4, false},
	} {
		if got := w.isStale(step.revision, step.seen, 2); got != step.stale {
			t.Errorf("write %d at %d, with %d seen: %v", i, step.revision, step.seen, got)
		}
	}
}

func TestTheKeyOfAnotherIsNotTaken(t *testing.T) {
	me, other := member("bus", "me"), member("bus", "other")
	b := newBucket(t, me, 3)
	b.put("m.bus.other", me)
	b.put("lead.registry", other)
	if got := b.view.of("bus"); len(got) != 0 {
		t.Errorf("members %v", got)
	}
	if _, ok := b.view.leader("registry"); ok {
		t.Error("a bus leads the registries")
	}
}

func TestTheViewIsBounded(t *testing.T) {
	me := member("bus", "me")
	b := &bucket{t: t, view: newView(me, Limits{Members: 2}.orDefaults())}
	b.beat(me)
	b.beat(member("bus", "a"))
	b.beat(member("bus", "b"))
	if n := len(b.view.of("bus")); n != 2 {
		t.Errorf("%d members, want 2", n)
	}
}

func TestOwnerMovesTheShareOfOneAlone(t *testing.T) {
	all := []Member{member("bus", "a"), member("bus", "b"), member("bus", "c")}
	share := map[string]int{}
	for i := range 3000 {
		key := fmt.Sprintf("hyperty-runtime://example.org/%d", i)
		before, ok := Owner(all, key)
		if !ok {
			t.Fatal("no owner")
		}
		share[before.ID]++
		after, _ := Owner(slices.Concat(all[:1], all[2:]), key)
		if before.ID != "b" && after.ID != before.ID {
			t.Fatalf("%s moved from %s to %s when b went", key, before.ID, after.ID)
		}
	}
	for id, n := range share {
		if n < 850 || n > 1150 {
			t.Errorf("%s owns %d of 3000", id, n)
		}
	}
}

func TestOwnerLeavesOutWhoLeaves(t *testing.T) {
	a, b := member("bus", "a"), member("bus", "b")
	a.Leaving = true
	if m, ok := Owner([]Member{a, b}, "k"); !ok || m.ID != "b" {
		t.Errorf("%v %v", m, ok)
	}
	b.Leaving = true
	if _, ok := Owner([]Member{a, b}, "k"); !ok {
		t.Error("nobody, when all leave")
	}
	if _, ok := Owner(nil, "k"); ok {
		t.Error("an owner among none")
	}
}

func FuzzPut(f *testing.F) {
	f.Add("m.bus.a", []byte(`{"kind":"bus","id":"a","addr":"127.0.0.1:1"}`))
	f.Add("lead.bus", []byte(`{"kind":"bus","id":"a","addr":"127.0.0.1:1"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		v := newView(member("bus", "me"), DefaultLimits())
		if _, err := v.put(key, value, 1); err != nil {
			return
		}
		for k, r := range v.records {
			if err := r.member.Check(); err != nil || !fits(k, r.member) {
				t.Errorf("%s has %v: %v", k, r.member, err)
			}
		}
	})
}
