package bus

import (
	"testing"
	"unsafe"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// The texts of a message share the memory of all of it. A table that stays keeps its own.
func TestTablesKeepNoMessage(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.finish()
	a.stream(t, carol, 0)
	text := func(s string) string { return string([]byte(s)) }
	m := flowing(1, 1, 1)
	m.From, m.To, m.Flow.Runtime, m.Flow.Replica = text(bob), text(alice), text(remote), text("r1")
	m.Trace = recorded(alice, bob).Trace
	fl := m.Flow
	p := a.peer()
	p.says(m)
	m.Flow = fl // it is taken out of what is handed on
	p.says(m)
	a.bus.asked.note(m)
	keys := map[string]string{"a flow": a.bus.flows.provisionalOf(m.To, &pb.Route{}).address}
	a.bus.table.mu.Lock()
	defer a.bus.table.mu.Unlock()
	a.bus.flows.mu.Lock()
	defer a.bus.flows.mu.Unlock()
	a.bus.asked.mu.Lock()
	defer a.bus.asked.mu.Unlock()
	for url, rm := range a.bus.flows.remotes {
		keys["a remote runtime"] = url
		for replica := range rm.buses {
			keys["a replica"] = replica
		}
		for _, in := range rm.in {
			keys["the replica of a flow"] = in.replica
		}
	}
	for key := range a.bus.asked.traces.slots {
		keys["a request"] = key.From
	}
	if pl := a.bus.table.places[alice]; pl != nil {
		keys["a place"] = pl.address
	}
	for what, key := range keys {
		for _, of := range []string{m.From, m.To, fl.Runtime, fl.Replica} {
			if unsafe.StringData(key) == unsafe.StringData(of) {
				t.Errorf("%s keeps its message", what)
			}
		}
	}
	if len(keys) != 6 {
		t.Errorf("there are %v", keys)
	}
}
