package msgnode

import (
	"fmt"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

// flowFrame is a message with a place in a flow, and a key.
func flowFrame(id, kind, from, to, runtime string, sequence int) string {
	flow := fmt.Sprintf(`{"runtime":%q,"epoch":"7","id":"3","sequence":"%d","base":"1","origin":"b3JpZ2lu","number":"5"}`, runtime, sequence)
	return strings.TrimSuffix(frame(id, kind, from, to, ""), "}") + `,"flow":` + flow + "}"
}

func TestFlows(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		p, q := dial(t).openFlow(), dial(t).openFlow()
		t.Run("a session that has announced flows gets them", func(t *testing.T) {
			p.send(flowFrame("1", "event", p.runtime+"/x", q.runtime+"/sm", p.runtime, 9))
			m := q.receive()
			if m.Flow["runtime"] != p.runtime || m.Flow["sequence"] != "9" || m.Flow["epoch"] != "7" || m.Flow["origin"] != "b3JpZ2lu" || m.Flow["number"] != "5" {
				t.Errorf("%+v", m)
			}
		})
		t.Run("another gets nothing of them", func(t *testing.T) {
			plain := dial(t).open()
			p.send(flowFrame("2", "event", p.runtime+"/x", plain.runtime+"/sm", p.runtime, 10))
			if m := plain.receive(); m.Flow != nil || string(m.ID) != "2" {
				t.Errorf("%+v", m)
			}
		})
		t.Run("the last announcement counts", func(t *testing.T) {
			r := dial(t).open()
			back := dial(t)
			back.must(200, "re-open", r.runtime+"/"+r.token, "mn:/session", `{"flow":["peerbus.v9","peerbus.v1"]}`)
			p.send(flowFrame("3", "event", p.runtime+"/x", r.runtime+"/sm", p.runtime, 11))
			if m := back.receive(); m.Flow["sequence"] != "11" {
				t.Errorf("%+v", m)
			}
			for _, body := range []string{"", `{"flow":"peerbus.v1"}`, `{"flow":[7]}`, `{"flow":{"x":1}}`, `{"flow":["other"]}`} {
				again := dial(t).openWith(r.runtime, body)
				p.send(flowFrame("4", "event", p.runtime+"/x", r.runtime+"/sm", p.runtime, 12))
				if m := again.receive(); m.Flow != nil {
					t.Errorf("%s: %+v", body, m)
				}
			}
		})
		t.Run("of another runtime they are refused", func(t *testing.T) {
			p.send(flowFrame("5", "event", p.runtime+"/x", q.runtime+"/sm", q.runtime, 1))
			if m := p.receive(); m.code() != 403 || m.Flow["refused"] != true {
				t.Errorf("%+v", m)
			}
			p.send(flowFrame("6", "response", p.runtime+"/x", q.runtime+"/sm", q.runtime, 1))
			p.nothing()
			q.nothing()
		})
		t.Run("a refusal names the place", func(t *testing.T) {
			p.send(flowFrame("7", "ping", p.runtime+"/x", "nobody", p.runtime, 13))
			m := p.receive()
			if m.code() != 404 || m.Flow["refused"] != true || m.Flow["sequence"] != "13" || m.Flow["runtime"] != p.runtime || m.Flow["epoch"] != "7" || m.Flow["id"] != "3" {
				t.Errorf("%+v", m)
			}
			p.post("ping", p.runtime+"/x", "nobody", "")
			if m := p.receive(); m.code() != 404 || m.Flow != nil {
				t.Errorf("%+v", m)
			}
		})
		t.Run("an entry of the registry keeps its announcement", func(t *testing.T) {
			url := "comm://" + domain + "/" + p.token
			p.must(200, "create", p.runtime+"/registry", registry, value(url, `,"flow":["peerbus.v1"]`))
			p.must(200, "update", p.runtime+"/registry", registry, fmt.Sprintf(`{"resource":%q}`, url))
			p.must(200, "update", p.runtime+"/registry", registry, fmt.Sprintf(`{"resource":%q,"value":{"status":"live"}}`, url))
			m := q.must(200, "read", q.runtime+"/registry", registry, fmt.Sprintf(`{"resource":%q}`, url))
			if v, _ := m.Body["value"].(map[string]any); fmt.Sprint(v["flow"]) != "[peerbus.v1]" {
				t.Errorf("%+v", m)
			}
		})
	})
}

// A refusal that NATS itself brings about has no more of the message than its
// subject has.
func TestRefusalOfADeadReplicaNamesThePlace(t *testing.T) {
	b := start(t)
	p := b.dial(t, "grpc").openFlow()
	dead := event{kind: evOpen, runtime: newRuntime(), socket: "dead/1", fresh: "token"}
	s, _, err := b.node.change(t.Context(), dead)
	if err != nil {
		t.Fatal(err)
	}
	p.send(flowFrame("1", "ping", p.runtime+"/x", s.Address(), p.runtime, 21))
	if m := p.receive(); m.code() != 503 || m.Flow["refused"] != true || m.Flow["sequence"] != "21" || m.Flow["runtime"] != p.runtime {
		t.Errorf("%+v", m)
	}
}

// What is not for a session does not change what others get.
func TestTowards(t *testing.T) {
	m := &pb.Message{Id: "1", Via: "secret", Origin: []byte("o"), Number: 7, Flow: &pb.Flow{Runtime: "r", Sequence: 1}}
	l := newLetter(codec.Whole(m, []byte("as it came")), "r")
	for _, tc := range []struct {
		to        Session
		via, flow bool
	}{
		{Session{Runtime: "r", Flow: true}, true, true},
		{Session{Runtime: "r"}, true, false},
		{Session{Runtime: "s", Flow: true}, false, true},
		{Session{Runtime: "s"}, false, false},
	} {
		carried := l.towards(tc.to)
		got := carried.Message()
		if asItCame := carried.Encoded != nil; asItCame != (tc.via && tc.flow) {
			t.Errorf("to %+v it goes as it came: %v", tc.to, asItCame)
		}
		if (got.Via != "") != tc.via || (got.Flow != nil) != tc.flow || (got.Number != 0) != tc.flow || (len(got.Origin) > 0) != tc.flow {
			t.Errorf("to %+v: %v", tc.to, got)
		}
	}
	if m.Via == "" || m.Flow == nil || m.Number != 7 {
		t.Errorf("it was changed: %v", m)
	}
}
