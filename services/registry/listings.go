package registry

import (
	"slices"

	"github.com/peerbus/peerbus/protocol/address"
)

// listings are the addresses that entries of the p2pConnection table list: whose each is,
// and which each remote runtime has. There may be millions: an address costs its text, a
// place in the map and one in the list of its owner.
type listings struct {
	byAddress map[string]spot
	byRemote  map[string]*owner
	owners    []*owner // by number
	free      []uint32 // numbers of no owner
}

// spot tells whose an address is, and where in its list. It is no pointer: a place
// in the map is to be small.
type spot struct {
	owner uint32
	place uint32 // and isPlain
}

// isPlain is set in the place of an address that is its own entity, and of the domain of
// its runtime: of these, which most are, resolution need not read the text.
const isPlain = 1 << 31

func (s spot) index() int { return int(s.place &^ isPlain) }

func (s spot) plain() bool { return s.place&isPlain != 0 }

// owner is a remote runtime that has addresses.
type owner struct {
	remote    string
	domain    string // of the runtime
	entry     *connection
	decision  *Decision // about its plain addresses; nil until it is needed
	announced uint64    // cache.announced when it was made
	number    uint32
	addresses []string
	origins   []origin // of the addresses
}

// origin tells how an address came into an entry.
type origin uint8

const (
	fed        origin = iota // the remote registry listed it
	associated               // a domain registry said where it is (section 10, rule 5)
)

// url of the runtime; empty without an owner.
func (o *owner) url() string {
	if o == nil {
		return ""
	}
	return o.remote
}

// enter notes another state of its entry.
func (o *owner) enter(c *connection) {
	if o != nil {
		o.entry, o.decision = c, nil
	}
}

// decides tells whether its decision is there, and still right.
func (o *owner) decides(c *cache) bool { return o.decision != nil && o.announced == c.announced }

func newListings() listings {
	return listings{byAddress: map[string]spot{}, byRemote: map[string]*owner{}}
}

// of gives whose an address is; nil when nobody lists it.
func (l *listings) of(addr string) *owner {
	at, ok := l.byAddress[addr]
	if !ok {
		return nil
	}
	return l.owners[at.owner]
}

// ofPlain is of for plain addresses; nil also when an address is not plain.
func (l *listings) ofPlain(addr string) *owner {
	at, ok := l.byAddress[addr]
	if !ok || !at.plain() {
		return nil
	}
	return l.owners[at.owner]
}

// isAssociated tells whether a domain registry alone has said whose an address is.
func (l *listings) isAssociated(addr string) bool {
	at, ok := l.byAddress[addr]
	return ok && l.owners[at.owner].origins[at.index()] == associated
}

// all are the addresses of a runtime. They are the table's.
func (l *listings) all(remote string) []string {
	if o := l.byRemote[remote]; o != nil {
		return o.addresses
	}
	return nil
}

// add lists an address of the runtime of an entry, unless it has an owner already or
// that one has limit of them. What a domain registry has said first, the remote registry
// may say too.
func (l *listings) add(remote string, entry *connection, addr string, how origin, limit int) bool {
	if at, ok := l.byAddress[addr]; ok {
		if o := l.owners[at.owner]; o.remote == remote && how == fed {
			o.origins[at.index()] = fed
		}
		return false
	}
	if len(l.all(remote)) >= limit {
		return false
	}
	u, err := address.Parse(addr)
	if err != nil {
		return false
	}
	o := l.owner(remote, entry)
	at := spot{owner: o.number, place: uint32(len(o.addresses))} // bounded by Limits.Addresses
	if isLookedUp(u) && entityOf(u) == addr && u.Domain == o.domain {
		at.place |= isPlain
	}
	l.byAddress[addr] = at
	o.addresses, o.origins = append(o.addresses, addr), append(o.origins, how)
	return true
}

// owner gives a runtime's, and makes it.
func (l *listings) owner(remote string, entry *connection) *owner {
	if o := l.byRemote[remote]; o != nil {
		return o
	}
	o := &owner{remote: remote, domain: domainOf(remote), entry: entry}
	if n := len(l.free); n > 0 {
		o.number, l.free = l.free[n-1], l.free[:n-1]
		l.owners[o.number] = o
	} else {
		o.number = uint32(len(l.owners)) // bounded by Limits.Connections
		l.owners = append(l.owners, o)
	}
	l.byRemote[remote] = o
	return o
}

// remove takes an address of a runtime out; the last of its list takes the place.
func (l *listings) remove(remote, addr string) bool {
	at, ok := l.byAddress[addr]
	if !ok || l.owners[at.owner].remote != remote {
		return false
	}
	o := l.owners[at.owner]
	delete(l.byAddress, addr)
	i, last := at.index(), len(o.addresses)-1
	if i != last {
		o.addresses[i], o.origins[i] = o.addresses[last], o.origins[last]
		moved := l.byAddress[o.addresses[i]]
		moved.place = moved.place&isPlain | at.place&^isPlain
		l.byAddress[o.addresses[i]] = moved
	}
	o.addresses[last] = ""
	o.addresses, o.origins = o.addresses[:last], o.origins[:last]
	if last == 0 {
		l.drop(o)
	}
	return true
}

// clear takes all addresses of a runtime out, and gives them.
func (l *listings) clear(remote string) []string {
	o := l.byRemote[remote]
	if o == nil {
		return nil
	}
	for _, a := range o.addresses {
		delete(l.byAddress, a)
	}
	l.drop(o)
	return o.addresses
}

func (l *listings) drop(o *owner) {
	delete(l.byRemote, o.remote)
	l.owners[o.number] = nil
	l.free = append(l.free, o.number)
}

// listed gives a runtime's addresses that came in one way.
func (l *listings) listed(remote string, how origin) []string {
	o := l.byRemote[remote]
	if o == nil {
		return nil
	}
	var all []string
	for i, a := range o.addresses {
		if o.origins[i] == how {
			all = append(all, a)
		}
	}
	return all
}

// sorted are a runtime's addresses in their order, a copy.
func (l *listings) sorted(remote string) []string {
	all := slices.Clone(l.all(remote))
	slices.Sort(all)
	return all
}
