package msgnode

import (
	"fmt"
	"strings"
	"testing"
)

// The node writes down that it relayed a message or refused it, over both transports,
// and its answer goes on with the trace.
func TestHopsOfTheNode(t *testing.T) {
	both(t, func(t *testing.T, _ *bed, dial func(*testing.T) *peer) {
		p, q := dial(t).open(), dial(t).open()
		send := func(to string) {
			p.send(fmt.Sprintf(`{"id":1,"type":"ping","from":%q,"to":%q,"trace":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","record":true,"hops":[{"service":"x","at":"y","event":"posted","time":"7"}]}}`, p.runtime+"/x", to))
		}
		send(q.runtime + "/sm")
		if m := q.receive(); m.hops() != "x at y posted, msgnode at "+domain+" relayed" || m.Trace["traceparent"] == nil {
			t.Errorf("%+v", m)
		}
		send("hyperty://" + domain + "/nobody")
		if m := p.receive(); m.code() != 404 || m.hops() != "x at y posted, msgnode at "+domain+" refused" {
			t.Errorf("%+v", m)
		}
		p.post("ping", p.runtime+"/x", q.runtime+"/sm", "")
		if m := q.receive(); m.Trace != nil {
			t.Errorf("%+v", m)
		}
	})
}

func (m msg) hops() string {
	list, _ := m.Trace["hops"].([]any)
	var way []string
	for _, one := range list {
		h, _ := one.(map[string]any)
		way = append(way, fmt.Sprint(h["service"], " at ", h["at"], " ", h["event"]))
	}
	return strings.Join(way, ", ")
}
