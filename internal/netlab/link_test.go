package netlab

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// device is one end of the link in a test: it takes and gives whole packets.
type device struct {
	in     chan string // what the link reads
	out    chan string // what the link has written
	closed chan struct{}
	once   sync.Once
}

func newDevice() *device {
	return &device{in: make(chan string), out: make(chan string, 10_000), closed: make(chan struct{})}
}

func (d *device) Read(b []byte) (int, error) {
	select {
	case p := <-d.in:
		return copy(b, p), nil
	case <-d.closed:
		return 0, io.EOF
	}
}

func (d *device) Write(b []byte) (int, error) {
	select {
	case d.out <- string(b):
		return len(b), nil
	case <-d.closed:
		return 0, net.ErrClosed
	}
}

func (d *device) Close() error { d.once.Do(func() { close(d.closed) }); return nil }

// arrived takes what has been written so far.
func (d *device) arrived() []string {
	synctest.Wait()
	var all []string
	for len(d.out) > 0 {
		all = append(all, <-d.out)
	}
	return all
}

// withLink plays on a link in a bubble, with time of its own.
func withLink(t *testing.T, play func(l *Link, a, b *device)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, a, b := NewLink(1), newDevice(), newDevice()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx, a, b) }()
		play(l, a, b)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the link ended with %v", err)
		}
	})
}

func TestLinkEndsWhenADeviceBreaks(t *testing.T) {
	a, b := newDevice(), newDevice()
	_ = a.Close()
	if err := NewLink(1).Run(t.Context(), a, b); !errors.Is(err, io.EOF) {
		t.Errorf("it ended with %v, want %v", err, io.EOF)
	}
}

func TestLinkPassesPackets(t *testing.T) {
	withLink(t, func(_ *Link, a, b *device) {
		a.in <- "one"
		a.in <- "two"
		b.in <- "back"
		if got := b.arrived(); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("at b: %q", got)
		}
		if got := a.arrived(); !slices.Equal(got, []string{"back"}) {
			t.Errorf("at a: %q", got)
		}
	})
}

func TestLinkIsLateAndNothingOvertakes(t *testing.T) {
	withLink(t, func(l *Link, a, b *device) {
		l.Set(Weather{Delay: 100 * time.Millisecond})
		a.in <- "late"
		l.Set(Weather{})
		a.in <- "next"
		time.Sleep(99 * time.Millisecond) // of the bubble
		if got := b.arrived(); got != nil {
			t.Errorf("after 99 ms: %q", got)
		}
		time.Sleep(time.Millisecond)
		if got := b.arrived(); !slices.Equal(got, []string{"late", "next"}) {
			t.Errorf("after 100 ms: %q", got)
		}
	})
}

func TestLinkLosesSome(t *testing.T) {
	const packets = 5000
	withLink(t, func(l *Link, a, b *device) {
		l.Set(Weather{Loss: 0.02})
		for range packets {
			a.in <- "x"
			synctest.Wait()
		}
		lost, full := l.Counts()
		if got := len(b.arrived()); got+lost != packets || full != 0 {
			t.Errorf("%d arrived, %d lost, %d did not fit, of %d", got, lost, full, packets)
		}
		if lost < packets/100 || lost > packets*3/100 {
			t.Errorf("%d of %d were lost, want about 2 %%", lost, packets)
		}
	})
}

func TestLinkIsCut(t *testing.T) {
	withLink(t, func(l *Link, a, b *device) {
		l.Set(Weather{Delay: time.Second})
		a.in <- "under way"
		synctest.Wait()
		l.Set(Weather{Cut: true})
		a.in <- "lost"
		time.Sleep(2 * time.Second)
		if got := b.arrived(); got != nil {
			t.Errorf("while it is cut: %q", got)
		}
		if lost, _ := l.Counts(); lost != 2 {
			t.Errorf("%d lost, want 2", lost)
		}
		l.Set(Weather{})
		a.in <- "healed"
		if got := b.arrived(); !slices.Equal(got, []string{"healed"}) {
			t.Errorf("healed: %q", got)
		}
	})
}

func TestLinkDropsWhatIsTooMuch(t *testing.T) {
	withLink(t, func(l *Link, a, _ *device) {
		l.Set(Weather{Delay: time.Hour})
		for range linkPackets + 100 {
			a.in <- "x"
		}
		synctest.Wait()
		if _, full := l.Counts(); full < 98 || full > 100 { // the writer holds one
			t.Errorf("%d did not fit, want about 99", full)
		}
	})
}
