// Package members lets the replicas of a runtime's services find one another, and
// choose one that leads. It works over one key-value bucket of NATS for each
// runtime.
//
//	replica 1            bucket                      replica 2
//	   │ beat ─────────► m.bus.1 ──── watch ────────────► │ sees 1
//	   │ ◄──── watch ─── m.bus.2 ◄─────────────────── beat │
//	   │ beat                                             │ (killed)
//	   │ beat, beat, … Limits.Misses of its own,
//	   │ and none of 2 between them: 2 is gone
//
// # Who is there
//
// A member writes its key each Limits.Beat. Time is not measured by clocks but by
// the order of the bucket, which is the same for all who watch: a member is gone
// when as many beats of one's own have come through the bucket as Limits.Misses
// since its last one. So a store that stalls for some seconds, as a cluster does
// when it chooses a new leader, makes nobody disappear: nobody's beats come
// through then. Whoever finds one gone removes its key; a member that was only
// slow writes it again with its next beat.
//
// A member whose own beats do not come back, because the bucket was made anew or the
// watch died with a server, watches again; those that it knew count as there until they
// miss their beats. One whose server of NATS is lost or hangs is at another one, and
// beats at once, before the others miss it (internal/engine).
//
// # Who leads
//
// The key lead.<kind> has the member that leads. It is created, renewed and taken
// over by compare-and-set, so that two never have it. A leader that cannot renew
// it for Limits.Unrenewed stops leading by itself. For a short time one that does
// not know yet may act beside the next one: what it writes must be compared and
// set as well (services/registry does).
//
// # Who owns what
//
// Owner is pure: the same members and the same key give the same member, whoever
// asks, and one that comes or goes moves its own share of the keys alone.
//
// Files: member.go and view.go (pure), group.go (the bucket), lead.go.
package members
