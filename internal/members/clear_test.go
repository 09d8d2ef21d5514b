package members

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/engine"
)

// purges answers each Purge with the next of some errors; none is there for others.
type purges struct {
	jetstream.KeyValue
	answers []error
}

func (p *purges) Purge(context.Context, string, ...jetstream.KVDeleteOpt) error {
	err := p.answers[0]
	p.answers = p.answers[1:]
	return err
}

// The key of a leader that is gone stays in nobody's way, although the store does not
// answer at once: no view has it any more.
func TestAKeyIsRemovedInTheEnd(t *testing.T) {
	for name, answers := range map[string][]error{
		"the store comes back":     {context.DeadlineExceeded, jetstream.ErrNoStreamResponse, nil},
		"the member does":          {context.DeadlineExceeded, jetstream.ErrKeyRevisionMismatch},
		"the answer was lost only": {context.DeadlineExceeded, jetstream.ErrKeyExists},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, err := New(Config{Engine: &engine.Engine{}, Self: member("registry", "me"), Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				store := &purges{answers: answers}
				g.kv = store
				g.clear(t.Context(), leadKey("registry"), 1)
				if len(store.answers) != 0 {
					t.Errorf("given up before %v", store.answers)
				}
			})
		})
	}
}

func TestAKeyIsLeftWhenTheMemberStops(t *testing.T) {
	g, err := New(Config{Engine: &engine.Engine{}, Self: member("registry", "me"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	g.kv = &purges{answers: []error{errors.New("away")}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.clear(ctx, leadKey("registry"), 1)
}
