// Package numbered makes messages that carry a number, and judges what became of them:
// which were lost, doubled, reordered or damaged, and how long nothing came. It is pure;
// who posts and listens tells it, each with the time. It believes nothing that peerbus
// says about itself.
//
//	poster                       judge                          listener
//	  │ Posted ──────────────────► number                          │
//	  │ New(number, …) ═══════════════ message ═══════════════════►│ Read
//	  │ Told(number, err) ───────► accepted, or refused            │
//	  │                            handed over ◄────────── Handed ─┤
//	  │                            damaged ◄────────────── Broken ─┘
//
// A pair is a poster and its listener. The poster waits for the answer to one post before
// the next: so the order of its messages is known. A lane is the pairs whose pauses are
// measured together.
package numbered
