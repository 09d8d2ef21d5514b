package bus

import (
	"sync"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/beside"
)

// million is a bus that knows the routes of many addresses, and a map that does.
type million struct {
	all   []string
	bus   *Bus
	plain map[string]string
	err   error
}

// routedMillion is made once for however many counts.
var routedMillion = sync.OnceValue(func() million {
	m := million{all: beside.Addresses(), plain: map[string]string{}}
	m.bus, m.err = New(Config{RuntimeURL: runtimeURL, Registry: noRegistry{}, Limits: Limits{Routes: len(m.all)}, Log: quiet()})
	if m.err != nil {
		return m
	}
	s := newStream(m.bus, "stub", pb.Component_COMPONENT_NODE_STUB)
	m.err = m.bus.addListener(s, &pb.ListenerChange{Address: nodeURL})
	for _, a := range m.all {
		m.bus.table.learn(a, &pb.Route{To: a, Next: nodeURL}, false)
		m.plain[a] = nodeURL
	}
	return m
})

// BenchmarkRouteMillion finds the way of posts to addresses whose routes are known.
func BenchmarkRouteMillion(b *testing.B) {
	m := routedMillion()
	if m.err != nil {
		b.Fatal(m.err)
	}
	p := newPost(newStream(m.bus, "registry", pb.Component_COMPONENT_REGISTRY), numbered(alice, bob, 1))
	t := m.bus.table
	beside.Times(b, m.all, func(some []string) {
		for _, a := range some {
			p.m.To = a
			t.mu.RLock()
			w, ok := t.way(p)
			t.mu.RUnlock()
			if !ok || len(w.takers) != 1 {
				b.Fatal(a)
			}
		}
	}, func(some []string) {
		for _, a := range some {
			if m.plain[a] == "" {
				b.Fatal(a)
			}
		}
	})
}

// BenchmarkListenerMemory is what a listener costs to which nothing is sent.
func BenchmarkListenerMemory(b *testing.B) {
	beside.Memory(b, func(all []string) any {
		bus, err := New(Config{
			RuntimeURL: runtimeURL, Registry: noRegistry{}, Log: quiet(), Limits: Limits{Listeners: len(all), StreamListeners: len(all)},
		})
		if err != nil {
			b.Fatal(err)
		}
		s := newStream(bus, "app", pb.Component_COMPONENT_APPLICATION)
		for _, a := range all {
			if err := bus.addListener(s, &pb.ListenerChange{Address: a}); err != nil {
				b.Fatal(err)
			}
		}
		return bus
	}, func(all []string) any {
		plain := map[string]string{}
		for _, a := range all {
			plain[a] = runtimeURL
		}
		return plain
	})
}
