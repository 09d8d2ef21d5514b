package p2pstub

// A peer whose connection rests sleeps: its loop has no goroutine until something comes.
// Of thousands of connections most rest, and one that only waits has a stack of 8 KiB, as
// a set-up needs.
//
//	loop: asleep ── nothing has come ──► ends        who sends: sends ── asleep ──► a new one
//
// The loop looks for the last time under the mutex that who has sent something takes
// afterwards: either it sees that, or it is seen asleep.

// sleeps tells whether the loop has ended until it is roused.
func (p *peer) sleeps() bool {
	if u := p.pulse.Load(); u == nil || !u.resting.Load() || p.clock.ticker != nil {
		return false
	}
	p.sleep.Lock()
	defer p.sleep.Unlock()
	p.asleep = len(p.inbox) == 0 && len(p.wake) == 0
	return p.asleep
}

// rouse begins the loop again if it sleeps. It is called by who has sent it something.
func (p *peer) rouse() {
	p.sleep.Lock()
	defer p.sleep.Unlock()
	if p.asleep {
		p.asleep = false
		go p.loop()
	}
}
