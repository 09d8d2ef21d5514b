// Package datasync keeps a data object the same at its reporter and at its
// observers (wire contract, section 7). The signalling of a P2P connection is
// two such objects, one reported by each side.
//
//	Reporter                                             Observer
//	   │ create   <obj>/subscription → stub  (Invite)        │ ParseInvitation
//	   │◄──────────────────────────────────────────── 200    │
//	   │◄── subscribe  <runtime>/sm → <obj>/subscription     │ Subscribe
//	   │ 200 with the whole object           (Answer) ──────►│ Reset
//	   │ update   <obj> → <obj>/changes   (Set, Append) ────►│ Update
//	   │◄── read  <runtime>/sm → <obj>        after a gap    │ Read
//	   │ 200 with the whole object           (Answer) ──────►│ Reset
//	   │ delete   <obj>/subscription → <obj>/changes ───────►│
//
// Reporter and Observer are pure values: a change goes in and an update message
// comes out, or the other way. Whoever owns one posts its messages; they have no
// id yet, the poster gives them one.
//
// Invariants: the reporter counts one version up for each update. The observer
// applies each version once and in order; it holds back what comes after a gap,
// and says that the object must be read. Whatever comes in, an observer's data
// stays within maxData bytes and maxHeld updates.
package datasync
