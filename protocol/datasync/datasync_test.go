package datasync_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/datasync"
)

func observer(t testing.TB) *datasync.Observer {
	t.Helper()
	inv, err := datasync.ParseInvitation(&pb.Message{From: "connection://a/1/subscription", Body: []byte(`{"source":"s","value":{}}`)})
	if err != nil {
		t.Fatal(err)
	}
	return datasync.NewObserver(inv)
}

func TestObserverIsBounded(t *testing.T) {
	o := observer(t)
	for v := range 65 {
		_, err := o.Update(&pb.Message{Body: fmt.Appendf(nil, `{"version":%d,"attribute":"a","value":1}`, v+2)})
		if (fault.CodeOf(err) == fault.TooMany) != (v == 64) {
			t.Errorf("update %d behind a gap: %v", v, err)
		}
	}
	o = observer(t)
	large := strings.Repeat("x", 100_000)
	var last error
	for v := range 12 {
		_, last = o.Update(&pb.Message{Body: fmt.Appendf(nil, `{"version":%d,"attribute":"a%d","value":"%s"}`, v+1, v, large)})
	}
	if fault.CodeOf(last) != fault.TooLarge {
		t.Errorf("more than a megabyte: %v", last)
	}
	o = observer(t)
	for v := range 1025 {
		_, last = o.Update(&pb.Message{Body: fmt.Appendf(nil, `{"version":%d,"attribute":"l.%d","value":1,"operation":"add"}`, v+1, v)})
	}
	if fault.CodeOf(last) != fault.TooLarge {
		t.Errorf("a long list: %v", last)
	}
}

// What is large is refused before it is kept: an object, and updates that wait
// behind a gap.
func TestWhatIsKeptIsBounded(t *testing.T) {
	o := observer(t)
	large := strings.Repeat("x", 300_000)
	var last error
	for v := range 4 {
		_, last = o.Update(&pb.Message{Body: fmt.Appendf(nil, `{"version":%d,"attribute":"a","value":"%s"}`, v+2, large)})
	}
	if fault.CodeOf(last) != fault.TooLarge {
		t.Errorf("a megabyte behind a gap: %v", last)
	}
	object := fmt.Appendf(nil, `{"source":"s","value":{"data":{"x":"%s"}}}`, strings.Repeat("x", 1<<20))
	_, err := datasync.ParseInvitation(&pb.Message{From: "connection://a/1/subscription", Body: object})
	if fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("a large object: %v", err)
	}
}

func TestObjectsOfOneProcessDifferInTime(t *testing.T) {
	now := time.Unix(1, 1)
	a, _ := datasync.NewReporter(datasync.Object{URL: "a"}, map[string]any{}, now)
	b, _ := datasync.NewReporter(datasync.Object{URL: "b"}, map[string]any{}, now.Add(1))
	inv, err := datasync.ParseInvitation(b.Invite("x"))
	if err == nil || inv.Source != "" {
		t.Errorf("an invitation without a source: %+v", inv)
	}
	if !b.Created().After(a.Created()) || a.Version() != 0 || a.URL() != "a" {
		t.Errorf("%v is not after %v", b.Created(), a.Created())
	}
	if (datasync.Object{Created: "yesterday"}).CreatedAt() != (time.Time{}) {
		t.Error("no time is a time")
	}
}

func TestReporterRefusesWhatIsNoJSON(t *testing.T) {
	if _, err := datasync.NewReporter(datasync.Object{}, func() {}, time.Now()); err == nil {
		t.Error("a function is data")
	}
	if _, err := datasync.NewReporter(datasync.Object{}, 3, time.Now()); err == nil {
		t.Error("a number is data")
	}
	r, err := datasync.NewReporter(datasync.Object{}, map[string]any{"a": 1}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Set("x", func() {}, time.Now()); err == nil {
		t.Error("a function is a value")
	}
	if _, err := r.Set("a.b", 1, time.Now()); err == nil || r.Version() != 0 {
		t.Errorf("a path through a number: %v, version %d", err, r.Version())
	}
	if _, err := r.Answer(&pb.Message{}, func() {}); err == nil {
		t.Error("a function is an answer")
	}
}

func TestSubscription(t *testing.T) {
	for body, want := range map[string]string{
		`{"subscriber":"h"}`: "h", `{"source":"h"}`: "h", `{"subscriber":"h","source":"i","framing":["peerbus.v1"]}`: "h", `{}`: "", `[]`: "",
	} {
		s, err := datasync.ParseSubscription(&pb.Message{Body: []byte(body)})
		if s.Subscriber != want || (err == nil) != (want != "") {
			t.Errorf("%s: %+v, %v", body, s, err)
		}
	}
}

func FuzzObserver(f *testing.F) {
	f.Add([]byte(`{"version":1,"attribute":"a.0.b","value":[1],"operation":"add"}`), []byte(`{"version":3,"attribute":"a","operation":"remove"}`))
	f.Add([]byte(`{"value":{"version":2,"data":{"a":[1,2],"connectionDescription":{"sdp":"x"}}}}`), []byte(`{"version":3,"attribute":"a.1"}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		o := observer(t)
		version := 0
		for range 2 {
			for _, body := range [][]byte{first, second} {
				_, _ = o.Update(&pb.Message{Body: body})
				_, _ = o.Reset(&pb.Message{Body: body})
				_ = o.Object().Connection()
				if v := o.Object().Version; v < version {
					t.Fatalf("version went back from %d to %d", version, v)
				} else {
					version = v
				}
				if _, err := json.Marshal(o.Object()); err != nil {
					t.Fatal(err)
				}
				if inv, err := datasync.ParseInvitation(&pb.Message{Body: body}); err == nil {
					datasync.NewObserver(inv)
				}
			}
		}
	})
}
