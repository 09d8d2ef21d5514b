package load

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loop is a way that leads back.
type loop struct {
	counter *Counter
	sizes   map[int]int
	flushed int
}

func (l *loop) Send(_ context.Context, body []byte) error {
	l.sizes[len(body)]++
	l.counter.Arrived()
	return nil
}
func (l *loop) Flush(context.Context) error           { l.flushed++; return nil }
func (l *loop) Ask(_ context.Context, _ []byte) error { return nil }

func TestOps(t *testing.T) {
	l := &loop{counter: NewCounter(), sizes: map[int]int{}}
	ops := Ops(l, l.counter)
	for range 2 {
		if _, err := ops[DoSend](t.Context(), json.RawMessage(`{"Number":5,"Size":64}`)); err != nil {
			t.Fatal(err)
		}
	}
	if l.sizes[64] != 10 || l.flushed != 2 {
		t.Errorf("%v, %d flushed", l.sizes, l.flushed)
	}
	if at, err := ops[DoAwait](t.Context(), json.RawMessage("10")); err != nil || at.(time.Duration) <= 0 {
		t.Errorf("%v, %v", at, err)
	}
	if _, err := ops[DoAwait](t.Context(), json.RawMessage("9")); err == nil {
		t.Error("one came twice, and nobody says so")
	}
	if got, err := ops[DoAsk](t.Context(), json.RawMessage(`{"Number":3,"Size":64}`)); err != nil || got.(Latencies).Tail < got.(Latencies).Median {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ops[DoMemory](t.Context(), nil); err != nil || got.(Heap).Mallocs == 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestCounterWaits(t *testing.T) {
	c := NewCounter()
	for total := uint64(3); total <= 9; total += 3 {
		at := make(chan time.Duration)
		go func() {
			got, _ := c.Await(context.Background(), total)
			at <- got
		}()
		for range 3 {
			c.Arrived()
		}
		if got := <-at; got <= 0 {
			t.Error("no time")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.Await(ctx, 10); err == nil || errors.Is(err, context.Canceled) || err.Error() != "9 of 10 messages have arrived" {
		t.Error(err)
	}
}

func TestBody(t *testing.T) {
	for _, size := range []int{12, 64, 1024} {
		b := Body(size)
		if len(b) != size || !json.Valid(b) {
			t.Errorf("%d: %s", size, b)
		}
	}
}
