//go:build unix

package msgnode

import (
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/fulldisk"
)

// While the disk is full the node says so, refuses what it would write, and relays. With
// room it goes on by itself.
func TestANodeOutlivesAFullDisk(t *testing.T) {
	b := start(t, limited(func(l *Limits) { // a write that is under way ends when the store breaks
		l.StoreTimeout, l.StorePatience, l.StoreAttempt = time.Minute, time.Minute, time.Minute
	}))
	p, q := b.dial(t, "grpc").open(), b.dial(t, "grpc").open()
	const alloc = "domain://msg-node." + domain + "/address-allocation"
	allocate := func(want int) msg {
		return p.must(want, "create", p.runtime+"/r", alloc, `{"scheme":"hyperty","value":{"number":1}}`)
	}
	allocate(200)
	q.subscribe("known")

	room := fulldisk.Fill(t)
	full := "the store takes no writes: " + fulldisk.Reason.Error()
	for range 2 { // the first finds it out, the second is refused at once
		if m := allocate(503); !strings.Contains(m.text(), full) {
			t.Errorf("an allocation is answered with %q", m.text())
		}
	}
	if w := get(t, b.node.Handler(), "http://x/readyz"); w.Code != 503 || strings.TrimSpace(w.Body.String()) != full {
		t.Errorf("/readyz: %d %s", w.Code, w.Body)
	}
	p.post("event", p.runtime+"/r", "known", "")
	if m := q.receive(); m.From != p.runtime+"/r" {
		t.Errorf("relayed: %+v", m)
	}

	room()
	b.until(t, 200)
	allocate(200)
	b.stop()
}
