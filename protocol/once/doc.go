// Package once tells a message that comes for the second time.
//
// Whoever posts a message may have to post it again: the process that it gave
// it to was killed, or did not answer. So each post carries an idempotency key,
// `origin` and `number` (Message.origin, Message.number): an origin is unique to
// a client over all times, and from one `from` to one address its numbers only rise.
//
//	client ── 41, 42, 43 ──▶ bus ✝
//	client ── 42, 43, 44 ──▶ bus ── 42: seen, 43: seen, 44 ──▶ listener
//
// That makes the memory small. A Marks keeps one number for each conversation (an
// origin, a `from` and a listener address): the last one taken. What is not above it was
// taken before. The bus has one for all its listeners, and so has each
// attachment of package client, as the bus may be the one that was killed.
//
// Invariants: a number that Seen has told to be new is never told to be new
// again while its conversation is kept. Those that were used last are kept, up to a
// limit; one that was forgotten starts anew, so the limit is how many
// conversations may be interrupted at the same time.
//
// Numbers rise for each address posted to, and not over several: what a stub or an
// alias takes for many addresses under one name may come in another order. Such a
// listener needs a pair for each of its addresses.
//
// Limits: origins have at most MaxOrigin bytes; a longer one is no key. One
// conversation costs about 100 bytes and the length of its addresses.
package once
