package registry

import "time"

// cache keeps what domain registries answered: where an address is, or that it is
// nowhere. What has been found is used for a while after it is due to be asked for
// again, and after a restart, so that messages on their way there stay on it. It has
// no lock and no clock; Registry.mu guards it.
type cache struct {
	limits    Limits
	places    map[string]place    // by entity
	handlers  map[string]string   // handler stub by runtime, as long as a place there is known
	flows     map[string]struct{} // runtimes that have announced flows
	announced uint64              // counts the changes of flows
	unsaved   map[string]struct{} // entities whose place is not in the store as it is here
}

// place is where an address is. An empty runtime: nowhere, or not known.
type place struct {
	unknown bool // the domain registry could not be asked; the rest is from before
	runtime string
	handler string    // the runtime's handler stub; may be empty
	flow    bool      // the runtime has announced flows
	since   time.Time // when the domain registry answered
	until   time.Time
	old     bool // expire has said so
}

func newCache(l Limits) *cache {
	return &cache{limits: l, places: map[string]place{}, handlers: map[string]string{}, flows: map[string]struct{}{}, unsaved: map[string]struct{}{}}
}

// get gives what is known of an entity, unless it is due to be asked for again.
func (c *cache) get(entity string, now time.Time) (place, bool) {
	p, ok := c.places[entity]
	if !ok || !now.Before(p.until) {
		return place{}, false
	}
	return p, true
}

// getOnPurpose is get for who asks on purpose, and so does not take for long that an
// address is nowhere: it may have been registered since.
func (c *cache) getOnPurpose(entity string, now time.Time) (place, bool) {
	p, ok := c.get(entity, now)
	if ok && !p.unknown && p.runtime == "" && now.Sub(p.since) >= c.limits.AskAgain {
		return place{}, false
	}
	return p, ok
}

// last gives what was known last.
func (c *cache) last(entity string) place { return c.places[entity] }

// isOld tells whether what is known of an entity is due to be asked for again.
func (c *cache) isOld(entity string, now time.Time) bool {
	p, ok := c.places[entity]
	return ok && !now.Before(p.until)
}

// put keeps an answer. When the cache is full, any other one goes. No answer
// changes nothing of what is known.
func (c *cache) put(entity string, p place, now time.Time) {
	if p.unknown {
		p = c.last(entity)
		p.unknown = true
	}
	p.since, p.until, p.old = now, now.Add(c.limits.keeps(p)), false
	c.set(entity, p)
	if p.unknown || p.runtime == "" {
		return
	}
	if p.handler != "" {
		makeRoom(c.handlers, p.runtime, c.limits.Cache)
		c.handlers[p.runtime] = p.handler
	}
	c.announce(p.runtime, p.flow)
}

// set keeps a place. What of it is worth to be known after a restart is to be saved.
func (c *cache) set(entity string, p place) {
	before := c.places[entity]
	if _, had := c.places[entity]; !had && len(c.places) >= c.limits.Cache {
		for other := range c.places {
			c.remove(other)
			break
		}
	}
	c.places[entity] = p
	if before.runtime != p.runtime || before.handler != p.handler || before.flow != p.flow {
		c.mark(entity)
	}
}

func (c *cache) remove(entity string) {
	if c.places[entity].runtime != "" {
		c.mark(entity)
	}
	delete(c.places, entity)
}

// mark has a place saved. While the store takes nothing there is an end to what is
// remembered for it.
func (c *cache) mark(entity string) {
	if len(c.unsaved) < c.limits.Cache {
		c.unsaved[entity] = struct{}{}
	}
}

// hint keeps where an address is that no domain registry was asked for: a remote
// registry has listed it. It is asked for when the connection is lost.
func (c *cache) hint(entity, runtime string, flow bool, now time.Time) {
	if c.places[entity].runtime == "" {
		c.set(entity, place{runtime: runtime, flow: flow, until: now, old: true})
	}
}

// restore takes over what the store has: it is old, and better than nothing.
func (c *cache) restore(all map[string]savedPlace, now time.Time) {
	for entity, saved := range all {
		c.set(entity, place{runtime: saved.Runtime, handler: saved.Handler, flow: saved.Flow, until: now, old: true})
		if saved.Flow {
			c.announce(saved.Runtime, true)
		}
	}
	clear(c.unsaved)
}

// toSave gives what has to be saved, and what removed, since it was called last.
func (c *cache) toSave() map[string]savedPlace {
	all := make(map[string]savedPlace, len(c.unsaved))
	for entity := range c.unsaved {
		p := c.places[entity]
		all[entity] = savedPlace{Entity: entity, Runtime: p.runtime, Handler: p.handler, Flow: p.flow}
	}
	clear(c.unsaved)
	return all
}

// announce keeps whether a runtime has announced flows.
func (c *cache) announce(runtime string, flow bool) {
	if _, had := c.flows[runtime]; had == flow {
		return
	}
	c.announced++
	if !flow {
		delete(c.flows, runtime)
		return
	}
	makeRoom(c.flows, runtime, c.limits.Cache)
	c.flows[runtime] = struct{}{}
}

// keeps is how long an answer is not asked for again.
func (l Limits) keeps(p place) time.Duration {
	switch {
	case p.unknown:
		return l.UnansweredFor
	case p.runtime == "":
		return l.MissingFor
	default:
		return l.FoundFor
	}
}

// makeRoom lets any other entry go when a new one would be too many.
func makeRoom[K comparable, V any](m map[K]V, key K, limit int) {
	if _, has := m[key]; has || len(m) < limit {
		return
	}
	for other := range m {
		delete(m, other)
		return
	}
}

// forget has the addresses of a runtime looked up again before its handler stub
// is used once more.
func (c *cache) forget(runtime string) {
	delete(c.handlers, runtime)
	for e, p := range c.places {
		if p.runtime == runtime {
			p.handler, p.until, p.old = "", time.Time{}, false
			c.places[e] = p
		}
	}
}

// expire gives the entities that have become due to be asked for again, and
// removes what nobody has asked for since and no one uses.
func (c *cache) expire(now time.Time, used func(entity string) bool) []string {
	var due []string
	for e, p := range c.places {
		if now.Before(p.until) {
			continue
		}
		if !p.old {
			due = append(due, e)
			p.old, p.until = true, now
			c.places[e] = p
		}
		switch {
		case p.runtime == "":
			c.remove(e)
		case now.Sub(p.until) < c.limits.FoundFor:
		case used(e):
			p.until = now
			c.places[e] = p
		default:
			c.remove(e)
		}
	}
	return due
}
