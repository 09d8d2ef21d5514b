package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/peerbus/peerbus/internal/fault"
)

// embedded is a NATS server in this process.
type embedded struct {
	dir       string
	log       *slog.Logger
	lock      *os.File
	temporary string // to be removed; empty when the directory is the user's

	server atomic.Pointer[server.Server] // nil while it is not started
	mender mender
}

func startEmbedded(ctx context.Context, cfg Config) (*embedded, error) {
	e := &embedded{log: cfg.Log}
	var err error
	if e.dir, err = e.directory(cfg.DataDir); err != nil {
		return nil, err
	}
	if e.lock, err = lockFile(filepath.Join(e.dir, "lock")); err == nil {
		wait := startTimeout
		if deadline, ok := ctx.Deadline(); ok {
			wait = min(wait, time.Until(deadline))
		}
		err = e.begin(wait)
	}
	if err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

func (e *embedded) directory(dir string) (string, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fault.New(fault.Unavailable, "data directory: %w", err)
		}
		return dir, nil
	}
	temporary, err := os.MkdirTemp("", "peerbus-")
	if err != nil {
		return "", fault.New(fault.Unavailable, "temporary directory: %w", err)
	}
	e.temporary = temporary
	return temporary, nil
}

// begin is the first start.
func (e *embedded) begin(wait time.Duration) error {
	e.mender.mu.Lock() // a look waits until the server is there
	defer e.mender.mu.Unlock()
	e.mender.begin()
	if err := e.start(wait); err != nil {
		return err
	}
	e.mender.old = e.ailments()
	return nil
}

func (e *embedded) start(wait time.Duration) error {
	s, err := server.NewServer(&server.Options{
		ServerName:             "peerbus",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		StoreDir:               e.dir,
		SyncInterval:           SyncInterval,
		JetStreamMaxStore:      maxStore,
		MaxPayload:             MaxPayload,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return fault.New(fault.Unavailable, "embedded NATS: %w", err)
	}
	s.SetLoggerV2(natsLog{e.log, e.lookSoon}, false, false, false)
	s.Start()
	e.server.Store(s)
	if !s.ReadyForConnections(wait) {
		return fault.New(fault.Unavailable, "embedded NATS did not start within %s", wait)
	}
	return nil
}

// InProcessConn opens a connection to the server that there is now.
func (e *embedded) InProcessConn() (net.Conn, error) {
	s := e.server.Load()
	if s == nil {
		return nil, errors.New("the embedded NATS is being started again")
	}
	return s.InProcessConn()
}

func (e *embedded) stop() {
	e.mender.end()
	e.shutdown()
	if e.lock != nil {
		_ = e.lock.Close() // gives the lock up
	}
	if e.temporary != "" {
		_ = os.RemoveAll(e.temporary) // what is left there is the system's to clean
	}
}

func (e *embedded) shutdown() {
	if s := e.server.Swap(nil); s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// natsLog writes the server's log lines. What the server takes for notable is
// routine here. It tells of complaints, which may be about its files.
type natsLog struct {
	log       *slog.Logger
	complaint func()
}

func (l natsLog) Noticef(format string, v ...any) {
	l.log.Debug("NATS", "text", fmt.Sprintf(format, v...))
}
func (l natsLog) Debugf(format string, v ...any) {
	l.log.Debug("NATS", "text", fmt.Sprintf(format, v...))
}
func (l natsLog) Tracef(format string, v ...any) {
	l.log.Debug("NATS", "text", fmt.Sprintf(format, v...))
}
func (l natsLog) Warnf(format string, v ...any) {
	l.complaint()
	l.log.Warn("NATS", "text", fmt.Sprintf(format, v...))
}
func (l natsLog) Errorf(format string, v ...any) {
	l.complaint()
	l.log.Error("NATS", "text", fmt.Sprintf(format, v...))
}
func (l natsLog) Fatalf(format string, v ...any) {
	l.complaint()
	l.log.Error("NATS", "text", fmt.Sprintf(format, v...))
}
