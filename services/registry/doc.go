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
// # Two ways to a runtime
//
// While a connection is live, a route has the Message Node as the other way. The bus
// uses either, or both, and moves what is under way between them (package bus):
//
//	P2P stub says          path     next, relay              what is done
//	live                   direct   p2p connection, node     nothing
//	doubt                  both     the same, and doubt      nothing
//	disconnected, quiet    relay    node                     the stub restarts ICE; it is left alone
//	gone, or after 12 s    relay    node                     a new set-up (retry.go), again and again
//	live                   direct   p2p connection, node     its address is registered again
//	worn                   direct   the same                 a successor is set up beside it (successor.go)
//	closed by the other    relay    node                     nothing, until a message wants it
//
// The bus asks for `<runtime>/bus` to learn of them: that starts nothing, and is
// never taken back. A route also says of which runtime the address is, and whether
// that has announced flows (flowuse.go): in a registration, which a look-up shows,
// or over a connection. While it is being looked up, that is unknown.
//
// A successor becomes live without a pause: its address is registered beside the one
// that there is, routes and feeds move to it, and the old connection, which nothing
// leads over then, ends when it is empty.
//
// # Replicas
//
// With a members.Group a runtime has several registries, of which one leads
// (replica.go). That one is a Registry as described here, for the time of a term
// (term.go): it begins with a write that shuts all registries before it out of the
// store and of the P2P stubs, and with reading the store, as after a restart.
//
//	bus ── Routes ──► standby ── Routes, WatchConnections, ──► leader ─┬─ Watch, Deploy ──► p2pstub 1
//	                     │       calls that change something     │     └─ Take ───────────► p2pstub 2
//	                     └─────── registrations ────────► store ◄┘
//
// A standby (standby.go) answers routes and sources that it knows (relayed.go), the
// table and registrations (mirror.go), and forwards the rest (forward.go). While nobody
// leads it goes on with what it knows; the rest waits, for Limits.LeaderWait.
//
// Of several P2P stubs (stubs.go) one has all that is for a remote runtime (place.go,
// losing.go). The leader takes what comes to the handler's address, and hands it to that
// one (handed.go).
//
// # Who owns what
//
// Pure, without lock, I/O or clock: the machine of an entry (transition.go, loss.go,
// successor.go, path.go, heard.go), the table (table.go, listings.go), the cache (cache.go),
// resolution (resolve.go, flowuse.go, source.go), the feed (feed.go). One mutex, Registry.mu, guards the one value of
// each; nothing waits under it. Replica.mu guards who answers, standby.mu the mirror;
// relayed is pure but for its mutex.
//
// An event changes the table at once. What it entails runs in the lane of its
// remote runtime (lanes.go): the entry is stored, then acted on, in order.
// What may take long runs beside the lane, and its result is another event.
//
// # Invariants
//
//   - One entry per remote runtime, whatever registries believe that they lead. Whoever
//     becomes live has it.
//   - A registry whose term is over writes nothing, and acts on nothing that it could
//     not write. Among replicas no requester is deployed whose entry is not stored.
//   - An invitation is handed to one P2P stub: that which has something with the remote
//     runtime, as long as it lives.
//   - An entry is live only after the stub has taken the p2p connection's URL.
//   - While the P2P stub cannot be seen, messages take the Message Node.
//   - Resolution answers at once. Look-up and set-up run beside it, and their
//     results are pushed. Only the first need of a Message Node stub waits, bounded.
//   - A bus is told of each change of what it has been told, and of nothing else. A
//     route with which a message would start something is taken back, so that the
//     next message asks.
//   - A set-up starts by a message, or by time after a loss or wear, with a backoff
//     and so many times in a row (Limits.Retries). What policy does not want, or the
//     other side has closed, starts by no timer.
//   - What has been found is used while it is asked for again: an address does not
//     become one of an unknown runtime because a domain registry is slow or away.
//   - The status that a stub posts on the bus and the P2P stub's Watch say the same;
//     the faster one counts, the other changes nothing.
//   - What a remote registry lists is believed of hyperties and data objects that
//     are not ours and not known to be elsewhere.
//
// # Restart
//
// The handler's address, the entries, the registrations and where addresses in use
// are (written within a Tick) are read back, also after a kill. Whether a connection
// is up is what the P2P stub's first Watch response says, with doubt and wear; until
// then messages take the Message Node, as they do whenever that stream breaks. Remote
// addresses are learned again.
//
// Limits has the bound of every table, queue and wait.
package registry
