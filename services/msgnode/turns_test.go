package msgnode

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		two := newTurns(2)
		first, _ := two.take(t.Context())
		if _, err := two.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := two.take(ctx); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("a third one: %v", err)
		}
		time.AfterFunc(time.Minute, first)
		begun := time.Now()
		third, err := two.take(t.Context())
		if err != nil || time.Since(begun) != time.Minute {
			t.Errorf("it has a turn after %s: %v", time.Since(begun), err)
		}
		third()
	})
}

// Who has no turn is refused, and may come again.
func TestOpensTakeTurns(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.Opens, l.StoreTimeout = 1, 50*time.Millisecond }))
	end, err := b.node.opens.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := b.dial(t, "grpc")
	p.send(`{"id":1,"type":"open","from":"hyperty-runtime://a.example/waits","to":"mn:/session"}`)
	if m := <-p.in; m.code() != 503 {
		t.Errorf("without a turn: %v", m)
	}
	end()
	p.send(`{"id":2,"type":"open","from":"hyperty-runtime://a.example/waits","to":"mn:/session"}`)
	if m := <-p.in; m.code() != 200 {
		t.Errorf("with one: %v", m)
	}
}
