package msgnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/codec"
)

func TestDecide(t *testing.T) {
	at := func(sockets ...string) (out []Session) {
		for i, s := range sockets {
			out = append(out, Session{Runtime: fmt.Sprint("r", i), Token: "t", Socket: s})
		}
		return out
	}
	for _, tc := range []struct {
		name    string
		holders []Session
		here    string
		there   string
		code    fault.Code
	}{
		{"nobody", nil, "[]", "[]", 404},
		{"one here", at("me/1"), "[r0]", "[]", 200},
		{"here and elsewhere", at("me/1", "b/1", "me/2", "b/2", "c/1"), "[r0 r2]", "[{b [r1 r3]} {c [r4]}]", 200},
		{"one lost", at("", "me/1"), "[r0 r1]", "[]", 200},
		{"one elsewhere, behind what waits for it", append(at("b/1"), Session{Runtime: "waits", Socket: "b/2"}), "[waits]", "[{b [r0]}]", 200},
	} {
		d := decide("to", tc.holders, "me", func(runtime string) bool { return runtime == "waits" })
		if fmt.Sprint(d.here) != tc.here || fmt.Sprint(d.there) != tc.there || fault.CodeOf(d.err) != tc.code {
			t.Errorf("%s: %+v", tc.name, d)
		}
	}
}

func TestBase(t *testing.T) {
	for text, want := range map[string]string{
		"comm://d/1/changes":                 "comm://d/1",
		"comm://d/1/children/x":              "comm://d/1",
		"comm://d/1":                         "comm://d/1",
		"comm://d":                           "comm://d",
		"publisher":                          "publisher",
		"runtime:/d/r/sm":                    "runtime:/d/r",
		"hyperty-runtime://d/r/p2phandler/1": "hyperty-runtime://d/r",
		"domain://msg-node.d/sm/":            "domain://msg-node.d/sm",
	} {
		u, err := address.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := base(u); got != want {
			t.Errorf("base(%s) = %s, want %s", text, got, want)
		}
	}
}

func TestDirectoryForgetsAll(t *testing.T) {
	d := newDirectory()
	put := func(key string, v any) {
		t.Helper()
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.apply(key, raw); err != nil {
			t.Fatal(err)
		}
	}
	s := Session{Runtime: "r", Token: "t", Socket: "me/1"}
	h := Hold{Address: "a", Runtime: "r", Token: "t"}
	put(sessionKey("r"), s)
	put(holdKey("a", "r"), h)
	put(ownerKey("a"), h)
	put(ownerKey("a"), h) // a second time changes nothing
	if got := d.holders(nil, "a"); len(got) != 1 || got[0] != s {
		t.Errorf("holders %v", got)
	}
	if d.addresses("t") != 2 {
		t.Errorf("%+v", d)
	}
	put(sessionKey("r"), Session{Runtime: "r", Token: "another"})
	if d.isHeld("a") || len(d.orphans()) != 2 {
		t.Errorf("the hold of an old token counts: %+v", d)
	}
	for _, key := range []string{sessionKey("r"), holdKey("a", "r"), ownerKey("a"), ownerKey("never")} {
		if _, _, err := d.apply(key, nil); err != nil {
			t.Error(err)
		}
	}
	if n := len(d.sessions) + len(d.keys) + len(d.holds) + len(d.places) + len(d.tokens) + len(d.orphaned); n != 0 {
		t.Errorf("%d left: %+v", n, d)
	}
	for _, key := range []string{sessionKey("r"), ownerKey("a")} {
		if _, _, err := d.apply(key, []byte("{")); err == nil {
			t.Errorf("%s takes what is no JSON", key)
		}
	}
}

// fewQueued are limits that a handful of messages reach.
func fewQueued() Limits {
	l := DefaultLimits()
	l.ControlQueue, l.RelayQueue, l.RelayBytes = 2, 3, 100
	return l
}

func named(id string) *pb.Message { return &pb.Message{Id: id} }

func letterOf(m *pb.Message) letter { return newLetter(codec.Bare(m), "") }

func push(q *queue, m *pb.Message) error {
	_, err := q.push([]letter{letterOf(m)}, Session{})
	return err
}

func taken(q *queue) string {
	batch, _ := q.take()
	var out []string
	for _, c := range batch.Messages {
		out = append(out, c.Message().Id)
	}
	return strings.Join(out, " ")
}

func TestQueue(t *testing.T) {
	l := fewQueued()
	untaken := func() *queue { return newQueue(&l, func() {}) }
	t.Run("answers first, others once it is live", func(t *testing.T) {
		q := untaken()
		_ = push(q, named("r1"))
		q.offer(named("a1"))
		if got := taken(q); got != "a1" {
			t.Error(got)
		}
		q.goLive()
		q.offer(named("a2"))
		_ = push(q, named("r2"))
		if got := taken(q); got != "a2 r1 r2" {
			t.Error(got)
		}
	})
	t.Run("bounds", func(t *testing.T) {
		q := untaken()
		large := &pb.Message{Body: make([]byte, 200)}
		if push(q, large) != nil || push(q, named("over")) != errQueueFull {
			t.Error("the bound in bytes; one larger message alone is taken")
		}
		q.leave()
		for range 3 {
			if push(q, named("r")) != nil {
				t.Error("no room after leave")
			}
		}
		if push(q, named("r")) != errQueueFull || !q.offer(named("a")) || !q.offer(named("a")) || q.offer(named("a")) {
			t.Error("the bound in number")
		}
	})
	t.Run("left over goes first", func(t *testing.T) {
		q := untaken()
		q.goLive()
		_ = push(q, named("2"))
		q.adopt([]letter{letterOf(named("1"))}, Session{})
		if got := taken(q); got != "1 2" || q.bytes != 0 {
			t.Errorf("%s, %d bytes", got, q.bytes)
		}
	})
	t.Run("the end", func(t *testing.T) {
		q := untaken()
		q.offer(named("last"))
		q.end()
		if q.offer(named("late")) || push(q, named("late")) != errQueueEnded || taken(q) != "last" || taken(q) != "" {
			t.Error("it does not end with what was there")
		}
	})
}

// What one flow of small messages has under way finds room (ADR 0036), also in the mailbox
// when the session is lost.
func TestAFlowOfSmallMessagesIsQueued(t *testing.T) {
	all := DefaultLimits()
	const underWay = 4 << 20 // bytes of a flow, with 256 for each message
	q, small := newQueue(&all, func() {}), make([]letter, underWay/(256+100))
	for i := range small {
		small[i] = letterOf(&pb.Message{Body: make([]byte, 200)})
	}
	if over, why := q.push(small, Session{}); over != nil {
		t.Errorf("%d of %d are refused: %v", len(over), len(small), why)
	}
	if over := newMailboxes(&all).put("r", time.Now(), q.leave()...); len(over) > 0 {
		t.Errorf("when the session is lost %d are refused", len(over))
	}
}

// A queue has a taker while there is something to take.
func TestQueueHasATaker(t *testing.T) {
	l := fewQueued()
	started := 0
	q := newQueue(&l, func() { started++ })
	expect := func(n int, when string) {
		t.Helper()
		if started != n {
			t.Errorf("%d takers were started %s, want %d", started, when, n)
		}
	}
	_ = push(q, named("1"))
	expect(0, "before it is live")
	q.goLive()
	_ = push(q, named("2"))
	expect(1, "for two")
	if taken(q) != "1 2" || taken(q) != "" {
		t.Error("it did not get them")
	}
	q.offer(named("3"))
	expect(2, "after the first was dismissed")
	q.end()
	if batch, over := q.take(); len(batch.Messages) != 1 || over {
		t.Error("the end came before what was there")
	}
	if batch, over := q.take(); len(batch.Messages) != 0 || !over {
		t.Error("it has no end")
	}
	q.end()
	expect(2, "in all")
}

func TestAnAnswerWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fewQueued()
		q := newQueue(&l, func() {})
		q.offer(named("1"))
		q.offer(named("2"))
		put := false
		go func() { q.answer(t.Context(), named("3")); put = true }()
		synctest.Wait()
		if put {
			t.Error("the bound does not hold the reader back")
		}
		first := taken(q)
		synctest.Wait()
		if second := taken(q); first+" "+second != "1 2 3" || !put {
			t.Errorf("%s %s", first, second)
		}
		ctx, cancel := context.WithCancel(t.Context())
		q.offer(named("4"))
		q.offer(named("5"))
		go func() { q.answer(ctx, named("6")); put = false }()
		cancel()
		synctest.Wait()
		if put {
			t.Error("it waits on when its client is gone")
		}
	})
}

func TestPace(t *testing.T) {
	l := Limits{ReopenEvery: time.Second, ReopenBurst: 1, ReopenRuntimes: 1}
	p, now := newPace(&l), time.UnixMilli(0)
	for _, step := range []struct {
		runtime string
		after   time.Duration
		want    string
	}{
		{"a", 0, "0s true"},
		{"a", 0, "1s true"},
		{"a", 0, "2s true"},
		{"a", 0, "0s false"}, // more than the most, and nothing is reserved
		{"a", time.Second, "2s true"},
		{"b", 0, "0s true"}, // beyond the bound: together with
		{"c", 0, "1s true"}, // this one
	} {
		now = now.Add(step.after)
		d, ok := p.delay(step.runtime, now, 2*time.Second)
		if got := fmt.Sprint(d, ok); got != step.want {
			t.Errorf("%+v: %s", step, got)
		}
	}
	p.forget(now)
	if len(p.limiters) != 1 {
		t.Error("forgotten too early")
	}
	p.forget(now.Add(time.Minute))
	if len(p.limiters) != 0 {
		t.Error("not forgotten")
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "/", "/hyperty", "/hyperty/user/u", "/hyperty/hyperty://d/1", "user://u", "/a/url/", "//x"} {
		f.Add(s)
	}
	x := newIndex(time.Hour)
	f.Fuzz(func(t *testing.T, resource string) {
		q, err := parseQuery(resource)
		if err != nil {
			if fault.CodeOf(err) != fault.BadRequest {
				t.Errorf("%v", err)
			}
			return
		}
		if q.url == "" && q.value == "" {
			t.Errorf("%q asks for nothing", resource)
		}
		if _, ok := x.one(q); ok || len(x.search(q, criteria{}, &Limits{})) > 0 {
			t.Errorf("%q finds something in nothing", resource)
		}
	})
}

func FuzzBodies(f *testing.F) {
	for _, s := range []string{
		`{"resources":["a",["b"]],"subscribe":"c"}`, `{"scheme":"s","value":{"number":"5","allocationKey":"k"}}`,
		`{"value":{"url":"comm://d/1","expires":1e99,"resources":[[]]},"attribute":"a"}`, `{"value":null}`, `{"criteria":{"resources":{}}}`,
	} {
		f.Add([]byte(s))
	}
	l := DefaultLimits()
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := &pb.Message{Id: "1", Body: raw}
		if w, err := parseAllocation(m, 10); err == nil && (w.number < 1 || w.number > 10 || w.scheme == "") {
			t.Errorf("allocation of %d %q", w.number, w.scheme)
		}
		var s subscription
		if json.Unmarshal(raw, &s) == nil {
			if list, err := s.addresses("subscribe"); err == nil && list == nil {
				t.Error("no list and no error")
			}
		}
		var b registryBody
		if json.Unmarshal(raw, &b) != nil {
			return
		}
		v, err := b.object()
		if err != nil {
			return
		}
		e, err := newEntry(v, "r", time.UnixMilli(0), &l)
		if err != nil {
			return
		}
		fields, _ := b.changes()
		if e, err = e.merged(fields, time.UnixMilli(1), &l); err != nil {
			return
		}
		checkIndexed(t, e, &l)
	})
}

// checkIndexed puts an entry into an index, finds it, and takes it out again.
func checkIndexed(t *testing.T, e Entry, l *Limits) {
	t.Helper()
	if e.Expires < 1 || e.Expires > int64(l.EntryExpiresMax/time.Second) {
		t.Errorf("expires in %d s", e.Expires)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatalf("%+v: %v", e, err)
	}
	x := newIndex(time.Hour)
	if err := x.apply(hashed(e.URL), raw); err != nil {
		t.Fatal(err)
	}
	got, ok := x.one(query{url: e.URL})
	if !ok || got.status() != e.status() || text(got.view()["status"]) != e.status() {
		t.Errorf("%+v became %+v", e, got)
	}
	if err := x.apply(hashed(e.URL), nil); err != nil || len(x.entries)+len(x.found)+len(x.due.heap) != 0 {
		t.Errorf("left behind: %+v, %v", x, err)
	}
}

// What waits for the store has its result, and its panic is that of the goroutine that
// asked for it: one that serves a call ends that alone.
func TestApart(t *testing.T) {
	why := errors.New("why")
	if err := apart(func() error { return why }); err != why {
		t.Error(err)
	}
	defer func() {
		if got := recover(); got != "broken" {
			t.Errorf("the caller has the panic %v", got)
		}
	}()
	_ = apart(func() error { panic("broken") })
}
