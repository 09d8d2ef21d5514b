package nodestub

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// places says which endpoint of a domain is tried first. It is pure; the zero value
// knows of no failure.
//
//	gRPC before WebSocket
//	└── what has not failed before what has, and of that the longest ago first
//	    └── an order that is the runtime's own: the runtimes of a domain spread
//	        over the replicas of its Message Node
type places struct {
	runtime string
	failed  map[endpoint]int // the number of the failure, from 1
	count   int              // of failures
}

// order gives the endpoints in the order in which they are to be tried, and forgets
// failures of others.
func (p *places) order(all []endpoint) []endpoint {
	for e := range p.failed {
		if !slices.Contains(all, e) {
			delete(p.failed, e)
		}
	}
	ordered := slices.Clone(all)
	slices.SortStableFunc(ordered, func(a, b endpoint) int {
		return cmp.Or(
			cmp.Compare(a.kind(), b.kind()),
			cmp.Compare(p.failed[a], p.failed[b]),
			cmp.Compare(p.weight(b), p.weight(a)),
		)
	})
	return ordered
}

// avoid puts an endpoint behind the others of its kind: it could not be reached, was
// lost, or did not open the session.
func (p *places) avoid(e endpoint) {
	if p.failed == nil {
		p.failed = map[endpoint]int{}
	}
	p.count++
	p.failed[e] = p.count
}

// weight is that of an endpoint for this runtime (rendezvous hashing): a runtime keeps
// its order when other endpoints come and go.
func (p *places) weight(e endpoint) uint64 {
	sum := sha256.Sum256([]byte(p.runtime + "\x00" + e.String()))
	return binary.BigEndian.Uint64(sum[:])
}
