package bus

import "sync/atomic"

// cache keeps up to a number of values and drops one that was not used lately
// (the clock algorithm): a hand goes round, spares what was used since it last
// came by, and takes the first that was not. get may run beside other gets;
// everything else needs the cache for itself.
type cache[K comparable, V any] struct {
	limit int
	slots map[K]*slot[K, V]
	ring  []*slot[K, V]
	hand  int
}

type slot[K comparable, V any] struct {
	key   K
	value V
	place int // in the ring
	used  atomic.Bool
	gone  atomic.Bool // the cache has dropped it
}

// touch notes that a slot is used.
func (s *slot[K, V]) touch() {
	if !s.used.Load() {
		s.used.Store(true)
	}
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: limit, slots: map[K]*slot[K, V]{}}
}

func (c *cache[K, V]) len() int { return len(c.slots) }

func (c *cache[K, V]) get(k K) (V, bool) {
	s := c.find(k)
	if s == nil {
		var none V
		return none, false
	}
	return s.value, true
}

// find is get for who keeps the slot, to look at it without the cache: until it is gone
// it stands for its key. Its value must not be put anew then.
func (c *cache[K, V]) find(k K) *slot[K, V] {
	s := c.slots[k]
	if s != nil {
		s.touch()
	}
	return s
}

func (c *cache[K, V]) put(k K, v V) {
	if s := c.slots[k]; s != nil {
		s.value = v
		return
	}
	if len(c.ring) >= c.limit {
		c.delete(c.victim().key)
	}
	s := &slot[K, V]{key: k, value: v, place: len(c.ring)}
	c.slots[k] = s
	c.ring = append(c.ring, s)
}

func (c *cache[K, V]) victim() *slot[K, V] {
	for {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		s := c.ring[c.hand]
		c.hand++
		if !s.used.Swap(false) {
			return s
		}
	}
}

// delete takes one out; the last of the ring takes its place.
func (c *cache[K, V]) delete(k K) {
	s := c.slots[k]
	if s == nil {
		return
	}
	delete(c.slots, k)
	s.gone.Store(true)
	last := len(c.ring) - 1
	c.ring[s.place] = c.ring[last]
	c.ring[s.place].place = s.place
	c.ring[last] = nil
	c.ring = c.ring[:last]
}

// deleteFunc takes out all whose key is meant.
func (c *cache[K, V]) deleteFunc(meant func(K) bool) {
	for k := range c.slots {
		if meant(k) {
			c.delete(k)
		}
	}
}
