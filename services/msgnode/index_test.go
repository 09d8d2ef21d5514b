package msgnode

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// put an entry of hyperty://d/<name>, with more fields.
func (x *index) put(t *testing.T, e Entry, fields string) {
	t.Helper()
	var value object
	if err := json.Unmarshal([]byte(`{"url":"`+e.URL+`"`+fields+`}`), &value); err != nil {
		t.Fatal(err)
	}
	e.Value = value
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.apply(hashed(e.URL), raw); err != nil {
		t.Fatal(err)
	}
}

func urls(entries []Entry) string {
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimPrefix(e.URL, "hyperty://d/"))
	}
	return strings.Join(out, " ")
}

func TestSearchGivesTheFirstByURL(t *testing.T) {
	x, l := newIndex(time.Hour), DefaultLimits()
	l.SearchResults = 3
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(100) {
		x.put(t, Entry{URL: fmt.Sprintf("hyperty://d/%02d", i)}, fmt.Sprintf(`,"resources":["r%d"]`, i%7))
	}
	for _, tc := range []struct {
		c    criteria
		want string
	}{
		{criteria{}, "00 01 02"},
		{criteria{Resources: textList{"r3"}}, "03 10 17"},
		{criteria{Resources: textList{"r3", "r4"}}, "03 04 10"},
		{criteria{DataSchemes: textList{"comm"}}, ""},
	} {
		if got := urls(x.search(query{scheme: "hyperty", by: byScheme, value: "hyperty"}, tc.c, &l)); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.c, got, tc.want)
		}
	}
	l.SearchBytes = 80 // two of them
	if got := urls(x.search(query{by: byScheme, value: "hyperty"}, criteria{}, &l)); got != "00 01" {
		t.Errorf("within the bytes: %s", got)
	}
}

func TestAUserIsFoundByEitherName(t *testing.T) {
	x, l := newIndex(time.Hour), DefaultLimits()
	x.put(t, Entry{URL: "hyperty://d/1"}, `,"user":"user://d/alice"`)
	x.put(t, Entry{URL: "hyperty://d/2"}, `,"user":"user://d/alice","name":"n","guid":"g"`)
	x.put(t, Entry{URL: "hyperty://d/3"}, `,"user":"alice"`)
	for value, want := range map[string]string{"alice": "1 2 3", "user://d/alice": "1 2", "d/alice": ""} {
		if got := urls(x.search(query{by: byIdentifier, value: value}, criteria{}, &l)); got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
	if got := x.named("n"); !slices.Equal(got, []string{"hyperty://d/2"}) {
		t.Error(got)
	}
}

func TestAnEntryIsDueWhenItsTimeHasCome(t *testing.T) {
	x := newIndex(100 * time.Second)
	due := func(after int64) string {
		list := x.overdue(time.UnixMilli(after * 1000))
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	x.put(t, Entry{URL: "a", Live: true, Expires: 10}, "")
	x.put(t, Entry{URL: "b", Live: true, Expires: 20}, "")
	x.put(t, Entry{URL: "c", Expires: 5}, "") // disconnected, and kept for a while
	for after, want := range map[int64]string{9: "", 10: "a", 20: "a b", 99: "a b", 100: "a b c"} {
		if got := due(after); got != want {
			t.Errorf("after %d s: %q, want %q", after, got, want)
		}
	}
	x.put(t, Entry{URL: "a", Live: true, Expires: 10, At: 15_000}, "") // refreshed
	if got := due(24); got != "b" {
		t.Errorf("after a refresh: %q", got)
	}
	for _, url := range []string{"a", "b", "c"} {
		if err := x.apply(hashed(url), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := due(1e6); got != "" || len(x.found) != 0 || len(x.entries) != 0 {
		t.Errorf("left behind: %q, %+v", got, x)
	}
}

// Any order of writes leaves a directory that says what the records say.
func TestADirectorySaysWhatItsRecordsSay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	d, sessions, holds := newDirectory(), map[string]Session{}, map[string]Hold{}
	name := func(prefix string) string { return fmt.Sprint(prefix, random.IntN(4)) }
	apply := func(key string, v any) {
		var raw []byte
		if v != nil {
			raw, _ = json.Marshal(v)
		}
		if _, _, err := d.apply(key, raw); err != nil {
			t.Fatal(err)
		}
	}
	for range 20_000 {
		runtime, addr := name("r"), name("a")
		h := Hold{Address: addr, Runtime: runtime, Token: runtime + name("t")}
		key := holdKey(addr, runtime)
		if random.IntN(3) == 0 {
			key = ownerKey(addr)
		}
		switch random.IntN(4) {
		case 0:
			s := Session{Runtime: runtime, Token: runtime + name("t"), Socket: name("s")}
			sessions[runtime] = s
			apply(sessionKey(runtime), s)
		case 1:
			delete(sessions, runtime)
			apply(sessionKey(runtime), nil)
		case 2:
			holds[key] = h
			apply(key, h)
		case 3:
			delete(holds, key)
			apply(key, nil)
		}
		checkDirectory(t, d, sessions, holds)
	}
}

func checkDirectory(t *testing.T, d *directory, sessions map[string]Session, holds map[string]Hold) {
	t.Helper()
	counts := func(h Hold) bool { return sessions[h.Runtime].Token == h.Token }
	want := map[string]map[string]bool{} // runtimes by address
	orphans, tokens := 0, map[string]int{}
	for key, h := range holds {
		tokens[h.Token]++
		if !counts(h) {
			orphans++
			continue
		}
		if want[h.Address] == nil {
			want[h.Address] = map[string]bool{}
		}
		want[h.Address][h.Runtime] = true
		if owner, ok := d.owner(h.Address); strings.HasPrefix(key, ownerPrefix) && (!ok || owner != h) {
			t.Fatalf("%s is owned by %+v, want %+v", h.Address, owner, h)
		}
	}
	for i := range 4 {
		a := fmt.Sprint("a", i)
		got := map[string]bool{}
		for _, s := range d.holders(nil, a) {
			if got[s.Runtime] {
				t.Fatalf("%s is there twice", s.Runtime)
			}
			got[s.Runtime] = true
		}
		if len(got) != len(want[a]) {
			t.Fatalf("%s is held by %v, want %v", a, got, want[a])
		}
	}
	if len(d.orphans()) != orphans || len(d.holds) != len(holds) || len(d.tokens) != len(tokens) || len(d.sessions) != len(sessions) {
		t.Fatalf("%d orphans, want %d; %+v", len(d.orphans()), orphans, d)
	}
	for token, n := range tokens {
		if d.addresses(token) != n || len(d.keysOf(token)) != n {
			t.Fatalf("%s has %d, want %d", token, d.addresses(token), n)
		}
	}
}

// Any order of writes leaves an index that finds what a look at all entries finds.
func TestAnIndexFindsWhatIsThere(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const retention = 50 * time.Second
	x, all, l := newIndex(retention), map[string]Entry{}, DefaultLimits()
	l.SearchResults = 5
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	schemes := []string{"hyperty", "comm", "ctx"}
	users := []string{"", "user://d/alice", "alice", "user://e/alice", "user://d/"}
	lists := []string{"", `["a"]`, `["a","b"]`, `"b"`, `7`}
	for range 5000 {
		url := fmt.Sprintf("%s://d/%d", pick(schemes...), random.IntN(8))
		if random.IntN(3) == 0 {
			delete(all, url)
			if err := x.apply(hashed(url), nil); err != nil {
				t.Fatal(err)
			}
		} else {
			value := object{"url": quoted(url), "user": quoted(pick(users...)), "name": quoted(pick("", "n", "m")), "guid": quoted(pick("", "g"))}
			for _, name := range []string{"resources", "dataSchemes"} {
				if list := pick(lists...); list != "" {
					value[name] = json.RawMessage(list)
				}
			}
			e := Entry{URL: url, Value: value, Live: random.IntN(2) == 0, Expires: random.Int64N(100), At: random.Int64N(100_000), By: "r"}
			raw, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			all[url] = e
			if err := x.apply(hashed(url), raw); err != nil {
				t.Fatal(err)
			}
		}
		checkIndex(t, x, all, &l, retention, random)
	}
}

func checkIndex(t *testing.T, x *index, all map[string]Entry, l *Limits, retention time.Duration, random *rand.Rand) {
	t.Helper()
	now := time.UnixMilli(random.Int64N(200_000))
	q := query{scheme: []string{"", "hyperty", "comm", schemeDataObject}[random.IntN(4)], by: []field{byUser, byIdentifier, byName, byGUID}[random.IntN(4)]}
	q.value = []string{"user://d/alice", "alice", "n", "g", "none"}[random.IntN(5)]
	if random.IntN(4) == 0 && q.scheme != "" {
		q.by, q.value = byScheme, q.scheme
	}
	c := criteria{}
	if random.IntN(2) == 0 {
		c.Resources = textList{"b"}
	}
	if random.IntN(4) == 0 {
		c.DataSchemes = textList{"a", "b"}
	}
	var due, found, named []string
	for url, e := range all {
		if e.isDue(now) || e.isOver(now, retention) {
			due = append(due, url)
		}
		if text(e.Value["name"]) == "n" {
			named = append(named, url)
		}
		if naive(e, q, c) {
			found = append(found, url)
		}
		if got, ok := x.one(query{url: url}); !ok || got.At != e.At {
			t.Fatalf("%s is %+v, want %+v", url, got, e)
		}
	}
	slices.Sort(found)
	var got []string
	for _, e := range x.search(q, c, l) {
		got = append(got, e.URL)
	}
	if want := found[:min(len(found), l.SearchResults)]; !slices.Equal(got, want) {
		t.Fatalf("%+v %+v finds %v, want %v", q, c, got, want)
	}
	overdue, names := x.overdue(now), x.named("n")
	for _, list := range [][]string{due, named, overdue} {
		slices.Sort(list)
	}
	if !slices.Equal(overdue, due) || !slices.Equal(names, named) || len(x.entries) != len(all) || len(x.due.heap) != len(all) {
		t.Fatalf("due are %v, want %v; named %v, want %v; %d entries, want %d", overdue, due, names, named, len(x.entries), len(all))
	}
	if len(all) == 0 && len(x.found) != 0 {
		t.Fatalf("left behind: %v", x.found)
	}
}

// naive tells whether an entry is what a search is for.
func naive(e Entry, q query, c criteria) bool {
	scheme, _, _ := strings.Cut(e.URL, "://")
	if q.scheme != "" && scheme != q.scheme && (q.scheme != schemeDataObject || scheme == defaultScheme) {
		return false
	}
	user := text(e.Value["user"])
	last := user[strings.LastIndexByte(user, '/')+1:]
	is := map[field]bool{
		byScheme: true, byUser: user == q.value, byIdentifier: user == q.value || last == q.value,
		byName: text(e.Value["name"]) == q.value, byGUID: text(e.Value["guid"]) == q.value,
	}
	return is[q.by] && anyOf(c.Resources, texts(e.Value["resources"])) && anyOf(c.DataSchemes, texts(e.Value["dataSchemes"]))
}
