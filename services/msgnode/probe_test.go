package msgnode

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWrites(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	w := writes{last: at(0)}
	for _, step := range []struct {
		name    string
		do      func()
		last    int           // when one was taken
		failing time.Duration // at second 20
	}{
		{"one of another replica", func() { w.seen(at(1)) }, 1, 0},
		{"one's own fails", func() { w.tried(at(2), at(3), errors.New("no")) }, 1, 18 * time.Second},
		{"and again", func() { w.tried(at(4), at(5), errors.New("no")) }, 1, 18 * time.Second},
		{"what was written before comes late", func() { w.seen(at(6)) }, 1, 18 * time.Second},
		{"one's own is taken", func() { w.tried(at(7), at(8), nil) }, 8, 0},
		{"the answer to an older one is given up", func() { w.tried(at(6), at(9), errors.New("no")) }, 8, 0},
		{"another replica goes on", func() { w.seen(at(10)) }, 10, 0},
	} {
		step.do()
		if got := w.failed(at(20)); got != step.failing || !w.last.Equal(at(step.last)) {
			t.Errorf("%s: the last was taken at %v, failing for %s", step.name, w.last.Unix(), got)
		}
	}
}

// takes has a bucket of a node refuse every write, or none: it answers all the same.
func (n *natsServer) takes(b *bed, writes bool) {
	n.t.Helper()
	stream, err := b.node.engine.JetStream().Stream(n.t.Context(), "KV_"+b.node.state.kv.Bucket())
	if err != nil {
		n.t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgSize = 1
	if writes {
		cfg.MaxMsgSize = -1
	}
	if _, err := b.node.engine.JetStream().UpdateStream(n.t.Context(), cfg); err != nil {
		n.t.Fatal(err)
	}
}

// A store that answers and takes no write makes a replica not ready, which goes on with
// the sessions that it has.
func TestAStoreThatTakesNoWrite(t *testing.T) {
	n := startNATS(t)
	b := n.replica(limited(func(l *Limits) { l.StoreAway = patience }))
	p, q := b.dial(t, "grpc").openFlow(), b.dial(t, "websocket").open()
	p.subscribe("before")
	n.takes(b, false)
	b.until(t, http.StatusServiceUnavailable)
	if why := get(t, b.node.Handler(), "http://x/readyz").Body.String(); !strings.Contains(why, "takes no write of") {
		t.Errorf("/readyz: %s", why)
	}
	q.post("ping", q.runtime+"/x", "before", "")
	if m := p.receive(); m.To != "before" {
		t.Errorf("%+v", m)
	}
	n.takes(b, true)
	b.until(t, http.StatusOK)
	b.dial(t, "websocket").open()
}

// A replica does not write where another one does.
func TestOneReplicaProbesForAll(t *testing.T) {
	n := startNATS(t)
	quiet := limited(func(l *Limits) { l.StoreProbe = time.Hour })
	b, other := n.replica(), n.replica(quiet)
	revision, began := other.node.state.lastSeen(), time.Now()
	other.node.every(t.Context(), func() bool { return other.node.state.lastSeen() > revision+3 })
	other.node.state.mu.Lock()
	defer other.node.state.mu.Unlock()
	if last := other.node.state.writes.last; last.Before(began) || b.node.unwritable() != 0 {
		t.Errorf("the last write is of %s, begun %s", last, began)
	}
}
