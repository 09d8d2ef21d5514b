package registry

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/story"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/status"
)

// TestReplicaStories plays stories of several registries and P2P stubs. The registries
// are real, each with a connection of its own to NATS; the P2P stubs do what the story
// says. Below each event stands what the P2P stubs were told, who leads, and the table as
// the leader has it.
//
//	> registry r1        starts, and leads if nobody does
//	> p2pstub s1         starts
//	> message bob        something is sent to that remote runtime
//	> invitation carol   of that remote runtime; the second one is the first repeated
//	> live bob           the connection that is under way is established
//	> dies r1            its process is killed: it says nothing to anyone
//	> stops r1           it is told to stop
//	> leaves s1          it is told to stop, and says so
func TestReplicaStories(t *testing.T) { story.Play(t, "testdata/replicas/*.txt", playReplicas) }

// replicaTeller plays one story.
type replicaTeller struct {
	t          *testing.T
	b          *bed
	nats       string // where it is
	registries map[string]*registryReplica
	engines    map[string]*engine.Engine
	stubs      map[string]*stubReplica
	remotes    map[string]string // runtimes by name
	entries    []string          // ids, in the order in which they were seen
	told       int               // of the world's history
	out        strings.Builder
}

func playReplicas(t *testing.T, text string) string {
	tell := &replicaTeller{
		t: t, nats: serveNATS(t, &natsserver.Options{}), registries: map[string]*registryReplica{}, engines: map[string]*engine.Engine{},
		stubs: map[string]*stubReplica{}, remotes: map[string]string{},
	}
	tell.b = newBedOver(t, tell.engine("bed"))
	story.Tell(text, &tell.out, func(event string) {
		words := strings.Fields(event)
		if len(words) != 2 {
			t.Fatalf("no event in %q", event)
		}
		tell.do(words[0], words[1])
		tell.describe()
	})
	return tell.out.String()
}

func (tell *replicaTeller) engine(name string) *engine.Engine {
	tell.t.Helper()
	e, err := engine.Open(tell.t.Context(), engine.Config{URL: tell.nats, Name: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tell.t.Fatal(err)
	}
	tell.t.Cleanup(e.Close)
	return e
}

func (tell *replicaTeller) do(what, name string) {
	tell.t.Helper()
	switch what {
	case "registry":
		e := tell.engine(name)
		tell.engines[name] = e
		tell.registries[name] = tell.b.registryOver(e, name, mayLead, nil)
		tell.metByAll()
	case "p2pstub":
		tell.stubs[name] = tell.b.stub(name)
		tell.metByAll()
	case "message":
		tell.message(tell.remote(name))
	case "invitation":
		tell.invitation(tell.remote(name))
	case "live":
		tell.live(tell.remote(name))
	case "dies", "stops":
		tell.end(name, what == "dies")
	case "leaves":
		tell.leaves(name)
	default:
		tell.t.Fatalf("unknown event %q", what)
	}
}

// remote gives the runtime of a name, in a domain of its own.
func (tell *replicaTeller) remote(name string) string {
	if tell.remotes[name] == "" {
		domain := name + ".example"
		url := "hyperty-runtime://" + domain + "/r"
		tell.b.answer(address.DomainRegistry(domain), found(url, url+"/p2phandler/1"))
		tell.remotes[name] = url
	}
	return tell.remotes[name]
}

// until waits for what no single event tells.
func (tell *replicaTeller) until(what string, holds func() bool) {
	tell.t.Helper()
	for late := time.After(patience); !holds(); {
		select {
		case <-time.After(time.Millisecond):
		case <-late:
			tell.t.Fatalf("%s: not so after\n%s", what, tell.out.String())
		}
	}
}

// leads waits until a registry leads.
func (tell *replicaTeller) leads() (leader string, r *running) {
	tell.t.Helper()
	tell.until("a registry leads", func() bool {
		for name, one := range tell.registries {
			if own, _, _ := one.who(); own != nil {
				leader, r = name, &running{Registry: own, api: one.api}
			}
		}
		return r != nil
	})
	return leader, r
}

// metByAll waits until the registry that leads has met each P2P stub.
func (tell *replicaTeller) metByAll() {
	tell.t.Helper()
	if len(tell.registries) == 0 {
		return
	}
	_, r := tell.leads()
	tell.until("all P2P stubs are seen", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return !slices.ContainsFunc(slices.Collect(maps.Keys(tell.stubs)), func(name string) bool {
			return r.p2p[name] == nil || !r.p2p[name].usable()
		})
	})
	for _, s := range tell.stubs {
		tell.b.answer(s.has(handler, ""), ok)
	}
}

func entryOf(r *running, remote string) connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known.table.get(remote)
}

// message asks any registry for a connection, one that stands by if there is one.
func (tell *replicaTeller) message(remote string) {
	tell.t.Helper()
	leader, r := tell.leads()
	api := r.api
	for name, other := range tell.registries {
		if name != leader {
			api = other.api
		}
	}
	u, err := address.ParseRuntime(remote)
	if err != nil {
		tell.t.Fatal(err)
	}
	connect(tell.t, api, "hyperty://"+u.Domain+"/1")
	tell.deployed(r, remote)
}

// deployed waits until the P2P stub of an entry has its requester, which begins.
func (tell *replicaTeller) deployed(r *running, remote string) {
	tell.t.Helper()
	tell.until("a P2P stub has it", func() bool { return tell.stubs[entryOf(r, remote).Replica] != nil })
	s := tell.stubs[entryOf(r, remote).Replica]
	stub := s.has(requester, remote)
	if entryOf(r, remote).State == status.Created {
		s.says(stub, requester, remote, createdState)
	}
}

func (tell *replicaTeller) invitation(remote string) {
	tell.t.Helper()
	_, r := tell.leads()
	m := invitation(tell.t, remote, r.handler)
	before := tell.taken(m.From)
	tell.b.deliver(m)
	tell.b.until("it is taken", func() bool { return countOf(tell.b.history, takenOf(m.From)) > before })
}

func takenOf(from string) string { return " take create " + from }

func (tell *replicaTeller) taken(from string) int {
	tell.b.world.mu.Lock()
	defer tell.b.world.mu.Unlock()
	return countOf(tell.b.history, takenOf(from))
}

func countOf(history []string, part string) (n int) {
	for _, l := range history {
		if strings.HasSuffix(l, part) {
			n++
		}
	}
	return n
}

// live has the P2P stub that sets something up say that it is done.
func (tell *replicaTeller) live(remote string) {
	tell.t.Helper()
	_, r := tell.leads()
	c := entryOf(r, remote)
	if c.Stub == "" { // of an invitation
		c.Replica, c.Role = tell.takenBy(remote), handler
		c.Stub = tell.stubs[c.Replica].has(handler, "")
	}
	tell.b.answer(c.Stub, ok)
	s := tell.stubs[c.Replica]
	s.says(c.Stub, c.Role, remote, createdState)
	s.says(c.Stub, c.Role, remote, liveState)
	r.state(tell.t, remote, status.Live)
}

// takenBy is the P2P stub that has taken the invitation of a runtime.
func (tell *replicaTeller) takenBy(remote string) (name string) {
	tell.t.Helper()
	part := takenOf(invitation(tell.t, remote, "").From)
	tell.b.world.mu.Lock()
	defer tell.b.world.mu.Unlock()
	for _, l := range tell.b.history {
		if by, is := strings.CutSuffix(l, part); is {
			name = by
		}
	}
	return name
}

// end ends a registry. Where it was the one that led, what was live is so for the next.
func (tell *replicaTeller) end(name string, dies bool) {
	tell.t.Helper()
	_, r := tell.leads()
	before := r.entries()
	one := tell.registries[name]
	delete(tell.registries, name)
	if dies {
		tell.b.mu.Lock()
		tell.b.dead[name] = true
		tell.b.mu.Unlock()
		tell.engines[name].Close()
	}
	one.stop()
	tell.metByAll()
	_, next := tell.leads()
	for _, c := range before {
		if c.State == status.Live {
			next.state(tell.t, c.Remote, status.Live)
		}
	}
}

// leaves has a P2P stub say that it is told to stop.
func (tell *replicaTeller) leaves(name string) {
	tell.t.Helper()
	_, r := tell.leads()
	before := r.entries()
	s := tell.stubs[name]
	delete(tell.stubs, name)
	s.tell(&pb.P2PStubWatchResponse{Leaving: true})
	for _, c := range before {
		switch {
		case c.Replica != name:
		case c.Role == requester:
			tell.deployed(r, c.Remote)
		default: // its handler is not known here: the other side invites again
			tell.until(c.Remote+" is lost", func() bool { return entryOf(r, c.Remote).State != status.Live })
		}
	}
	s.stop()
}

// describe says what came of it.
func (tell *replicaTeller) describe() {
	tell.b.world.mu.Lock()
	var did []string
	for _, l := range tell.b.history[tell.told:] {
		if strings.Contains(l, " deploy requester ") || strings.Contains(l, " take create ") {
			did = append(did, l)
		}
	}
	tell.told = len(tell.b.history)
	tell.b.world.mu.Unlock()
	slices.Sort(did)
	for _, l := range did {
		fmt.Fprintf(&tell.out, "  %s\n", tell.named(l))
	}
	if len(tell.registries) == 0 {
		return
	}
	leader, r := tell.leads()
	fmt.Fprintf(&tell.out, "  %s leads\n", leader)
	all := r.entries()
	slices.SortFunc(all, func(a, b connection) int { return strings.Compare(a.Remote, b.Remote) })
	for _, c := range all {
		fmt.Fprintf(&tell.out, "  entry %d: %s, %s, %s at %s\n", tell.number(c.ID), tell.named(c.Remote), c.State, roleName(c.Role), c.Replica)
	}
}

// named puts the names of a story in the place of addresses.
func (tell *replicaTeller) named(text string) string {
	for name, url := range tell.remotes {
		text = strings.ReplaceAll(text, "create "+invitation(tell.t, url, "").From, "the invitation of "+name)
		text = strings.ReplaceAll(text, url, name)
	}
	return text
}

func (tell *replicaTeller) number(id string) int {
	if !slices.Contains(tell.entries, id) {
		tell.entries = append(tell.entries, id)
	}
	return slices.Index(tell.entries, id) + 1
}
