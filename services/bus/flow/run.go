package flow

import "time"

// Messages that follow each other in a flow mostly come together, in their turn, and are
// dealt with together. Then they are received and dealt with as a run: one call, with what
// as many calls would come to.

// Takes tells whether ReceiveRun may be called: for n messages of so many bytes together
// whose sequences rise by one, of which p is the place of the first, with the base that the
// last one says. It is their turn, nothing waits behind them, and there is room for all. If
// it is not so, they are to be received one by one.
func (r *Receiver) Takes(p Place, n, size int) bool {
	if n <= 0 || p.Sequence == 0 || p.Sequence > highest || p.Base > p.Sequence || len(r.ahead.stretches) > 0 {
		return false
	}
	if highest-p.Sequence < uint64(n-1) { // not negative
		return false
	}
	after, turn := p.Sequence-1, max(r.expected, p.Base, 1)
	if p.After > 0 {
		after = min(after, p.After)
	}
	return p.Sequence >= turn && after < turn && r.backlog+size <= r.limits.Bytes
}

// ReceiveRun takes messages in that it Takes, and hands them over: their turn has come.
// sizes has one for each.
func (r *Receiver) ReceiveRun(now time.Time, p Place, sizes []int) {
	at := r.at(now)
	r.rebase(max(p.Base, 1))
	sum := 0
	for i, size := range sizes {
		size = max(size, overhead)
		r.given.push(p.Sequence+uint64(i), given{size: size}) // not negative
		sum += size
	}
	r.backlog += sum
	r.expected = p.Sequence + uint64(len(sizes))
	r.heard(at, sum)
}

// DealtRun is Dealt of messages from first to last, by their listener.
func (r *Receiver) DealtRun(now time.Time, first, last uint64) {
	some := false
	for pos := r.given.from(first); pos >= 0 && r.given.slots[pos].sequence <= last; pos = r.given.kept.next(pos + 1) {
		if !r.given.marks[refused].has(pos) {
			r.forget(pos)
			some = true
		}
	}
	if some {
		r.dealt(r.at(now))
	}
}
