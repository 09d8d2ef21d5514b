// Package registry is the control plane of a runtime: it owns the p2pConnection
// table and what runs here, says where messages go, and has connections set up.
//
//	     bus ──── Routes (stream): where does this go? ────► ┌──────────┐
//	      ▲  ◄─── answers, pushed changes ────────────────── │ registry │
//	      │                                                  └─┬──┬──┬──┘
//	      │  Attach: …/registry, …/status, p2p connections     │  │  │
//	      └────────────────────────────────────────────────────┘  │  │
//	 p2pstub ◄──── Deploy, Close, Watch ──────────────────────────┘  │
//	nodestub ◄──── Deploy, Watch ────────────────────────────────────┘
//
// # A connection, from the first message
//
//	bus        asks where hyperty://b/1 goes
//	registry   does not know: the Message Node stub of b (resolve.go). It looks the
//	           address up in the domain registry beside that (lookup.go)
//	registry   knows now that it is in runtime B. P2P is wanted: an entry, created
//	           (transition.go), stored (store.go); a requester stub is deployed and
//	           its address subscribed (act.go)
//	stub       …/status: created, in-progress, live (statuses.go, watch.go)
//	registry   adds the listener of the p2p connection URL, subscribes it at the stub,
//	           and only then is the entry live (link.go)
//	registry   pushes the route to the bus (routes.go), and asks B's registry what
//	           runs there (link.go, changes.go)
//
// # Who owns what
//
// Pure, without lock, I/O or clock: the machine of an entry (transition.go,
// heard.go), the table (table.go), the cache (cache.go), resolution (resolve.go,
// source.go), the feed (feed.go). One mutex, Registry.mu, guards the one value of
// each; nothing waits under it.
//
// An event changes the table at once. What it entails runs in the lane of its
// remote runtime (lanes.go): the entry is stored, then acted on, in order.
// What may take long runs beside the lane, and its result is another event.
//
// # Invariants
//
//   - One entry per remote runtime. Whoever becomes live has it.
//   - An entry is live only after the stub has taken the p2p connection's URL.
//   - While the P2P stub cannot be seen, messages take the Message Node.
//   - Resolution answers at once. Look-up and set-up run beside it, and their
//     results are pushed. Only the first need of a Message Node stub waits, bounded.
//   - A bus is told of each change of what it has been told, and of nothing else. A
//     route with which a message would start something is taken back, so that the
//     next message asks; nothing starts without one.
//   - The status that a stub posts on the bus and the P2P stub's Watch say the same;
//     the faster one counts, the other changes nothing.
//   - What a remote registry lists is believed of hyperties and data objects that
//     are not ours and not known to be elsewhere.
//
// # Restart
//
// The handler's address, the entries and the registrations are read back. Whether
// a connection is up is what the P2P stub's first Watch response says; until then
// messages take the Message Node, as they do whenever that stream breaks. Remote addresses are learned again.
//
// Limits has the bound of every table, queue and wait.
package registry
