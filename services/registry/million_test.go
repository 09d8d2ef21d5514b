package registry

import (
	"fmt"
	"sync"
	"testing"

	"github.com/peerbus/peerbus/internal/beside"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// perRuntime is how many addresses each remote runtime has.
const perRuntime = 1000

// listing makes a table in which live connections list addresses.
func listing(addresses []string) *table {
	t := newTable(DefaultLimits())
	for i, a := range addresses {
		remote := fmt.Sprintf("hyperty-runtime://b.example/%d", i/perRuntime)
		if i%perRuntime == 0 {
			id := fmt.Sprint("c", i/perRuntime)
			t.put(remote, connection{
				ID: id, Remote: remote, State: status.Live, Stub: "stub", URL: address.P2PConnectionURL(runtimeA, id),
			})
		}
		t.add(remote, a, fed, perRuntime)
	}
	return t
}

// plainly makes a map of the same.
func plainly(addresses []string) map[string]string {
	plain := map[string]string{}
	remote := ""
	for i, a := range addresses {
		if i%perRuntime == 0 {
			remote = fmt.Sprintf("hyperty-runtime://b.example/%d", i/perRuntime)
		}
		plain[a] = remote
	}
	return plain
}

// million is what BenchmarkResolveMillion asks, made once for however many counts.
var million = sync.OnceValues(func() ([]string, map[string]string) {
	all := beside.Addresses()
	return all, plainly(all)
})

var listed = sync.OnceValue(func() *knowledge {
	all, _ := million()
	k := newKnowledge()
	k.table = listing(all)
	return k
})

// BenchmarkResolveMillion resolves addresses that connections list.
func BenchmarkResolveMillion(b *testing.B) {
	all, plain := million()
	k := listed()
	beside.Times(b, all, func(some []string) {
		for _, a := range some {
			if d := k.resolve(&query{to: a, at: start}); d.Next == "" {
				b.Fatal(d)
			}
		}
	}, func(some []string) {
		for _, a := range some {
			if plain[a] == "" {
				b.Fatal(a)
			}
		}
	})
}

// BenchmarkAddressMemory is what an address costs that a connection lists.
func BenchmarkAddressMemory(b *testing.B) {
	beside.Memory(b,
		func(all []string) any { return listing(all) },
		func(all []string) any { return plainly(all) },
	)
}
