package bus

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// addAlias has the registry of a test put an alias in place.
func (r *raw) addAlias(address, target string) {
	r.h.t.Helper()
	if code := r.change(&pb.ListenerChange{Address: address, LeadsTo: target}); code != 200 {
		r.h.t.Fatalf("the alias got %d", code)
	}
}

// A replica to which the registry is attached stops, or is killed. What is on its way to
// a p2p connection, which is an alias that the registry has, goes on meanwhile.
func TestAliasesStayWhileTheirOwnerMoves(t *testing.T) {
	for name, leave := range map[string]func(*cluster){
		"it stops":  func(c *cluster) { c.all[0].bus.HandOver(c.all[0].ctx); c.kill(0) },
		"is killed": func(c *cluster) { c.kill(0) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, Limits{}, 3)
			a, at := c.all[0], c.all[1:]
			a.raw(pb.Component_COMPONENT_REGISTRY).addAlias(connURL, stubURL)
			stub := at[0].raw(pb.Component_COMPONENT_P2P_STUB)
			stub.listen(stubURL, 1)
			const n = 3 // at each: one of them under way, and others queued
			var refused []chan *pb.Message
			for k, h := range at {
				h.registry.set(bob, connURL)
				app := h.app()
				from := []string{alice, carol}[k]
				refused = append(refused, h.listen(app, from))
				h.until("the alias leads to the stub", func() bool { return h.bus.table.heard(connURL) })
				for i := range n {
					if err := app.Post(h.ctx, numbered(from, bob, i)); err != nil {
						t.Fatal(err)
					}
				}
			}
			leave(c)
			for _, h := range at {
				h.until("the alias has no owner", func() bool { return h.bus.table.size().listeners == 3 })
				if err := h.app().Post(h.ctx, numbered(alice, connURL, n)); err != nil {
					t.Error(err)
				}
			}
			at[1].raw(pb.Component_COMPONENT_REGISTRY).addAlias(connURL, stubURL)
			for range 2 * (n + 1) {
				d := stub.delivery()
				stub.send(&pb.AttachRequest{Credits: []*pb.Credit{{Listener: d.Listener, Bytes: uint32(proto.Size(d.Message))}}}) // small
			}
			for _, got := range refused {
				nothingElse(t, got)
			}
		})
	}
}

// An owner that does not come back has no alias.
func TestAnAliasWhoseOwnerDoesNotComeBackIsGone(t *testing.T) {
	c := newCluster(t, Limits{ReturnTime: 50 * time.Millisecond}, 2)
	c.all[0].raw(pb.Component_COMPONENT_REGISTRY).addAlias(connURL, stubURL)
	h := c.all[1]
	h.raw(pb.Component_COMPONENT_P2P_STUB).listen(stubURL, 0)
	h.until("the alias leads to the stub", func() bool { return h.bus.table.heard(connURL) })
	c.kill(0)
	h.until("the alias is gone", func() bool { return !h.bus.table.heard(connURL) })
	t1 := h.bus.table
	t1.mu.RLock()
	defer t1.mu.RUnlock()
	if len(t1.lingering) != 0 || t1.places[connURL] != nil {
		t.Error("something of it is left")
	}
}
