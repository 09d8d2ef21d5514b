package load

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
)

// session counts what is done with it.
type session struct {
	opened, cut *atomic.Int64
	err         error
}

func (s session) Open(context.Context) error { s.opened.Add(1); return s.err }
func (s session) Cut()                       { s.cut.Add(1) }

func TestCrowd(t *testing.T) {
	var opened, cut atomic.Int64
	ops := CrowdOps(func(int) Session { return session{&opened, &cut, nil} })
	if _, err := ops[DoGather](t.Context(), json.RawMessage("300")); err != nil || opened.Load() != 300 || cut.Load() != 0 {
		t.Errorf("%d opened, %d cut, %v", opened.Load(), cut.Load(), err)
	}
	if _, err := ops[DoReturn](t.Context(), nil); err != nil || opened.Load() != 600 || cut.Load() != 300 {
		t.Errorf("%d opened, %d cut, %v", opened.Load(), cut.Load(), err)
	}
	refused := errors.New("refused")
	ops = CrowdOps(func(int) Session { return session{&opened, &cut, refused} })
	if _, err := ops[DoGather](t.Context(), json.RawMessage("1")); !errors.Is(err, refused) {
		t.Error(err)
	}
}
