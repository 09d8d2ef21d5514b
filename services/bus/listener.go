package bus

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/address"
)

// table is who listens to what, where everything else goes, and what waits for
// one of both. One mutex guards it; nothing that could block happens under it.
// Posts whose way is known only read.
type table struct {
	limits   *Limits
	metrics  *metrics
	ask      *asker
	carryOut func([]verdict) // for what a timer decides

	mu        sync.RWMutex
	places    map[string]*place
	listeners int
	routes    *routes
	homes     *cache[string, string] // the runtimes of addresses, of those that know flows
	lobby     lobby
	waiting   map[*place]struct{} // places that have a line
	came      time.Time           // when a listener came last

	flows *flows                    // set once, before anything is routed
	mesh  *mesh                     // likewise; nil when there are no other replicas
	began atomic.Pointer[time.Time] // when the bus did, or another replica was lost

	// What other replicas are told, and what they have told.
	shared  map[added]*shared
	clients map[string]whereabouts
	cutting bool // the listener that is being removed was cut off at another replica

	lingering map[added]time.Time // aliases without an owner, and how long they stay
}

// place is what is known about one address. It is there as long as anything is.
//
//	changes ──leads to──▶ p2p connection ──leads to──▶ stub
//	takers: inbox        takers: inbox               own: inbox
//	"p2p connection"     "p2p connection"            "stub"
//	(all three belong to the stub's stream)
type place struct {
	address string
	own     []*inbox            // of streams that listen to the address itself
	aliases []alias             // listeners that lead elsewhere
	led     map[*stream]*inbox  // of streams that an alias leads to, under the name of the address
	through []*inbox            // led, and what aliases of aliases lead to
	takers  []*inbox            // own and through: who takes a message
	leading map[string]int      // addresses that have aliases to here, and how many
	line    *line               // messages that wait for a way to the address
	parked  map[*place]struct{} // places whose line waits for a listener here
	absent  time.Time           // its listener was cut off, and may come back until then
	unheard bool                // this bus never had that listener
}

// alias leads from its place to another address. It may be dangling: the
// address is not listened to while the target is away, and is again when the
// target is back.
type alias struct {
	owner  *stream // nil of one that lingers
	target string
}

// aliasDepth is how many aliases may stand in a row: two are needed.
const aliasDepth = 4

func newTable(l *Limits, m *metrics, ask *asker, carryOut func([]verdict)) *table {
	t := &table{
		limits: l, metrics: m, ask: ask, carryOut: carryOut,
		places: map[string]*place{},
		homes:  newCache[string, string](l.Routes),
		lobby:  lobby{limits: l}, waiting: map[*place]struct{}{},
		shared: map[added]*shared{}, lingering: map[added]time.Time{}, clients: map[string]whereabouts{},
	}
	t.routes = newRoutes(l.Routes, func(address string) *place { return t.places[address] })
	t.shaken()
	return t
}

// place gives what is known about an address, and makes it if there is nothing.
func (t *table) place(address string) *place {
	pl := t.places[address]
	if pl == nil {
		address = strings.Clone(address) // it may share its text with a whole message
		pl = &place{address: address}
		t.places[address] = pl
		t.routes.placed(address, pl)
	}
	return pl
}

// tidy forgets a place about which nothing is known any more.
func (t *table) tidy(pl *place) {
	if len(pl.own)+len(pl.aliases)+len(pl.leading)+len(pl.parked) == 0 && pl.line == nil && pl.absent.IsZero() {
		delete(t.places, pl.address)
		t.routes.placed(pl.address, nil)
	}
}

// anyAddress takes what no other listener of its stream is named for.
const anyAddress = "*"

func validateListener(c *pb.ListenerChange) error {
	for _, a := range []string{c.GetAddress(), c.GetLeadsTo()} {
		if len(a) > address.MaxLength {
			return wrong(address.TooLong("address"))
		}
	}
	switch leads := c.GetLeadsTo(); {
	case c.GetAddress() == "":
		return wrong(address.Missing("address"))
	case leads != "" && (leads == anyAddress || c.GetAddress() == anyAddress || leads == c.GetAddress()):
		return refuse(reasonInvalid, 400, "%q cannot lead to %q", c.GetAddress(), leads)
	}
	return nil
}

// added is a listener that a stream has added. One address may lead to several
// others: a registry's changes go over the connection of each that wants them.
type added struct{ address, leadsTo string }

// add adds a listener of a stream. Adding what is there already changes
// nothing; 429 past a bound.
func (t *table) add(s *stream, c *pb.ListenerChange) ([]verdict, error) {
	if err := validateListener(c); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := added{c.GetAddress(), c.GetLeadsTo()}
	if _, ok := s.listeners[key]; ok {
		return nil, nil
	}
	switch {
	case s.listeners == nil:
		return nil, refuse(reasonGone, 503, "the stream has ended")
	case len(s.listeners) >= t.limits.StreamListeners:
		return nil, refuse(reasonStreamFull, 429, "the stream has %d listeners already", len(s.listeners))
	case t.listeners >= t.limits.Listeners:
		return nil, refuse(reasonStreamFull, 429, "the bus has %d listeners already", t.listeners)
	}
	if err := t.mayLead(c.GetAddress(), c.GetLeadsTo()); err != nil {
		return nil, err
	}
	s.listeners[key] = struct{}{}
	t.listeners++
	t.share(s, c)
	return t.insert(s, c, s.comp), nil
}

// mayLead refuses an alias that would close a circle, or a row of too many.
func (t *table) mayLead(address, target string) error {
	if target == "" {
		return nil
	}
	below, circle := t.below(t.places[target], address)
	if circle || below+t.above(t.places[address]) >= aliasDepth {
		return refuse(reasonInvalid, 409, "%s leads back to %s, or over more than %d others", target, address, aliasDepth)
	}
	return nil
}

// below counts the longest row of aliases from a place on, and tells whether
// one leads to an address.
func (t *table) below(pl *place, address string) (longest int, found bool) {
	if pl == nil {
		return 0, false
	}
	for _, a := range pl.aliases {
		n, hit := t.below(t.places[a.target], address)
		longest, found = max(longest, n+1), found || hit || a.target == address
	}
	return longest, found
}

// above counts the longest row of aliases that leads to a place.
func (t *table) above(pl *place) (longest int) {
	if pl == nil {
		return 0
	}
	for from := range pl.leading {
		longest = max(longest, t.above(t.places[from])+1)
	}
	return longest
}

func (t *table) insert(s *stream, c *pb.ListenerChange, comp pb.Component) []verdict {
	window := t.window(c)
	if c.GetAddress() == anyAddress {
		s.setStar(window)
		return nil
	}
	t.came = time.Now()
	pl := t.place(c.GetAddress())
	if c.GetLeadsTo() == "" {
		pl.own = append(pl.own, s.open(pl.address, pl.address, window, comp))
		pl.absent = time.Time{}
		return t.refresh(pl)
	}
	pl.aliases = append(pl.aliases, alias{s, c.GetLeadsTo()})
	target := t.place(c.GetLeadsTo())
	if target.leading == nil {
		target.leading = map[string]int{}
	}
	target.leading[pl.address]++
	t.owned(added{c.GetAddress(), c.GetLeadsTo()})
	return t.refresh(pl)
}

func (t *table) window(c *pb.ListenerChange) int {
	if c.GetWindow() == 0 {
		return t.limits.Window
	}
	return min(int(c.GetWindow()), t.limits.MaxWindow)
}

// remove takes a listener of a stream away; 404 when there is none.
func (t *table) remove(s *stream, address, leadsTo string) ([]verdict, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := added{address, leadsTo}
	if _, ok := s.listeners[key]; !ok {
		return nil, refuse(reasonNoListener, 404, "%s is not listened to", address)
	}
	delete(s.listeners, key)
	return t.drop(s, key, false), nil
}

// removeAll takes all listeners of a stream away, and lets it add none.
func (t *table) removeAll(s *stream) []verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	var verdicts []verdict
	returning := s.returning() || s.peer != "" // clients of a replica that is lost go to another one
	for key := range s.listeners {
		verdicts = append(verdicts, t.drop(s, key, returning)...)
	}
	s.listeners = nil
	return verdicts
}

// drop takes a listener away; returning says that it was cut off, and may come back.
func (t *table) drop(s *stream, key added, returning bool) []verdict {
	address, leadsTo := key.address, key.leadsTo
	t.listeners--
	t.unshare(s, key, returning)
	if address == anyAddress {
		s.setStar(0)
		return nil
	}
	pl := t.places[address]
	if leadsTo == "" {
		i := slices.IndexFunc(pl.own, func(in *inbox) bool { return in.stream == s })
		in := pl.own[i]
		pl.own = slices.Delete(pl.own, i, i+1)
		return append(t.leave(pl, in), t.refresh(pl)...)
	}
	if t.linger(s, key, returning) {
		return nil
	}
	target := t.places[leadsTo]
	t.unlead(pl, alias{s, leadsTo})
	verdicts := t.refresh(pl)
	t.tidy(target)
	return verdicts
}

// leave closes the inbox of a listener that is not at a place any more. The last one
// may come back.
func (t *table) leave(pl *place, in *inbox) []verdict {
	if len(pl.own)+len(pl.through) == 0 && t.returning(in) {
		return t.await(pl, in)
	}
	return t.shut(in)
}

// shut closes an inbox.
func (t *table) shut(in *inbox) []verdict {
	verdicts, hungry := in.close()
	for f := range hungry {
		t.flows.wake(f)
	}
	return verdicts
}

// refresh finds anew who takes messages for a place and for those that lead to
// it, and lets go what waited for that.
func (t *table) refresh(pl *place) []verdict {
	verdicts := t.lead(pl)
	if pl.takers = pl.own; len(pl.through) > 0 {
		pl.takers = slices.Concat(pl.own, pl.through)
	}
	for address := range pl.leading {
		verdicts = append(verdicts, t.refresh(t.places[address])...)
	}
	t.flows.moved(pl.address)
	if len(pl.takers) > 0 {
		t.mesh.look()
		verdicts = append(verdicts, t.retry(pl)...)
		for _, waiting := range slices.Collect(maps.Keys(pl.parked)) {
			verdicts = append(verdicts, t.retry(waiting)...)
		}
	}
	t.tidy(pl)
	return verdicts
}

// lead follows the aliases of a place: to a stream's own listener, under the
// name of the place; to another alias, under the name that has there. However
// many aliases lead to a stream under one name, there is one inbox.
func (t *table) lead(pl *place) []verdict {
	if len(pl.aliases)+len(pl.led) == 0 {
		pl.through = nil
		return nil
	}
	before := pl.led
	pl.led, pl.through = map[*stream]*inbox{}, nil
	for _, a := range pl.aliases {
		target := t.places[a.target]
		for _, own := range target.own {
			if in := pl.leadTo(own, before); in != nil {
				pl.through = append(pl.through, in)
			}
		}
		for _, in := range target.through {
			if !slices.Contains(pl.through, in) {
				pl.through = append(pl.through, in)
			}
		}
	}
	var verdicts []verdict
	for s, in := range before {
		if pl.led[s] != in {
			verdicts = append(verdicts, t.leave(pl, in)...)
		}
	}
	return verdicts
}

// leadTo gives the inbox under the place's name of the stream that a listener
// belongs to; nil when there is one already.
func (pl *place) leadTo(own *inbox, before map[*stream]*inbox) *inbox {
	s := own.stream
	if pl.led[s] != nil || slices.ContainsFunc(pl.own, func(in *inbox) bool { return in.stream == s }) {
		return nil
	}
	in := before[s]
	if in == nil || in.stub != own.stub {
		in = s.open(pl.address, own.stub, own.window, own.comp)
	}
	pl.led[s] = in
	return in
}

// open makes an inbox of the stream. For a name other than the listener's own,
// the window of `*` counts, when there is one.
func (s *stream) open(name, stub string, window int, comp pb.Component) *inbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name != stub && s.star > 0 {
		window = s.star
	}
	if s.unlimited {
		window = unlimited
	}
	in := &inbox{stream: s, name: name, stub: stub, window: window, comp: comp}
	if s.peer != "" {
		s.opened++
		in.number = s.opened
	}
	s.inboxes[name] = in
	return in
}

func (s *stream) setStar(window int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.star = window
}
