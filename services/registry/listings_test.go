package registry

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// modelled is what a plain model knows of an address.
type modelled struct {
	remote string
	how    origin
}

// somewhere gives a runtime and an address, each one of a few.
func somewhere() (remote, addr string) {
	remote = fmt.Sprintf("hyperty-runtime://%c.example/%d", 'b'+rune(rand.N(2)), rand.N(3))
	addr = fmt.Sprintf("hyperty://%c.example/%d", 'b'+rune(rand.N(2)), rand.N(12))
	if rand.N(4) == 0 {
		addr += "/below"
	}
	return remote, addr
}

func TestListingsBesideAPlainMap(t *testing.T) {
	const limit = 8
	tb, model := newTable(DefaultLimits()), map[string]modelled{}
	count := func(remote string) (n int) {
		for _, l := range model {
			if l.remote == remote {
				n++
			}
		}
		return n
	}
	for range 20_000 {
		remote, addr := somewhere()
		how := origin(rand.N(2))
		had, known := model[addr]
		switch rand.N(8) {
		case 0:
			lost := tb.put(remote, connection{})
			if len(lost) != count(remote) {
				t.Fatalf("%s had %d addresses, %v are lost", remote, count(remote), lost)
			}
			for _, a := range lost {
				delete(model, a)
			}
		case 1, 2:
			tb.put(remote, connection{ID: remote, Remote: remote, State: status.Live})
		case 3, 4:
			if want := had.remote == remote; tb.listings.remove(remote, addr) != want {
				t.Fatalf("remove %s of %s is not %v", addr, remote, want)
			} else if want {
				delete(model, addr)
			}
		default:
			want := tb.byRemote[remote] != nil && !known && count(remote) < limit
			if tb.add(remote, addr, how, limit) != want {
				t.Fatalf("add %s to %s is not %v", addr, remote, want)
			}
			if want || had.remote == remote && how == fed {
				model[addr] = modelled{remote, how}
			}
		}
		compareListings(t, tb, model)
	}
}

func compareListings(t *testing.T, tb *table, model map[string]modelled) {
	t.Helper()
	l := &tb.listings
	if len(l.byAddress) != len(model) || len(l.byRemote)+len(l.free) != len(l.owners) {
		t.Fatalf("%d addresses of %d owners, %d free numbers; want %d", len(l.byAddress), len(l.owners), len(l.free), len(model))
	}
	each := map[string]map[origin][]string{}
	for addr, want := range model {
		at, o := l.byAddress[addr], l.of(addr)
		if o.url() != want.remote || o.addresses[at.index()] != addr || l.isAssociated(addr) != (want.how == associated) {
			t.Fatalf("%s is of %s at %d, want %+v", addr, o.url(), at.index(), want)
		}
		if o.entry != tb.byRemote[want.remote] {
			t.Fatalf("the owner of %s has another entry", addr)
		}
		if each[want.remote] == nil {
			each[want.remote] = map[origin][]string{}
		}
		each[want.remote][want.how] = append(each[want.remote][want.how], addr)
	}
	for remote := range l.byRemote {
		for _, how := range []origin{fed, associated} {
			if got := slices.Sorted(slices.Values(l.listed(remote, how))); !slices.Equal(got, slices.Sorted(slices.Values(each[remote][how]))) {
				t.Fatalf("%s lists %v in the way %d, want %v", remote, got, how, each[remote][how])
			}
		}
		if len(l.sorted(remote)) != len(l.all(remote)) || len(l.all(remote)) == 0 {
			t.Fatalf("%s has %v", remote, l.all(remote))
		}
	}
}

// What is kept for plain addresses is what the rules say now, whatever has changed.
func TestPlainDecisionsAreThoseOfTheRules(t *testing.T) {
	states := []connection{
		{State: status.Live}, {State: status.Live}, {State: status.Live, Flow: true}, {State: status.Live, Phase: registering},
		{State: status.Disconnected}, {State: status.Live, news: news{doubt: true}},
	}
	k := newKnowledge()
	plain := 0
	for i := range 20_000 {
		remote, addr := somewhere()
		switch rand.N(12) {
		case 0:
			k.table.put(remote, connection{})
		case 1, 2:
			c := states[rand.N(len(states))]
			c.ID, c.Remote = fmt.Sprint("c", i), remote
			c.URL = address.P2PConnectionURL(runtimeA, c.ID)
			k.table.put(remote, c)
		case 3:
			k.cache.announce(remote, rand.N(2) == 0)
		case 4:
			k.table.listings.remove(remote, addr)
		case 5, 6, 7:
			k.table.add(remote, addr, origin(rand.N(2)), 100)
		}
		q := query{to: addr, at: start, p2p: rand.N(2) == 0}
		if got, want := *k.resolve(&q), k.byRules(q); got != want {
			t.Fatalf("%s: %+v, by the rules %+v", addr, got, want)
		}
		if o := k.table.listings.ofPlain(addr); o != nil && o.decides(k.cache) {
			plain++
		}
	}
	if plain < 1000 {
		t.Errorf("only %d of them were kept", plain)
	}
}

// An address that another runtime lists is ours from the moment at which it is registered
// here; only then is what is kept for it about no address of ours.
func TestWhatIsRegisteredIsNotListed(t *testing.T) {
	const ours, other = "hyperty://a.example/1", "hyperty-runtime://a.example/other"
	r := newWorld(t).start(openEngine(t), nil)
	bus := r.routes(t)
	r.mu.Lock()
	r.known.table.put(other, connection{ID: "c1", Remote: other, State: status.Live, URL: address.P2PConnectionURL(runtimeA, "c1")})
	r.learnLocked(other, []string{ours})
	r.mu.Unlock()
	if route := bus.ask(ours); route.Reason != pb.RouteReason_ROUTE_REASON_CONNECTION_LISTS_ADDRESS {
		t.Fatalf("%v", route)
	}
	if _, err := r.Register(t.Context(), &pb.Registration{Url: ours}); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.learnLocked(other, []string{ours})
	r.mu.Unlock()
	if route := bus.ask(ours); route.Reason != pb.RouteReason_ROUTE_REASON_LOCAL {
		t.Errorf("%v", route)
	}
}
