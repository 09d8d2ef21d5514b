package msgnode

import (
	"context"
	"fmt"
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

// Who has no turn is refused, and may come again.
func TestOpensTakeTurns(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.Opens, l.StoreTimeout = 1, time.Second }))
	if err := b.node.opens.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := b.dial(t, "grpc")
	p.send(`{"id":1,"type":"open","from":"hyperty-runtime://a.example/waits","to":"mn:/session"}`)
	if m := <-p.in; m.code() != 503 {
		t.Errorf("without a turn: %v", m)
	}
	b.node.opens.end()
	p.send(`{"id":2,"type":"open","from":"hyperty-runtime://a.example/waits","to":"mn:/session"}`)
	if m := <-p.in; m.code() != 200 {
		t.Errorf("with one: %v", m)
	}
}
