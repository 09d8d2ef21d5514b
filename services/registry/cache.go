package registry

import "time"

// cache keeps what domain registries answered: where an address is, or that it is
// nowhere. It has no lock and no clock; Registry.mu guards it.
type cache struct {
	limits   Limits
	places   map[string]place  // by entity
	handlers map[string]string // handler stub by runtime, as long as a place there is known
}

// place is where an address is. An empty runtime: nowhere, or not known.
type place struct {
	unknown bool // the domain registry could not be asked
	runtime string
	handler string // the runtime's handler stub; may be empty
	until   time.Time
}

func newCache(l Limits) *cache {
	return &cache{limits: l, places: map[string]place{}, handlers: map[string]string{}}
}

// get gives what is known of an entity now.
func (c *cache) get(entity string, now time.Time) (place, bool) {
	p, ok := c.places[entity]
	if !ok || !now.Before(p.until) {
		return place{}, false
	}
	return p, true
}

// put keeps an answer. When the cache is full, any other one goes.
func (c *cache) put(entity string, p place, now time.Time) {
	p.until = now.Add(c.limits.MissingFor)
	if p.runtime != "" {
		p.until = now.Add(c.limits.FoundFor)
	}
	if _, had := c.places[entity]; !had && len(c.places) >= c.limits.Cache {
		for other := range c.places {
			delete(c.places, other)
			break
		}
	}
	c.places[entity] = p
	if p.handler == "" {
		return
	}
	if len(c.handlers) >= c.limits.Cache {
		clear(c.handlers)
	}
	c.handlers[p.runtime] = p.handler
}

// forget drops what is known of a runtime's addresses.
func (c *cache) forget(runtime string) {
	delete(c.handlers, runtime)
	for e, p := range c.places {
		if p.runtime == runtime {
			delete(c.places, e)
		}
	}
}

// expire removes what is old, and gives the entities.
func (c *cache) expire(now time.Time) []string {
	var old []string
	for e, p := range c.places {
		if !now.Before(p.until) {
			old = append(old, e)
			delete(c.places, e)
		}
	}
	return old
}
