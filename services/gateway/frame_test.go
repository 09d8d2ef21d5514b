package gateway

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/fault"
)

func TestFrames(t *testing.T) {
	for _, tc := range []struct{ frame, ref, field string }{
		{`{"op":"listen","address":"x","ack":true,"ref":1}`, `1`, ``},
		{`{"op":"unlisten","address":"x","ref":{"a":[1]}}`, `{"a":[1]}`, ``},
		{`{"op":"post","message":{"type":"ping","to":"x"},"wait":"response","timeout":"1s","key":"k","ref":"r"}`, `"r"`, ``},
		{`{"op":"ack","delivery":7}`, ``, ``},
		{` {"op":"ack","delivery":7} `, ``, ``},
		{``, ``, `frame`},
		{`[]`, ``, `frame`},
		{`{"op":"ack"`, ``, `frame`},
		{`{"op":"ack","delivery":7}{}`, ``, `frame`},
		{`{"ref":1}`, `1`, `op`},
		{`{"op":"shout","ref":1}`, `1`, `op`},
		{`{"op":5,"ref":1}`, `1`, `op`},
		{`{"op":"ack","delivery":-1,"ref":1}`, `1`, `delivery`},
		{`{"op":"ack","ref":1}`, `1`, `delivery`},
		{`{"ref":1,"op":"listen","adress":"x"}`, `1`, `adress`},
		{`{"op":"listen","ref":1}`, `1`, `address`},
		{`{"op":"listen","address":"*","ref":1}`, `1`, `address`},
		{`{"op":"post","ref":1}`, `1`, `message`},
		{`{"op":"post","ref":1,"message":{"to":"x","oops":1}}`, `1`, `oops`},
		{`{"op":"listen","address":"x","ref":"` + strings.Repeat("x", maxRef) + `"}`, ``, `ref`},
	} {
		r, err := parseRequest([]byte(tc.frame))
		field := ""
		if err != nil {
			field = fault.From(err).Field
		}
		if field != tc.field || string(r.Ref) != tc.ref || (err != nil) != (tc.field != "") {
			t.Errorf("%s: ref %s, field %q, %v", tc.frame, r.Ref, field, err)
		}
	}
}

// FuzzParseRequest: a frame is refused by name or does what its op needs; what comes
// back of it is JSON.
func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		`{"op":"listen","address":"x","ack":true,"ref":1}`, `{"op":"post","message":{"type":"ping","to":"x"},"key":"k"}`,
		`{"op":"ack","delivery":7}`, `{"op":5,"ref":"r"}`, `{"ref":[1,2]}x`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := parseRequest(frame)
		if len(r.Ref) > maxRef {
			t.Errorf("%q: a ref of %d bytes", frame, len(r.Ref))
		}
		if _, bad := json.Marshal(outcomeOf(opOutcome, r.Ref, nil, err)); bad != nil {
			t.Errorf("%q: no answer: %v", frame, bad)
		}
		switch {
		case err != nil:
			if code := fault.CodeOf(err); code != fault.BadRequest {
				t.Errorf("%q: %d %v", frame, code, err)
			}
		case r.Op == opPost && (r.message == nil || r.message.Id == ""), r.Op == opListen && r.Address == "", r.Op == opAck && r.Delivery == 0:
			t.Errorf("%q is taken for %+v", frame, r)
		}
	})
}

// FuzzLastEventID: an id is refused or leads to the subscription that gave it out.
func FuzzLastEventID(f *testing.F) {
	s := &subscription{id: "5c1f9d4e-aaaa-bbbb-cccc-000000000000", addresses: []string{bob}}
	g := &Gateway{subscriptions: map[string]*subscription{s.id: s}}
	for _, id := range []string{s.eventID(0), s.eventID(gone), s.id, "-1", "x", "", "--", s.id + "-07", s.id + "-+7"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		got, number, err := g.resume(id, s.addresses)
		switch {
		case err != nil:
			if e := fault.From(err); e.Code != fault.BadRequest || e.Field != "Last-Event-ID" || got != nil {
				t.Errorf("%q: %v, %+v", id, got, e)
			}
		case got != nil && !strings.HasPrefix(id, s.id+"-"):
			t.Errorf("%q leads to %s", id, s.id)
		case got != nil && !strings.HasSuffix(s.eventID(number), strings.TrimLeft(id[len(s.id)+1:], "0")):
			t.Errorf("%q is event %d", id, number)
		}
	})
}
