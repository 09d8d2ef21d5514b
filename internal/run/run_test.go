package run_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/peerbus/peerbus/internal/run"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func untilDone(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestAllStopsTheOthersOnFailure(t *testing.T) {
	broken := errors.New("broken")
	err := run.All(t.Context(), untilDone,
		func(context.Context) error { return nil },
		func(context.Context) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("All gave %v", err)
	}
}

func TestAllEndsQuietlyWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run.All(ctx, untilDone, untilDone); err != nil {
		t.Errorf("All gave %v", err)
	}
}

// journal notes when each part stops.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) part(name string) run.Func {
	return func(ctx context.Context) error {
		<-ctx.Done()
		j.mu.Lock()
		defer j.mu.Unlock()
		j.lines = append(j.lines, name)
		return nil
	}
}

func TestTreeStopsUsersFirst(t *testing.T) {
	var j journal
	var tree run.Tree
	tree.Add("engine", j.part("engine"))
	tree.Add("registry", j.part("registry"))
	tree.Add("listener", j.part("listener"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tree.Run(ctx); err != nil {
		t.Error(err)
	}
	if want := []string{"listener", "registry", "engine"}; !slices.Equal(j.lines, want) {
		t.Errorf("stopped %v, want %v", j.lines, want)
	}
}

func TestTreeNamesThePartThatFailed(t *testing.T) {
	var j journal
	var tree run.Tree
	tree.Add("engine", j.part("engine"))
	tree.Add("registry", func(context.Context) error { return errors.New("store is gone") })
	err := tree.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "registry: store is gone") {
		t.Errorf("Run gave %v", err)
	}
	if !slices.Equal(j.lines, []string{"engine"}) {
		t.Errorf("stopped %v", j.lines)
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := run.Sleep(t.Context(), time.Hour); err != nil || time.Since(began) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := run.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := run.Sleep(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no time at all, after its context: %v", err)
		}
	})
}
