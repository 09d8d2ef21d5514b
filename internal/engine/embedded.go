package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/peerbus/peerbus/internal/fault"
)

// embedded is a NATS server in this process.
type embedded struct {
	server    *server.Server
	lock      *os.File
	temporary string // to be removed; empty when the directory is the user's
}

func startEmbedded(ctx context.Context, cfg Config) (*embedded, error) {
	e := &embedded{}
	dir, err := e.directory(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if err := e.start(ctx, dir, cfg.Log); err != nil {
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

func (e *embedded) start(ctx context.Context, dir string, log *slog.Logger) error {
	var err error
	if e.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return err
	}
	e.server, err = server.NewServer(&server.Options{
		ServerName:             "peerbus",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		StoreDir:               dir,
		SyncInterval:           SyncInterval,
		MaxPayload:             MaxPayload,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return fault.New(fault.Unavailable, "embedded NATS: %w", err)
	}
	e.server.SetLoggerV2(natsLog{log}, false, false, false)
	e.server.Start()
	wait := startTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	if !e.server.ReadyForConnections(wait) {
		return fault.New(fault.Unavailable, "embedded NATS did not start within %s", wait)
	}
	return nil
}

func (e *embedded) stop() {
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	if e.lock != nil {
		_ = e.lock.Close() // gives the lock up
	}
	if e.temporary != "" {
		_ = os.RemoveAll(e.temporary) // what is left there is the system's to clean
	}
}

// natsLog writes the server's log lines. What the server takes for notable is
// routine here.
type natsLog struct{ log *slog.Logger }

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
	l.log.Warn("NATS", "text", fmt.Sprintf(format, v...))
}
func (l natsLog) Errorf(format string, v ...any) {
	l.log.Error("NATS", "text", fmt.Sprintf(format, v...))
}
func (l natsLog) Fatalf(format string, v ...any) {
	l.log.Error("NATS", "text", fmt.Sprintf(format, v...))
}
