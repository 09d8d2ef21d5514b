package registry

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
)

// table is the p2pConnection table: one entry per remote runtime, which is what
// makes a second set-up impossible, found by runtime, by id and by the remote
// addresses. It has no lock; Registry.mu guards it.
type table struct {
	limits   Limits
	byRemote map[string]*connection
	byID     map[string]string // id → remote
	listings listings
	ended    map[string]*past // by remote runtime; none of those in byRemote
}

func newTable(l Limits) *table {
	return &table{limits: l, byRemote: map[string]*connection{}, byID: map[string]string{}, listings: newListings(), ended: map[string]*past{}}
}

// get gives the entry of a runtime; the zero connection when there is none.
func (t *table) get(remote string) connection {
	if c := t.byRemote[remote]; c != nil {
		return *c
	}
	return connection{}
}

// put stores what next gave. An entry that does not exist any more goes, with its
// addresses, which are returned.
func (t *table) put(remote string, c connection) (lost []string) {
	if c.exists() {
		delete(t.ended, remote)
		t.byRemote[remote] = &c
		t.byID[c.ID] = remote
		t.listings.byRemote[remote].enter(&c)
		return nil
	}
	if old := t.byRemote[remote]; old != nil {
		delete(t.byID, old.ID)
		t.end(old)
	}
	delete(t.byRemote, remote)
	return t.listings.clear(remote)
}

// find gives the remote runtime by an entry's id or by its own URL.
func (t *table) find(idOrRemote string) (string, bool) {
	if remote, ok := t.byID[idOrRemote]; ok {
		return remote, true
	}
	_, ok := t.byRemote[idOrRemote]
	return idOrRemote, ok
}

// owner gives the remote runtime whose entry lists an address, or one that it
// stands below; nil when there is none.
func (t *table) owner(u address.URL) *owner {
	for a := range ancestry(u) {
		if o := t.listings.of(a); o != nil {
			return o
		}
	}
	return nil
}

// add lists an address of a runtime that has an entry, unless another one's has it
// already or there are limit of them.
func (t *table) add(remote, addr string, how origin, limit int) bool {
	c := t.byRemote[remote]
	return c != nil && t.listings.add(remote, c, addr, how, limit)
}

// proto gives an entry as the API has it.
func (t *table) proto(c *connection) *pb.Connection {
	p := &pb.Connection{
		Id: c.ID, RemoteRuntimeUrl: c.Remote, Role: c.Role, State: c.State.Proto(), StubUrl: c.Stub,
		P2PConnectionUrl: c.URL, RemoteAddresses: t.listings.sorted(c.Remote),
		Reason: c.Reason, Attempts: uint32(max(c.Attempts, 0)), // small
		Path: c.Path.Way, PathReason: c.Path.Reason, Generation: c.news.generation, Replica: c.Replica,
	}
	if !c.Path.Since.IsZero() {
		p.PathSince = timestamp(c.Path.Since)
	}
	if c.news.roundTrip > 0 && c.usable() {
		p.RoundTrip = durationpb.New(c.news.roundTrip)
	}
	if !c.NextAttempt.IsZero() {
		p.NextAttempt = timestamp(c.NextAttempt)
	}
	for _, tr := range c.Transitions {
		p.Transitions = append(p.Transitions, &pb.Transition{
			State: tr.State.Proto(), Time: timestamp(tr.Time), Reason: tr.Reason,
		})
	}
	return p
}

// due gives the events that time alone brings about.
func (t *table) due(now time.Time, l Limits) []event {
	var events []event
	t.forgetEnded(now)
	for remote, c := range t.byRemote {
		switch {
		case c.isOverdue(now):
			events = append(events, event{kind: overdue, remote: remote})
		case c.Phase == idle && !c.usable() && now.Sub(c.changed()) > l.Retention:
			events = append(events, event{kind: expired, remote: remote, reason: "without connection for too long"})
		}
	}
	return events
}

// isOverdue tells whether something of an entry has taken too long.
func (c *connection) isOverdue(now time.Time) bool {
	if c.Successor.Stub != "" && !now.Before(c.Successor.deadline) {
		return true
	}
	return (c.underWay() || c.Phase == restarting) && !now.Before(c.deadline)
}

// attempts tells which entries a set-up is due for without a message that wants it: what was
// lost, and what is worn. Of what was lost they are those that have been due for longest, and no
// more than leave l.AtOnce set-ups of this side's under way: when all connections are lost at
// once, those that begin are to be over within their time. What is worn does not wait for these.
func (t *table) attempts(now time.Time, wants Wanted, l Limits) (lost, worn []string) {
	room := l.AtOnce
	for remote, c := range t.byRemote {
		if c.underWay() && c.Role == requester {
			room--
		}
		switch {
		case wants == Never:
		case c.usable():
			if c.news.worn && c.Successor.Stub == "" && !now.Before(c.renewAt) {
				worn = append(worn, remote)
			}
		case c.Phase == idle && !c.Resting && c.Attempts < l.Retries && !c.NextAttempt.IsZero() && !now.Before(c.NextAttempt) &&
			(wants == Always || c.Role == requester):
			lost = append(lost, remote)
		}
	}
	slices.SortFunc(lost, func(a, b string) int { return t.byRemote[a].NextAttempt.Compare(t.byRemote[b].NextAttempt) })
	return lost[:min(len(lost), max(room, 0))], worn
}

// changed is when an entry last did something.
func (c *connection) changed() time.Time {
	at := c.NextAttempt
	if n := len(c.Transitions); n > 0 && c.Transitions[n-1].Time.After(at) {
		at = c.Transitions[n-1].Time
	}
	return at
}

// ancestry gives an address and what it stands below, down to
// `<scheme>://<domain>/<id>`.
func ancestry(u address.URL) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		addr, least := u.Text, len(entityOf(u))
		for {
			if !yield(addr) {
				return
			}
			cut := strings.LastIndexByte(addr, '/')
			if cut < least || cut <= 0 {
				return
			}
			addr = addr[:cut]
		}
	}
}

// entity is what a domain registry knows an address by: the hyperty or the data
// object, without what stands below it. Any other address is its own.
func entity(addr string) string {
	u, err := address.Parse(addr)
	if err != nil {
		return addr
	}
	return entityOf(u)
}

// entityOf is entity of an address that has been parsed.
func entityOf(u address.URL) string {
	switch {
	case u.Runtime != "":
		return u.Runtime
	case u.Kind != address.Hyperty && u.Kind != address.DataObject && u.Kind != address.ConnectionData:
		return u.Text
	}
	start := len(u.Scheme) + len("://") + len(u.Domain) + 1
	if start >= len(u.Text) {
		return u.Text
	}
	if cut := strings.IndexByte(u.Text[start:], '/'); cut >= 0 {
		return u.Text[:start+cut]
	}
	return u.Text
}
