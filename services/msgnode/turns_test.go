package msgnode

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newTurns(1)
		if err := one.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		var order []string
		wait := func(name string, patience time.Duration) {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if err := one.take(ctx); err != nil {
					order = append(order, fmt.Sprint(name, " ", fault.CodeOf(err)))
					return
				}
				order = append(order, name)
				one.end()
			}()
			synctest.Wait()
		}
		wait("first", time.Hour)
		wait("impatient", time.Second)
		wait("last", time.Hour)
		time.Sleep(time.Minute)
		synctest.Wait()
		one.end()
		synctest.Wait()
		if len(order) != 3 || order[0] != "impatient 503" || order[1] != "last" || order[2] != "first" {
			t.Errorf("turns were taken in the order %v", order)
		}
		if one.free != 1 || len(one.waiting) != 0 {
			t.Errorf("left behind: %+v", one)
		}
	})
}

// An open waits for its turn.
func TestOpensTakeTurns(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.Opens, l.StoreTimeout = 1, patience }))
	turns := b.node.opens
	if err := turns.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := b.dial(t, "grpc")
	p.send(`{"id":1,"type":"open","from":"hyperty-runtime://a.example/waits","to":"mn:/session"}`)
	for waiting := 0; waiting == 0; runtime.Gosched() {
		select {
		case m := <-p.in:
			t.Fatalf("without a turn: %v", m)
		default:
		}
		turns.mu.Lock()
		waiting = len(turns.waiting)
		turns.mu.Unlock()
	}
	turns.end()
	if m := <-p.in; m.code() != 200 {
		t.Errorf("with one: %v", m)
	}
}
