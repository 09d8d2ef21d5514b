package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peerbus/peerbus/internal/retry"
)

func TestBackoffGrowsToItsBoundAndResets(t *testing.T) {
	b := retry.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
	base := 100 * time.Millisecond
	for i := range 10 {
		if d := b.Next(); d < base/2 || d > base {
			t.Errorf("wait %d is %v, want between %v and %v", i, d, base/2, base)
		}
		base = min(2*base, time.Second)
	}
	b.Reset()
	if d := b.Next(); d > 100*time.Millisecond {
		t.Errorf("after a reset it waits %v", d)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b := retry.Backoff{Min: time.Hour, Max: time.Hour}
		if err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait gave %v", err)
		}
		if err := (&retry.Backoff{}).Wait(t.Context()); err != nil {
			t.Errorf("Wait gave %v", err)
		}
	})
}
