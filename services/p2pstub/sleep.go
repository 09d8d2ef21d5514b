package p2pstub

// A peer whose connection rests sleeps: its loop has no goroutine until something comes.
// Of thousands of connections most rest, and one that only waits has a stack of 8 KiB, as
// a set-up needs.
//
//	loop: asleep ── nothing has come ──► ends        who sends: sends ── asleep ──► a new one
//
// The loop says that it sleeps before it looks for the last time, and who sends something
// looks whether it sleeps afterwards: one of them sees the other.

// sleeps tells whether the loop has ended until it is roused.
func (p *peer) sleeps() bool {
	if u := p.pulse.Load(); u == nil || !u.resting.Load() || p.clock.ticker != nil {
		return false
	}
	p.asleep.Store(true)
	if len(p.inbox) == 0 && len(p.wake) == 0 {
		return true
	}
	return !p.asleep.CompareAndSwap(true, false) // else whoever has sent that has roused it
}

// rouse begins the loop again if it sleeps. It is called by who has sent it something.
func (p *peer) rouse() {
	if p.asleep.Load() && p.asleep.CompareAndSwap(true, false) {
		go p.loop()
	}
}
