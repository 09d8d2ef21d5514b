package main

import "fmt"

// variant is the same domain with something changed. Apart from the first they are not
// built: they say what a change would be worth.
type variant struct {
	name  string
	model *model
}

func (m *model) variants() []variant {
	const shards = 8
	return []variant{
		{"as it is", m},
		{"no records for addresses below a runtime's own URL", m.withoutOwn()},
		{fmt.Sprintf("and %d shards", shards), m.withoutOwn().sharded(shards)},
	}
}

// withoutOwn leaves out the subscriptions of addresses below a runtime's own URL: only
// its session may have what is sent there, so the session itself could say so.
func (m *model) withoutOwn() *model {
	v := *m
	const atStart, perConnection = 4, 0.5
	v.life.subscribers -= atStart + perConnection*float64(m.params.connections)
	v.life.stateWrites -= 2 * perConnection * m.params.setUps / 3600
	return &v
}

// sharded divides both buckets by the hash of the runtime into several, each followed
// by a part of the replicas: the others ask those, so that what is relayed goes over
// one replica more.
func (m *model) sharded(shards int) *model {
	v := *m
	v.shards = shards
	return &v
}
