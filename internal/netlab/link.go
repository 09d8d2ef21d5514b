package netlab

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/peerbus/peerbus/internal/run"
)

// Bounds of the link.
const (
	maxPacket   = 64 << 10 // bytes; a tun device gives at most its MTU at once
	linkPackets = 8192     // in flight one way; more are dropped, as a router does
)

// Weather is what the link does to packets.
type Weather struct {
	Delay time.Duration // of each packet; none overtakes another
	Loss  float64       // part of all packets, 0 to 1
	Cut   bool          // nothing goes through
}

// Link passes packets between two tun devices.
//
//	tun of alice ─► reader ─► queue ─► writer ─► tun of bob
//	tun of alice ◄─ writer ◄─ queue ◄─ reader ◄─ tun of bob
type Link struct {
	mu      sync.Mutex
	weather Weather
	random  *rand.Rand
	dropped int // because of the weather
	full    int // because the queue was full
}

func NewLink(seed uint64) *Link {
	return &Link{random: rand.New(rand.NewPCG(seed, seed))}
}

// Set changes the weather, also for packets that are under way.
func (l *Link) Set(w Weather) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.weather = w
}

// Counts says how many packets were dropped so far, and how many of them because
// there were too many.
func (l *Link) Counts() (dropped, full int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped, l.full
}

// enters decides about a packet that comes in: when it is due, if it survives.
func (l *Link) enters(now time.Time) (due time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.weather.Cut || l.weather.Loss > 0 && l.random.Float64() < l.weather.Loss {
		l.dropped++
		return time.Time{}, false
	}
	return now.Add(l.weather.Delay), true
}

// leaves decides about a packet that is due.
func (l *Link) leaves() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.weather.Cut {
		l.dropped++
	}
	return !l.weather.Cut
}

func (l *Link) overflow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full++
}

// Run passes packets both ways until ctx is done; it closes both ends.
func (l *Link) Run(ctx context.Context, a, b io.ReadWriteCloser) error {
	err := run.All(ctx,
		func(ctx context.Context) error { return l.pass(ctx, a, b) },
		func(ctx context.Context) error { return l.pass(ctx, b, a) },
		func(ctx context.Context) error {
			<-ctx.Done()
			_, _ = a.Close(), b.Close()
			return nil
		},
	)
	if ctx.Err() != nil {
		return nil // the ends were closed because of that
	}
	return err
}

type packet struct {
	due  time.Time
	data []byte
}

// pass is one direction.
func (l *Link) pass(ctx context.Context, from io.Reader, to io.Writer) error {
	queue := make(chan packet, linkPackets)
	var writer sync.WaitGroup
	writer.Go(func() { l.write(ctx, queue, to) })
	err := l.read(from, queue)
	close(queue)
	writer.Wait()
	return err
}

func (l *Link) read(from io.Reader, queue chan<- packet) error {
	buffer := make([]byte, maxPacket)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return err
		}
		due, ok := l.enters(time.Now())
		if !ok {
			continue
		}
		select {
		case queue <- packet{due, append([]byte(nil), buffer[:n]...)}:
		default:
			l.overflow()
		}
	}
}

// write passes packets on when they are due. A device that does not take one
// (it is down, or full) loses it, as a cable does.
func (l *Link) write(ctx context.Context, queue <-chan packet, to io.Writer) {
	for p := range queue {
		if run.Sleep(ctx, time.Until(p.due)) != nil {
			continue // drains the queue
		}
		if l.leaves() {
			_, _ = to.Write(p.data)
		}
	}
}
