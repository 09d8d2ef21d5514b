package engine

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/peerbus/peerbus/internal/fault"
)

// A NATS server whose write has failed once, as on a full disk, takes no other one until
// it is started again; what it has can still be read. The embedded one is started again
// as soon as its directory takes writes:
//
//	        complaint, and      its directory takes writes:
//	well ─────────────► broken ───────────────────────────► well
//	        not healthy   │ ▲     start again
//	                      └─┘ not yet

const (
	// lookAfter is the pause between a complaint of the server and a look at it: it may
	// still be doing what it complains of. A broken one is looked at as often, and half as
	// often after each start, down to lookRarely, until one has been of use for so long.
	lookAfter  = time.Second
	lookRarely = time.Minute
	// maxStore is the bound of the server itself, in bytes, which is none: the disk is.
	// Otherwise it would be most of what is free when the server starts, for good.
	maxStore = 1 << 60
	// roomNeeded is how many bytes the directory must take before the server is started
	// again, which writes some itself. 64 KiB: a few hundred records.
	roomNeeded = 64 << 10
)

// mender is what is known of a server that takes no writes, or does.
type mender struct {
	well atomic.Pointer[spell]
	due  atomic.Bool // a look is on its way

	mu        sync.Mutex // held during a look, and a start
	every     time.Duration
	mended    time.Time             // when a start was of use last
	suspected bool                  // the look before found it ailing
	old       []server.HealthzError // ailments of when the process began: no start in place heals them
	over      bool
}

// spell is a time in which the server takes writes. It ends with the reason why it takes
// none; then that is what Cause says.
type spell struct {
	context.Context
	end context.CancelCauseFunc
}

// begin begins a spell.
func (m *mender) begin() {
	ctx, end := context.WithCancelCause(context.Background())
	m.well.Store(&spell{ctx, end})
}

// broken says why the server takes no writes; nil while it does.
func (m *mender) broken() error { return context.Cause(m.well.Load()) }

// end ends all looks.
func (m *mender) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
}

// lookSoon has the server looked at, soon. It waits for nothing: the server may call it
// with any lock of its own. One that is broken is looked at anyway, and complains at each
// start that is of no use.
func (e *embedded) lookSoon() {
	if e.mender.broken() == nil {
		e.lookIn(lookAfter)
	}
}

func (e *embedded) lookIn(pause time.Duration) {
	if e.mender.due.CompareAndSwap(false, true) {
		time.AfterFunc(pause, e.look)
	}
}

// look finds a server that takes no writes, and starts it again when it can.
func (e *embedded) look() {
	m := &e.mender
	m.mu.Lock()
	defer m.mu.Unlock()
	m.due.Store(false)
	switch {
	case m.over || m.broken() == nil && !e.ails():
		return
	case e.tryWrite() != nil:
	case e.restart():
		m.begin()
		m.mended = time.Now()
		m.every = min(2*m.every, lookRarely) // should it be of no use for long
		e.lookSoon()                         // a complaint meanwhile was not heard
		e.log.Info("the store takes writes again")
		return
	default:
		m.every = min(2*m.every, lookRarely)
	}
	e.lookIn(m.every)
}

// ails tells whether the server takes no writes, and says so, if the look before found the
// same: a process that has just been held up is not ready for a moment. The log has all of
// the reason, and others the last part: they need no names of files.
func (e *embedded) ails() bool {
	m, now := &e.mender, e.ailments()
	if m.suspected = len(now) > 0 && !m.suspected; m.suspected {
		e.lookIn(lookAfter)
		return false
	}
	if len(now) == 0 {
		return false
	}
	why := now[0].Error
	if time.Since(m.mended) > lookRarely {
		m.every = lookAfter
	}
	m.well.Load().end(takesNone(why))
	e.log.Error("the store takes no writes; it is started again when its directory does", "error", why)
	return true
}

// restart starts the server again, and tells whether that helped. Connections come back by
// themselves.
func (e *embedded) restart() bool {
	e.shutdown()
	if err := e.start(startTimeout); err != nil {
		e.log.Error("the store is not started again", "error", err)
		return false
	}
	return len(e.ailments()) == 0
}

// ailments are what the server suffers from, and did not when the process began.
func (e *embedded) ailments() []server.HealthzError {
	all := e.server.Load().Healthz(&server.HealthzOptions{Details: true}).Errors
	return slices.DeleteFunc(all, func(a server.HealthzError) bool { return slices.Contains(e.mender.old, a) })
}

// tryWrite says why the directory takes no writes; nil when it does.
func (e *embedded) tryWrite() error {
	name := filepath.Join(e.dir, "room")
	err := os.WriteFile(name, make([]byte, roomNeeded), 0o600)
	_ = os.Remove(name) // it may not be there
	return err
}

// NoWrites is what the error begins with that says why a server in this process takes none.
const NoWrites = "the store takes no writes"

func takesNone(why string) error { return fault.New(fault.Unavailable, NoWrites+": %s", last(why)) }

// last is what stands behind the last colon of an error.
func last(text string) string { return text[strings.LastIndex(": "+text, ": "):] }
