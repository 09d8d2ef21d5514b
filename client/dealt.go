package client

import "strings"

// creditStep is how many bytes a listener deals with before it gives credit
// back, while there is more: less makes more frames, more lets the window run
// dry. At least two fit into every window.
const creditStep = 64 << 10

// dealt is what a listener has dealt with and has given no credit for, by the name that
// it was delivered under. There is one name, but for ListenAll.
type dealt struct {
	name   string
	bytes  uint32
	others map[string]uint32
}

// of has what comes next count for a name.
func (d *dealt) of(name string) {
	if name != d.name {
		d.change(name)
	}
}

func (d *dealt) change(name string) {
	if d.bytes > 0 {
		if d.others == nil {
			d.others = map[string]uint32{}
		}
		d.others[d.name] = d.bytes
	}
	d.name, d.bytes = strings.Clone(name), d.others[name] // it shares its text with a whole message
	delete(d.others, name)
}

// take gives the sum of the name that was added to last, and forgets it.
func (d *dealt) take() uint32 {
	n := d.bytes
	d.bytes = 0
	return n
}

func (d *dealt) clear() {
	d.bytes = 0
	clear(d.others)
}

// begin is for what came together.
func (l *Listener) begin(r run) {
	if r.epoch != l.epoch { // a new stream has a new window
		l.dealt.clear()
		l.epoch = r.epoch
	}
	l.dealt.of(r.name)
	if len(l.dealt.others) > 1024 {
		l.giveAllBack(false)
	}
}

// giveBack counts what has been dealt with, as many bytes as came, and tells the bus
// now and then.
func (l *Listener) giveBack(bytes int) {
	l.dealt.bytes += uint32(bytes)                            //nolint:gosec // a message is smaller than 4 GiB
	if l.dealt.bytes >= uint32(min(creditStep, l.window/2)) { //nolint:gosec // bounded by the caller
		l.bus.out.credit(l.epoch, l.dealt.name, l.dealt.take(), false)
	}
}

// giveAllBack gives credit for all that has been dealt with. With later it may wait for
// company.
func (l *Listener) giveAllBack(later bool) {
	if l.dealt.bytes > 0 {
		l.bus.out.credit(l.epoch, l.dealt.name, l.dealt.take(), later)
	}
	for name, n := range l.dealt.others {
		l.bus.out.credit(l.epoch, name, n, later)
	}
	clear(l.dealt.others)
}

// mayLinger tells whether credit may wait for company: something was answered meanwhile,
// which is mostly what was dealt with.
func (l *Listener) mayLinger() bool {
	before := l.answers
	l.answers = l.bus.out.answers.Load()
	return l.answers != before
}
