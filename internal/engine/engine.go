package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

const (
	// MaxPayload is the largest NATS message in bytes: the largest message of
	// the wire contract and room for what is put around it.
	MaxPayload = message.MaxSize + 256<<10
	// SyncInterval is how often files are forced to the disk.
	SyncInterval = 10 * time.Second
	// startTimeout bounds the start of an embedded server, which reads back
	// what its directory has.
	startTimeout = 30 * time.Second
	// reconnectWait is the pause before lost servers are tried again, when none of
	// them could be reached.
	reconnectWait = 250 * time.Millisecond
	// pingEvery and pingsOut find a server elsewhere that hangs: after 1.4 to 2.1 s another
	// one is connected. One whose machine is gone is found by the kernel, after silence.
	// Both are before the beats of a member count as missed (internal/members). With two
	// out, a process that was itself paused has time to read its answers.
	pingEvery = 700 * time.Millisecond
	pingsOut  = 2
	silence   = 1500 * time.Millisecond
	// writeTimeout bounds the wait for a server that takes nothing, during which
	// nothing else is sent either.
	writeTimeout = 5 * time.Second
	// reconnectBuffer bounds what is kept, in bytes, while a server is lost.
	reconnectBuffer = 8 << 20
)

// Config of an Engine.
type Config struct {
	// DataDir is where an embedded server keeps its files. Empty: a temporary
	// directory, removed by Close.
	DataDir string
	// URL of an existing NATS server or cluster, several with commas between
	// them. Empty: a server of this process's own.
	URL string
	// Name of the connection, for the server's log.
	Name string
	// Replicas of each bucket. 0: ClusterReplicas in a cluster, 1 on a single server.
	Replicas int
	Log      *slog.Logger // nil: slog.Default()
}

// Engine is a connection to NATS, and the server when it is embedded.
type Engine struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	log      *slog.Logger
	replicas []int     // of a bucket: what is tried, in this order
	patient  bool      // what is not there is waited for
	embedded *embedded // nil with a URL
}

// Open starts the embedded server, or connects to the one at URL, and returns
// when it can be used. ctx bounds the opening alone, and how long a server at URL is
// waited for. Errors: Conflict when another process has DataDir, Unavailable when
// there is no server, BadRequest when Replicas cannot be.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if err := CheckURL(cfg.URL); err != nil {
		return nil, err
	}
	if err := cfg.checkReplicas(); err != nil {
		return nil, err
	}
	e := &Engine{log: cfg.Log, replicas: cfg.copies(), patient: cfg.URL != ""}
	if err := e.connect(ctx, cfg); err != nil {
		e.Close()
		return nil, err
	}
	if got := e.conn.MaxPayload(); got < MaxPayload {
		cfg.Log.Warn("NATS takes smaller messages than the wire contract allows: raise its max_payload",
			"bytes", got, "want", MaxPayload)
	}
	return e, nil
}

func (e *Engine) connect(ctx context.Context, cfg Config) error {
	opts, err := e.options(ctx, cfg)
	if err != nil {
		return err
	}
	err = e.insist(ctx, "connecting to NATS", func(context.Context) (err error) {
		e.conn, err = opts.Connect()
		return err
	})
	if err != nil {
		return fault.New(fault.Unavailable, "connecting to NATS at %q: %w", redacted(cfg.URL), err)
	}
	if e.js, err = jetstream.New(e.conn); err != nil {
		return fault.New(fault.Unavailable, "JetStream: %w", err)
	}
	if e.embedded != nil {
		return nil // it has started with JetStream
	}
	err = e.insist(ctx, "JetStream", func(ctx context.Context) error {
		_, err := e.js.AccountInfo(ctx)
		return err
	})
	if err != nil {
		return fault.New(fault.Unavailable, "JetStream at %q: %w", redacted(cfg.URL), err)
	}
	return nil
}

// options are those of the connection. It starts the embedded server, when
// there is no URL.
func (e *Engine) options(ctx context.Context, cfg Config) (nats.Options, error) {
	opts := nats.GetDefaultOptions()
	opts.Name = cfg.Name
	opts.MaxReconnect = -1
	opts.ReconnectWait = reconnectWait
	opts.ReconnectBufSize = reconnectBuffer
	opts.FlusherTimeout = writeTimeout
	opts.AsyncErrorCB = func(_ *nats.Conn, sub *nats.Subscription, err error) {
		subject := ""
		if sub != nil {
			subject = sub.Subject
		}
		level := slog.LevelWarn
		if errors.Is(err, nats.ErrConsumerNotActive) {
			level = slog.LevelDebug // of every watch, again and again; who watches says it once
		}
		cfg.Log.Log(context.Background(), level, "NATS", "error", err, "subject", subject)
	}
	if cfg.URL != "" {
		opts.Servers = splitURLs(cfg.URL)
		opts.CustomDialer = dialer{}
		opts.PingInterval, opts.MaxPingsOut = pingEvery, pingsOut
		opts.DisconnectedErrCB = func(_ *nats.Conn, err error) {
			if err != nil {
				cfg.Log.Warn("a server of NATS is lost, trying the others", "error", err)
			}
		}
		opts.ReconnectedCB = func(c *nats.Conn) {
			cfg.Log.Info("connected to a server of NATS again", "server", c.ConnectedUrlRedacted())
		}
		return opts, nil
	}
	var err error
	e.embedded, err = startEmbedded(ctx, cfg)
	if err != nil {
		return opts, err
	}
	opts.InProcessServer = e.embedded
	return opts, nil
}

// IsElsewhere tells whether the server is none of this process's own.
func (e *Engine) IsElsewhere() bool { return e.patient }

// Conn is the connection. It reconnects by itself.
func (e *Engine) Conn() *nats.Conn { return e.conn }

// JetStream of the connection.
func (e *Engine) JetStream() jetstream.JetStream { return e.js }

// Bucket opens a key-value bucket, and makes it when it is not there yet. The
// number of replicas is the engine's. A cluster that has no leader now, or too few
// servers, is waited for until ctx is done.
func (e *Engine) Bucket(ctx context.Context, cfg jetstream.KeyValueConfig) (kv jetstream.KeyValue, err error) {
	for _, cfg.Replicas = range e.replicas {
		err = e.insist(ctx, "bucket "+cfg.Bucket, func(ctx context.Context) (err error) {
			kv, err = e.bucket(ctx, cfg)
			return err
		})
		if !notClustered(err) {
			break
		}
	}
	if err == nil {
		return kv, nil
	}
	if full := e.full(); full != nil {
		return nil, full
	}
	return nil, fault.New(fault.Unavailable, "bucket %s with %d replicas: %w", cfg.Bucket, cfg.Replicas, err)
}

// full says why the directory of the server in this process takes no writes: a server that
// has just been started does not know yet. Nil when it does, and for one elsewhere.
func (e *Engine) full() error {
	if e.embedded == nil {
		return nil
	}
	if err := e.embedded.tryWrite(); err != nil {
		return takesNone(err.Error())
	}
	return nil
}

// bucket makes one that is not there, or is as it should be: that is one question of the
// server. One that was made otherwise is changed.
func (e *Engine) bucket(ctx context.Context, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := e.js.CreateKeyValue(ctx, cfg)
	if errors.Is(err, jetstream.ErrBucketExists) {
		return e.js.UpdateKeyValue(ctx, cfg)
	}
	return kv, err
}

// Close ends the connection, and the embedded server when all its files are
// written. It may be called more than once.
func (e *Engine) Close() {
	if e.conn != nil {
		e.conn.Close()
	}
	if e.embedded != nil {
		e.embedded.stop()
	}
}
