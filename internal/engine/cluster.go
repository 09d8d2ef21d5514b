package engine

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/run"
)

const (
	// ClusterReplicas is how often a bucket is kept in a cluster, unless told
	// otherwise: any one server may be lost.
	ClusterReplicas = 3
	// MaxReplicas is the most that JetStream keeps.
	MaxReplicas = 5
	// insistEvery is the pause before what a cluster cannot do now is tried again.
	insistEvery = 250 * time.Millisecond
	// attemptTimeout bounds one attempt: what a cluster is asked too early is not
	// answered at all.
	attemptTimeout = 3 * time.Second
)

// Codes of JetStream that its client does not name.
const (
	codeNoPeers      jetstream.ErrorCode = 10005 // fewer servers than replicas
	codeNotClustered jetstream.ErrorCode = 10074 // a single server has one replica
)

func (cfg Config) checkReplicas() error {
	switch {
	case cfg.Replicas < 0 || cfg.Replicas > MaxReplicas:
		return fault.New(fault.BadRequest, "a bucket of NATS has 1 to %d replicas, not %d", MaxReplicas, cfg.Replicas)
	case cfg.URL == "" && cfg.Replicas > 1:
		return fault.New(fault.BadRequest, "an embedded NATS keeps 1 replica, not %d", cfg.Replicas)
	}
	return nil
}

// copies gives the numbers of replicas to be tried, in this order.
func (cfg Config) copies() []int {
	switch {
	case cfg.Replicas > 0:
		return []int{cfg.Replicas}
	case cfg.URL == "":
		return []int{1}
	}
	return []int{ClusterReplicas, 1}
}

// insist does what a cluster may not be able to do while it starts, or chooses a
// leader, until it has done it or ctx is done. What fails is in the log once.
func (e *Engine) insist(ctx context.Context, what string, do func(context.Context) error) error {
	said := ""
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := do(attempt)
		cancel()
		if err == nil || !e.patient || !IsPassing(err) {
			return err
		}
		if text := err.Error(); text != said {
			said = text
			e.log.Warn("NATS is not ready, trying again", "part", what, "error", err)
		}
		if run.Sleep(ctx, insistEvery) != nil {
			return err
		}
	}
}

// IsPassing tells whether an error of NATS may be over soon: a server is lost, or a
// cluster chooses a leader.
func IsPassing(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code == 503 || api.ErrorCode == codeNoPeers
	}
	var network net.Error
	return errors.As(err, &network) || slices.ContainsFunc([]error{
		nats.ErrNoServers, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrStaleConnection,
		jetstream.ErrNoStreamResponse, jetstream.ErrJetStreamNotEnabled, context.DeadlineExceeded,
	}, func(passing error) bool { return errors.Is(err, passing) })
}

// Unable names what is lacking, for the people who get err: what NATS was asked to do is
// not done. It is Unavailable.
func (e *Engine) Unable(err error) *fault.Error {
	if broken := e.Broken(); broken != nil {
		return fault.From(broken)
	}
	if !IsPassing(err) {
		return fault.New(fault.Unavailable, "store: %w", err)
	}
	return fault.New(fault.Unavailable, "%s: %w", e.Lacks(), err)
}

// Broken says why the server in this process takes no writes, as on a full disk; nil while
// it does, and for one elsewhere. It ends by itself. It is Unavailable.
func (e *Engine) Broken() error {
	if e.embedded == nil {
		return nil
	}
	return e.embedded.mender.broken()
}

// UntilBroken gives a context for a write, which ends when the server in this process takes
// none any more: it may leave one without an answer. cancel is to be called at the end.
func (e *Engine) UntilBroken(ctx context.Context) (_ context.Context, cancel func()) {
	if e.embedded == nil {
		return ctx, func() {}
	}
	well := e.embedded.mender.well.Load()
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(well, func() { end(context.Cause(well)) })
	return ctx, func() {
		stop()
		end(nil)
	}
}

// Lacks is what NATS lacks, in words, when it does not do what it is asked. A cluster that
// chooses a leader cannot be told from one that has too few servers for it.
func (e *Engine) Lacks() string {
	switch {
	case !e.IsElsewhere():
		return "the store does not answer"
	case !e.conn.IsConnected():
		return "NATS does not answer"
	}
	return "NATS has no majority of its servers, or is choosing a leader"
}

// notClustered tells that a single server was asked for several replicas.
func notClustered(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeNotClustered
}

// dialer opens connections that end soon after their other side is gone: what was sent is
// acknowledged within silence, or the next server is tried.
type dialer struct{}

func (dialer) Dial(network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nats.DefaultTimeout)
	defer cancel()
	return rpc.DialTCPWithin(ctx, network, addr, silence)
}
