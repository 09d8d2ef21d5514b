package client

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

// runs tells whether a goroutine looks after the listener.
func (l *Listener) runs() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}

// A listener has a goroutine from its first message until twice Rest after the last one,
// at most, and another one for what comes then. None is started after the end.
func TestAnIdleListenerHasNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		b := &Bus{cfg: Config{Limits: DefaultLimits()}, out: newOutbox(DefaultLimits(), newLedger(true, 1<<20, time.Now()))}
		l := &Listener{bus: b, window: 1 << 20, wake: make(chan struct{}, 1), handle: func(_ context.Context, _ string, d *codec.Delivered) {
			got = append(got, d.Message().Id)
		}}
		come := func(id string) {
			l.push(group{name: "a", length: 1}, []codec.Delivered{{Carried: codec.Bare(&pb.Message{Id: id}), Size: 1}})
			synctest.Wait()
		}
		come("1") // before Run
		if l.runs() {
			t.Fatal("it runs before Run does")
		}
		ctx, end := context.WithCancel(t.Context())
		defer end()
		var w workers
		l.start(ctx, &w)
		l.start(ctx, &w)
		synctest.Wait()
		rest := b.cfg.Limits.Rest
		for _, one := range []struct {
			id    string
			after time.Duration
			runs  bool
		}{{"2", 0, true}, {"3", rest - 1, true}, {"4", rest - 1, true}, {"5", 2 * rest, false}, {"6", time.Hour, false}} {
			time.Sleep(one.after)
			synctest.Wait()
			if l.runs() != one.runs {
				t.Errorf("before %s it runs: %v", one.id, l.runs())
			}
			come(one.id)
		}
		if want := []string{"1", "2", "3", "4", "5", "6"}; !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
		time.Sleep(2 * rest)
		synctest.Wait()
		end()
		w.end()
		if come("7"); l.runs() || len(got) != 6 {
			t.Error("it runs after the end")
		}
	})
}
