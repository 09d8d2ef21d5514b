package registry

import (
	"maps"
	"slices"
)

// feed is what this registry publishes of itself (section 9, step 6): the
// addresses that run here, and which remote runtimes want to know. Registry.mu
// guards it.
type feed struct {
	all         map[string]struct{}
	published   map[string]struct{}   // what the last update said
	version     uint64                // of that
	subscribers map[string]subscriber // by remote runtime
	wake        chan struct{}
}

// subscriber is a remote registry that wants to know.
type subscriber struct {
	deltas bool   // it knows added, removed and version
	link   string // its name for the connection: another one is a new beginning
}

func newFeed() feed {
	return feed{
		all: map[string]struct{}{}, published: map[string]struct{}{},
		version: 1, subscribers: map[string]subscriber{}, wake: make(chan struct{}, 1),
	}
}

func (f *feed) add(url string)    { f.all[url] = struct{}{}; f.signal() }
func (f *feed) remove(url string) { delete(f.all, url); f.signal() }

func (f *feed) unsubscribe(remote string) { delete(f.subscribers, remote) }

func (f *feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// change is the body of an update, and of the answer to a subscription: all
// addresses, and for those who said `deltas` what is new, what is gone, and a
// number that grows by one with each update.
type change struct {
	Value   []string `json:"value"`
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Version uint64   `json:"version,omitempty"`
}

// next gives the update that is due; false when nothing has changed.
func (f *feed) next() (change, bool) {
	c := change{Value: f.sorted()}
	for url := range f.all {
		if _, had := f.published[url]; !had {
			c.Added = append(c.Added, url)
		}
	}
	for url := range f.published {
		if _, has := f.all[url]; !has {
			c.Removed = append(c.Removed, url)
		}
	}
	if len(c.Added)+len(c.Removed) == 0 {
		return change{}, false
	}
	slices.Sort(c.Added)
	slices.Sort(c.Removed)
	f.published = maps.Clone(f.all)
	f.version++
	c.Version = f.version
	return c, true
}

// now is the answer to a subscription. An update that is due already comes after
// it, and says again what is new.
func (f *feed) now() change {
	return change{Value: f.sorted(), Version: f.version}
}

// sorted gives all addresses; never nil, which would not be a list in JSON.
func (f *feed) sorted() []string {
	all := slices.AppendSeq(make([]string, 0, len(f.all)), maps.Keys(f.all))
	slices.Sort(all)
	return all
}

// plain leaves out what only some receivers know.
func (c change) plain() change { return change{Value: c.Value} }

// anyDeltas tells whether an update is worth its deltas: it goes to all
// subscribers at once, and the others ignore them.
func (f *feed) anyDeltas() bool {
	for _, s := range f.subscribers {
		if s.deltas {
			return true
		}
	}
	return false
}
