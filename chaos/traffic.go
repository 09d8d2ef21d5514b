package main

import (
	"context"
	"sync"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/numbered"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/message"
)

// Sizes of messages in bytes of text.
const (
	smallBytes = 64
	largeBytes = 256 << 10
)

// pace is how fast one pair's poster goes.
type pace struct {
	every     time.Duration // from one post to the next; 0: as fast as it is accepted
	largeEach int           // one of so many is large; 0: none
	bytes     int           // of the others; 0: smallBytes
}

// pair is a poster at one side and a listener at the other.
//
// A poster waits for the answer to one post before the next: so the order of its
// messages is known. Several pairs make the traffic of a direction.
type pair struct {
	index     int
	direction int // the side that posts
	from, to  string
	bus       *client.Bus // of the poster
	pace      pace
}

// traffic is all pairs, and the judge of their messages.
type traffic struct {
	judge *numbered.Judge
	pairs []*pair
	// observe is told of each hand-over, if it is set before start.
	observe func(handOver)
	// gate holds all listeners up until it is closed, if it is set before start.
	gate <-chan struct{}

	posters sync.WaitGroup
	stop    context.CancelFunc
}

// handOver is one message in the hands of its listener.
type handOver struct {
	At      time.Time
	Latency time.Duration
	Path    string
}

// buses gives a client to each side, which posts and listens there.
func (w *world) buses(name string) ([]*client.Bus, error) {
	var all []*client.Bus
	for _, s := range w.sides {
		bus, err := w.attach(s, name)
		if err != nil {
			return nil, err
		}
		all = append(all, bus)
	}
	return all, nil
}

// newTraffic registers addresses at both sides. directions has one entry a pair:
// which side posts.
func (w *world) newTraffic(ctx context.Context, p pace, posters []*client.Bus, directions []int) (*traffic, error) {
	t := &traffic{judge: numbered.NewJudge(2, directions)}
	for i, from := range directions {
		sender, err := w.sides[from].register(ctx)
		if err != nil {
			return nil, err
		}
		receiver, err := w.sides[1-from].register(ctx)
		if err != nil {
			return nil, err
		}
		t.pairs = append(t.pairs, &pair{index: i, direction: from, from: sender, to: receiver, bus: posters[from], pace: p})
	}
	return t, nil
}

// listen makes the receivers of all pairs listen, and the senders, who are told
// of what was refused after it had been accepted.
func (t *traffic) listen(ctx context.Context, listeners []*client.Bus) error {
	for _, p := range t.pairs {
		if _, err := listeners[1-p.direction].Listen(ctx, p.to, t.handler(p)); err != nil {
			return err
		}
		if _, err := p.bus.Listen(ctx, p.from, t.refusals); err != nil {
			return err
		}
	}
	return nil
}

// bothWays gives the directions of so many pairs each way.
func bothWays(pairs int) []int {
	var directions []int
	for range pairs {
		directions = append(directions, 0, 1)
	}
	return directions
}

// newSteadyTraffic is traffic both ways, ready to start.
func (w *world) newSteadyTraffic(ctx context.Context, pairs int, p pace) (*traffic, error) {
	buses, err := w.buses("chaos")
	if err != nil {
		return nil, err
	}
	t, err := w.newTraffic(ctx, p, buses, bothWays(pairs))
	if err != nil {
		return nil, err
	}
	return t, t.listen(ctx, buses)
}

// start begins to post, until halt. What a poster waits for then is bounded by
// ctx.
func (t *traffic) start(ctx context.Context) {
	posting, stop := context.WithCancel(ctx)
	t.stop = stop
	for _, p := range t.pairs {
		t.posters.Go(func() { t.run(ctx, posting, p) })
	}
}

// halt ends the posting, and waits for the answers to what was posted, for at
// most a time.
func (t *traffic) halt(ctx context.Context, patience time.Duration) {
	t.stop()
	done := make(chan struct{})
	go func() { t.posters.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
	case <-ctx.Done():
	}
	t.judge.Stopped(time.Now())
}

// run posts for one pair.
func (t *traffic) run(ctx, posting context.Context, p *pair) {
	for n := 1; posting.Err() == nil; n++ {
		next := time.Now().Add(p.pace.every)
		size := p.pace.bytes
		if size == 0 {
			size = smallBytes
		}
		if p.pace.largeEach > 0 && n%p.pace.largeEach == 0 {
			size = largeBytes
		}
		t.post(ctx, p, size)
		_ = run.Sleep(posting, time.Until(next))
	}
}

func (t *traffic) post(ctx context.Context, p *pair, size int) {
	at := time.Now()
	number := t.judge.Posted(p.index, at)
	text, err := numbered.New(number, size, at)
	if err == nil {
		err = p.bus.Post(ctx, &pb.Message{Type: "message", From: p.from, To: p.to, Body: text})
	}
	if err != nil && ctx.Err() != nil {
		return // the run is over: what became of this one is nobody's business
	}
	t.judge.Told(p.index, number, err)
}

// handler takes what comes for a pair.
func (t *traffic) handler(p *pair) client.Handler {
	return func(_ context.Context, m *pb.Message) {
		if t.gate != nil {
			<-t.gate
		}
		at, path := time.Now(), numbered.PathOf(m.Via)
		content, ok := numbered.Read(m.Body)
		if !ok || m.From != p.from {
			t.judge.Broken()
			return
		}
		t.judge.Handed(p.index, content.Number, path, at)
		if t.observe != nil {
			t.observe(handOver{at, at.Sub(time.Unix(0, content.Sent)), path})
		}
	}
}

// refusals takes what comes back to a poster.
func (t *traffic) refusals(_ context.Context, m *pb.Message) {
	if _, err := message.Result(m); err != nil {
		t.judge.TakenBack(err)
	}
}

// Times of waiting for traffic.
const (
	lookEvery = 50 * time.Millisecond
	// steadyTime is how long traffic must have gone over one path alone to be
	// steady there.
	steadyTime = time.Second
	// lingerTime is how long doubles may come after the last message.
	lingerTime = 3 * time.Second
)

// settle waits until all traffic goes over a path, and tells whether it did
// within directTime.
func (t *traffic) settle(ctx context.Context, path string) bool {
	deadline := time.Now().Add(directTime)
	for !t.judge.Steadily(path, time.Now(), steadyTime) {
		if time.Now().After(deadline) || run.Sleep(ctx, lookEvery) != nil {
			return false
		}
	}
	return true
}

// drain waits until all that was accepted is there, or nothing has come for a
// time.
func (t *traffic) drain(ctx context.Context, quiet time.Duration) {
	began := time.Now()
	for t.judge.Missing() > 0 {
		last := t.judge.LastHanded()
		if last.Before(began) {
			last = began
		}
		if time.Since(last) > quiet || run.Sleep(ctx, lookEvery) != nil {
			return
		}
	}
	_ = run.Sleep(ctx, lingerTime)
}
