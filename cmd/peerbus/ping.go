package main

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/message"
)

// pingSettings are those of `peerbus ping`.
type pingSettings struct {
	clientSettings
	count    int
	interval time.Duration
}

// pingType is what a bus answers itself.
const pingType = "ping"

func pingCommand() *cobra.Command {
	var s pingSettings
	c := &cobra.Command{
		Use:     "ping ADDRESS",
		GroupID: groupClient,
		Short:   "Show which path messages to an address take, and how long there and back",
		Long: `Show which path messages to an address take, and how long there and back. A probe goes
to the bus of the runtime that has the address, and comes back direct (over a data
channel), by relay (over a Message Node) or local (this runtime's own bus). The command
fails when no probe comes back.`,
		Example: `  peerbus ping hyperty://b.example/1
  peerbus ping hyperty://b.example/1 -c 10 -i 200ms -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args[0]) },
	}
	s.bothFlags(c)
	c.ValidArgsFunction = s.asked(1, knownAddresses)
	c.Flags().IntVarP(&s.count, "count", "c", 0, "end after so many probes; 0 for never")
	c.Flags().DurationVarP(&s.interval, "interval", "i", time.Second, "from one probe to the next")
	return c
}

func (s *pingSettings) run(cmd *cobra.Command, address string) error {
	if s.interval <= 0 || s.count < 0 {
		return fault.New(fault.BadRequest, "interval must be more than 0, and count not negative")
	}
	if err := message.CheckTime(s.timeout); err != nil {
		return err
	}
	ctx, out := cmd.Context(), probePrinter{w: cmd.OutOrStdout(), json: s.output.json()}
	remote, err := s.runtimeOf(ctx, address)
	if err != nil {
		return err
	}
	bus, leave, err := s.bus(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var sum probeSummary
	next := time.NewTicker(s.interval)
	defer next.Stop()
	for sequence := 1; ctx.Err() == nil && (s.count == 0 || sequence <= s.count); sequence++ {
		p := s.probe(ctx, bus, remote, sequence)
		if ctx.Err() != nil {
			break // it was interrupted, not lost
		}
		sum.add(p)
		if err := out.probe(remote, p); err != nil {
			return err
		}
		if sequence == s.count {
			break
		}
		select {
		case <-next.C:
		case <-ctx.Done():
		}
	}
	if err := out.summary(sum); err != nil {
		return err
	}
	if sum.Received == 0 {
		return fault.New(fault.Timeout, "no probe came back from %s", remote)
	}
	return nil
}

// runtimeOf asks the registry which runtime has an address. One that is still
// being looked up is asked for again.
func (s *clientSettings) runtimeOf(ctx context.Context, address string) (remote string, err error) {
	err = s.withRegistry(ctx, func(ctx context.Context, r pb.RegistryClient) error {
		resp, err := r.Resolve(ctx, &pb.ResolveRequest{Address: address})
		for err == nil && resp.RuntimeUrl == "" && resp.GetRoute().GetFlow() == pb.FlowUse_FLOW_USE_UNKNOWN && run.Sleep(ctx, 50*time.Millisecond) == nil {
			resp, err = r.Resolve(ctx, &pb.ResolveRequest{Address: address})
		}
		switch route := resp.GetRoute(); {
		case err != nil:
			return err
		case resp.RuntimeUrl != "":
			remote = resp.RuntimeUrl
		case route.GetReason() == pb.RouteReason_ROUTE_REASON_LOCAL:
			own, err := r.GetRuntime(ctx, &pb.GetRuntimeRequest{})
			remote = own.GetRuntimeUrl()
			return err
		case route.GetCode() >= int32(fault.BadRequest):
			return fault.New(fault.Code(route.Code), "%s: %s", address, route.Description)
		default:
			return fault.New(fault.NotFound, "no runtime is known to have %s: is it registered?", address)
		}
		return nil
	})
	return remote, err
}

// bus connects to the bus before the first probe, whose time is not for that.
func (s *clientSettings) bus(ctx context.Context) (_ pb.MessageBusClient, leave func(), err error) {
	conn, err := s.dial(s.busAddr)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	conn.Connect()
	for state := conn.GetState(); state == connectivity.Idle || state == connectivity.Connecting; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			break
		}
	}
	return pb.NewMessageBusClient(conn), func() { _ = conn.Close() }, nil
}

// probe asks the bus of a runtime for an answer, for as long as the time-out.
func (s *pingSettings) probe(ctx context.Context, bus pb.MessageBusClient, remote string, sequence int) probe {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	began := time.Now()
	resp, err := bus.Post(ctx, &pb.PostRequest{
		Message: &pb.Message{Id: message.StringID(uuid.NewString()), Type: pingType, To: remote + "/bus"},
		Wait:    pb.Wait_WAIT_RESPONSE,
		Timeout: durationpb.New(s.timeout - s.timeout/10), // the bus's own word comes first
	})
	took := time.Since(began)
	if err == nil {
		_, err = message.Result(resp.GetResponse())
	}
	if err != nil {
		return probe{Sequence: sequence, Error: explain(reached(s.busAddr, err))}
	}
	return probe{Sequence: sequence, Path: probePath(resp.Response), Millis: float64(took.Microseconds()) / 1000}
}
