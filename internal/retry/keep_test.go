package retry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peerbus/peerbus/internal/retry"
)

// A state is told once and its end once, in whatever number of attempts it comes.
func TestKeepTellsOfStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var told []string
		attempts := []time.Duration{time.Hour, 0, 0, time.Millisecond, 0, time.Hour, 0, 2 * time.Second, time.Hour}
		number := 0
		retry.Keep(ctx,
			func(ctx context.Context) error {
				if number == len(attempts) {
					cancel()
					return ctx.Err()
				}
				time.Sleep(attempts[number])
				number++
				return fmt.Errorf("end %d", number)
			},
			func(err error) { told = append(told, err.Error()) },
			func() { told = append(told, "back") })
		if want := []string{"end 1", "back", "end 6", "back", "end 8", "back", "end 9"}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

func TestKeepWaitsLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		attempts := 0
		retry.Keep(ctx, func(context.Context) error {
			attempts++
			return errors.New("at once")
		}, nil, nil)
		if least, most := 60, 130; attempts < least || attempts > most {
			t.Errorf("%d attempts in a minute, want %d to %d", attempts, least, most)
		}
	})
}
