package client

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// dealt is what a listener has dealt with and has given no credit for, by the name that
// it was delivered under. There is one name, but for ListenAll. The goroutine that handles
// adds; it and the timer give.
type dealt struct {
	bytes atomic.Uint32 // of the name
	armed atomic.Bool   // the timer runs

	mu     sync.Mutex
	epoch  int   // the stream that it came on
	own    *owed // for the name; nil before the first
	others map[string]uint32
	timer  *time.Timer // made when it is needed first
}

// begin has what comes next count for a stream and a name. It tells how many other names
// have something.
func (d *dealt) begin(epoch int, name string) (others int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if epoch != d.epoch { // a new stream has a new window
		d.bytes.Store(0)
		clear(d.others)
		d.epoch = epoch
	}
	if d.own == nil || name != d.own.listener {
		d.change(name)
	}
	return len(d.others)
}

func (d *dealt) change(name string) {
	if n := d.bytes.Swap(0); n > 0 {
		if d.others == nil {
			d.others = map[string]uint32{}
		}
		d.others[d.own.listener] = n
	}
	d.own = &owed{listener: strings.Clone(name)} // it shares its text with a whole message
	d.bytes.Store(d.others[name])
	delete(d.others, name)
}

// arm has what there is given after a time, unless it has been until then.
func (d *dealt) arm(after time.Duration, give func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.armed.Swap(true):
	case d.timer == nil:
		d.timer = time.AfterFunc(after, give)
	default:
		d.timer.Reset(after)
	}
}

// take gives the sum of the name that was added to last, and those of others, and forgets
// them.
func (d *dealt) take() (epoch int, own *owed, n uint32, others map[string]uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	others, d.others = d.others, nil
	return d.epoch, d.own, d.bytes.Swap(0), others
}

// begin is for what came together. What is left of what came before does not wait for its
// handlers.
func (l *Listener) begin(g group) {
	if others := l.dealt.begin(g.epoch, g.name); others > 1024 {
		l.giveAllBack(false)
	} else if others > 0 || l.dealt.bytes.Load() > 0 {
		l.giveSoon()
	}
}

// giveBack counts what has been dealt with, as many bytes as came, and tells the bus
// now and then. With more the next message is handled behind it.
func (l *Listener) giveBack(bytes int, more bool) {
	n := l.dealt.bytes.Add(uint32(bytes)) // a message is smaller than 4 GiB
	switch {
	case n >= l.creditStep():
		l.giveAllBack(false)
	case more:
		l.giveSoon()
	}
}

// creditStep is how many bytes a listener deals with before it gives credit back, while there
// is more: less makes more frames, here and of what the bus says to those who posted; more lets
// the window run dry.
func (l *Listener) creditStep() uint32 { return uint32(l.window / 4) } // bounded by the caller

// giveSoon has what was dealt with given in Limits.Linger, whatever the handler does.
func (l *Listener) giveSoon() {
	if !l.dealt.armed.Load() {
		l.dealt.arm(l.bus.cfg.Limits.Linger, l.giveLate)
	}
}

func (l *Listener) giveLate() {
	l.dealt.armed.Store(false)
	l.giveAllBack(false)
}

// giveAllBack gives credit for all that has been dealt with. With later it may wait for
// company, as long as it is little.
func (l *Listener) giveAllBack(later bool) {
	var wait uint32
	if later {
		wait = l.creditStep()
	}
	epoch, own, n, others := l.dealt.take()
	if n > 0 {
		l.bus.out.credit(epoch, own, n, wait)
	}
	for name, n := range others {
		l.bus.out.credit(epoch, &owed{listener: name}, n, wait)
	}
}

// mayLinger tells whether credit may wait for company: something was answered meanwhile,
// which is mostly what was dealt with; or all of it was passed on in flows, of which the
// other runtime's bus says what has arrived.
func (l *Listener) mayLinger() bool {
	before, settles := l.answers, l.settles
	l.answers, l.settles = l.bus.out.answers.Load(), false
	return l.answers != before || !settles
}
