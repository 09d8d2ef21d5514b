package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/peerbus/peerbus/services/msgnode"
	"github.com/peerbus/peerbus/sim/sample"
)

// life is what the sampled runtimes did, for one runtime: the records that it has at
// rest, and what happens in a second.
type life struct {
	sessions, owners, subscribers, entries float64 // records
	markers                                float64 // of removed keys, in the store alone

	stateWrites, registryWrites float64 // a second
	stateBytes, registryBytes   float64 // of them, a second, key and value
	returns, subscribes         float64 // requests a second; a subscription of one address
	refreshes, lookups          float64
}

func (l life) records() float64 { return l.sessions + l.owners + l.subscribers + l.entries }
func (l life) writes() float64  { return l.stateWrites + l.registryWrites }

// lifeTime is how long the runtimes live: as long as the markers are kept.
const lifeTime = time.Hour

// epoch is when they begin.
var epoch = time.UnixMilli(1_800_000_000_000)

// living is the simulation of some runtimes' lives.
type living struct {
	params *params
	model  *msgnode.Model
	events *queue
	random *rand.Rand
	tally  life // in all, not for one
	made   []int
	open   [][]int // numbers of the peer connections that each has
	born   bool
}

// live lets the sampled runtimes start and then live for an hour.
func live(p *params) (life, error) {
	l := &living{
		params: p, model: msgnode.NewModel(msgnode.DefaultLimits()), events: &queue{},
		random: rand.New(rand.NewPCG(p.seed, 1)),
		made:   make([]int, p.sampled), open: make([][]int, p.sampled),
	}
	for r := range p.sampled {
		if err := l.start(r); err != nil {
			return life{}, err
		}
	}
	l.born = true
	for r := range p.sampled {
		l.plan(r)
	}
	if err := l.events.run(lifeTime); err != nil {
		return life{}, err
	}
	return l.result(), nil
}

func (l *living) now() time.Time { return epoch.Add(l.events.now) }

// write applies what a request has written, and counts it.
func (l *living) write(writes []msgnode.Write) error {
	for _, w := range writes {
		switch size := float64(len(w.Key) + len(w.Value)); {
		case !l.born:
		case w.Registry:
			l.tally.registryWrites++
			l.tally.registryBytes += size
		default:
			l.tally.stateWrites++
			l.tally.stateBytes += size
		}
		if l.born && w.Value == nil {
			l.tally.markers++
		}
	}
	return l.model.Apply(writes...)
}

// start is a runtime's start: all that a real one writes until it is at rest.
func (l *living) start(r int) error {
	url := sample.URL(r)
	writes, _, _, err := l.model.Open(url, "", sample.Token(r), socket(r), l.now())
	if err == nil {
		err = l.write(writes)
	}
	if err == nil {
		err = l.write(l.model.Subscribe(url, sample.Subscribed(r)...))
	}
	if err == nil {
		err = l.write(l.model.Own(url, sample.Allocated(r, l.params.pool)...))
	}
	for h := 0; h < l.params.hyperties && err == nil; h++ {
		err = l.register(r, h)
	}
	for c := 0; c < l.params.connections && err == nil; c++ {
		err = l.setUp(r)
	}
	return err
}

func socket(r int) string { return fmt.Sprintf("%016x/%d", r%64, r) }

func (l *living) register(r, h int) error {
	if err := l.write(l.model.Subscribe(sample.URL(r), sample.Hyperty(r, h))); err != nil {
		return err
	}
	w, err := l.model.Register(sample.URL(r), sample.Entry(r, h), l.now())
	if err != nil {
		return err
	}
	return l.write([]msgnode.Write{w})
}

// setUp is one end of a peer connection; every other end is the requester, which has
// one address more.
func (l *living) setUp(r int) error {
	c := l.params.pool + l.made[r]
	l.made[r]++
	l.open[r] = append(l.open[r], c)
	url := sample.URL(r)
	l.tally.subscribes += l.once(4)
	if err := l.write(l.model.Own(url, connection(r, c))); err != nil { // the pool is filled again
		return err
	}
	return l.write(l.model.Subscribe(url, heldOf(r, c)...))
}

func connection(r, c int) string { return sample.Allocated(r, c+1)[c] }

func heldOf(r, c int) []string {
	addresses := sample.Connected(r, c)
	if c%2 == 0 {
		addresses = append(addresses, fmt.Sprintf("%s/p2prequester/%d", sample.URL(r), c))
	}
	return addresses
}

// once counts only what happens after the start.
func (l *living) once(n float64) float64 {
	if l.born {
		return n
	}
	return 0
}

// tearDown is the end of the oldest peer connection.
func (l *living) tearDown(r int) error {
	if len(l.open[r]) == 0 {
		return nil
	}
	c := l.open[r][0]
	l.open[r] = l.open[r][1:]
	if err := l.write(l.model.Free(connection(r, c))); err != nil {
		return err
	}
	return l.write(l.model.Unsubscribe(sample.URL(r), heldOf(r, c)...))
}

// plan sets a runtime's events going.
func (l *living) plan(r int) {
	p := l.params
	l.every(p.losses, func() error { return l.loss(r) })
	l.every(p.setUps, func() error {
		if err := l.setUp(r); err != nil {
			return err
		}
		return l.tearDown(r)
	})
	l.every(p.lookups, func() error { return l.lookup(r) })
	for h := range p.hyperties {
		l.every(p.changes, func() error { return l.change(r, h) })
		refresh := p.expires / 3
		l.after(time.Duration(l.random.Int64N(int64(refresh))), refresh, func() error { return l.refresh(r, h) })
	}
}

// every does something so many times an hour, at times that do not depend on one
// another.
func (l *living) every(hourly float64, do func() error) {
	if hourly <= 0 {
		return
	}
	wait := func() time.Duration { return time.Duration(l.random.ExpFloat64() / hourly * float64(time.Hour)) }
	var next func() error
	next = func() error {
		l.events.after(wait(), next)
		return do()
	}
	l.events.after(wait(), next)
}

// after does something at a time, and then again and again.
func (l *living) after(first, every time.Duration, do func() error) {
	var next func() error
	next = func() error {
		l.events.after(every, next)
		return do()
	}
	l.events.after(first, next)
}

// loss of a connection, and the re-open with the token.
func (l *living) loss(r int) error {
	url := sample.URL(r)
	if err := l.write(l.model.Lost(url, l.model.Socket(url), l.now())); err != nil {
		return err
	}
	writes, _, _, err := l.model.Open(url, sample.Token(r), "", socket(r), l.now())
	if err != nil {
		return err
	}
	l.tally.returns++
	return l.write(writes)
}

func (l *living) lookup(r int) error {
	other := l.random.IntN(l.params.sampled)
	if l.params.hyperties == 0 {
		return nil
	}
	l.tally.lookups++
	n, err := l.model.Read(sample.Hyperty(other, l.random.IntN(l.params.hyperties)))
	if err == nil && n != 1 {
		err = fmt.Errorf("runtime %d finds %d entries of runtime %d", r, n, other)
	}
	return err
}

func (l *living) change(r, h int) error {
	status := [...]string{`{"status":"live"}`, `{"status":"disconnected"}`}[l.random.IntN(2)]
	return l.update(r, h, []byte(status))
}

func (l *living) refresh(r, h int) error { return l.update(r, h, nil) }

func (l *living) update(r, h int, fields []byte) error {
	l.tally.refreshes++
	w, err := l.model.Update(sample.Hyperty(r, h), fields, l.now())
	if err != nil {
		return err
	}
	return l.write([]msgnode.Write{w})
}

// result is the tally of one runtime.
func (l *living) result() life {
	n := float64(l.params.sampled)
	second := n * lifeTime.Seconds()
	k, t := l.model.Known(), l.tally
	return life{
		sessions: float64(k.Sessions) / n, owners: float64(k.Owners) / n,
		subscribers: float64(k.Subscribers) / n, entries: float64(k.Entries) / n, markers: t.markers / n,
		stateWrites: t.stateWrites / second, registryWrites: t.registryWrites / second,
		stateBytes: t.stateBytes / second, registryBytes: t.registryBytes / second,
		returns: t.returns / second, subscribes: t.subscribes / second,
		refreshes: t.refreshes / second, lookups: t.lookups / second,
	}
}
