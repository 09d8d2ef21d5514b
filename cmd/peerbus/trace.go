package main

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// traceSettings are those of `peerbus trace`.
type traceSettings struct {
	messageSettings
	body string
}

func traceCommand() *cobra.Command {
	var s traceSettings
	c := &cobra.Command{
		Use:     "trace ADDRESS",
		GroupID: groupClient,
		Short:   "Show the path of one message to an address and back, hop by hop, with times",
		Long: `Show the path of one message and of its answer, hop by hop, with times. The message
is a probe to the bus of the runtime that has the address, which answers itself. With
--message it is a request to the address: its listener gets it, and answers. A runtime
of someone else's may carry no traces; then the way in between is not known.

Each hop has the time of its machine's clock. Where that cannot be right, as an answer
would have come before its question, the command estimates from both ways how far the
clock is off, says so, and shows its times corrected.`,
		Example: `  peerbus trace hyperty://b.example/1
  peerbus trace hyperty://b.example/1 --message '{"resource":"temperature"}' --type read -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args[0]) },
	}
	s.bothFlags(c)
	c.ValidArgsFunction = s.asked(1, knownAddresses)
	c.Flags().StringVar(&s.body, "message", "", "send a request with this `BODY` to the address itself; @FILE and - as for post")
	c.Flags().StringVar(&s.kind, "type", message.Create, "`TYPE` of that request")
	c.Flags().StringVar(&s.from, "from", "", "`ADDRESS` of its sender (default: the bus's own)")
	return c
}

func (s *traceSettings) run(cmd *cobra.Command, address string) error {
	m, err := s.probe(cmd, address)
	if err != nil {
		return err
	}
	m.Trace = &pb.Trace{Record: true}
	answer, err := s.ask(cmd.Context(), m)
	if err != nil {
		return err
	}
	j := journeyOf(m.To, answer)
	if err := j.print(cmd.OutOrStdout(), s.output.json()); err != nil {
		return err
	}
	if len(j.Hops) == 0 {
		return fault.New(fault.NotFound, "the answer has no hops: the bus at %s is older than this command", s.busAddr)
	}
	_, err = message.Result(answer)
	return err
}

// probe makes the message.
func (s *traceSettings) probe(cmd *cobra.Command, address string) (*pb.Message, error) {
	if cmd.Flags().Changed("message") {
		return s.message(cmd.Context(), cmd.InOrStdin(), []string{address, s.body})
	}
	if s.from != "" || cmd.Flags().Changed("type") {
		return nil, usageError{fault.New(fault.BadRequest, "from and type are for a request: give --message as well")}
	}
	remote, err := s.runtimeOf(cmd.Context(), address)
	if err != nil {
		return nil, err
	}
	return &pb.Message{Id: message.StringID(uuid.NewString()), Type: pingType, To: strings.TrimSuffix(remote, "/") + "/bus"}, nil
}

// ask waits for the answer, for as long as the time-out.
func (s *traceSettings) ask(ctx context.Context, m *pb.Message) (*pb.Message, error) {
	bus, leave, err := s.bus(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	resp, err := bus.Post(ctx, &pb.PostRequest{
		Message: m, Wait: pb.Wait_WAIT_RESPONSE,
		Timeout: durationpb.New(s.timeout - s.timeout/10), // the bus's own word comes first
	})
	return resp.GetResponse(), reached(s.busAddr, err)
}
