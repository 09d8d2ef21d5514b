package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// listenSettings are those of `peerbus listen`.
type listenSettings struct {
	clientSettings
	count int
}

func listenCommand() *cobra.Command {
	var s listenSettings
	c := &cobra.Command{
		Use:     "listen ADDRESS...",
		GroupID: groupClient,
		Short:   "Print what comes for some addresses, a line a message, until interrupted",
		Example: `  peerbus listen hyperty://a.example/1
  peerbus listen hyperty://a.example/1 -o json --count 1`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args) },
	}
	s.busFlags(c)
	c.Flags().IntVar(&s.count, "count", 0, "end after so many messages; 0 for never")
	return c
}

func (s *listenSettings) run(cmd *cobra.Command, addresses []string) error {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx := cmd.Context()
	stream, err := pb.NewMessageBusClient(conn).Listen(ctx, &pb.ListenRequest{Addresses: addresses})
	if err != nil {
		return err
	}
	header, err := stream.Header()
	if err != nil {
		return err
	}
	if header != nil {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "listening to %d addresses\n", len(addresses))
	}
	for seen := 0; s.count == 0 || seen < s.count; {
		resp, err := stream.Recv()
		if ctx.Err() != nil {
			return nil
		}
		if err == io.EOF {
			return fault.New(fault.Unavailable, "the bus ended the stream")
		}
		if err != nil {
			return err
		}
		for _, d := range resp.Deliveries {
			if err := s.print(cmd.OutOrStdout(), d.Message); err != nil {
				return err
			}
			if seen++; seen == s.count {
				break
			}
		}
	}
	return nil
}

func (s *listenSettings) print(w io.Writer, m *pb.Message) error {
	text, err := message.JSON(m)
	if err != nil {
		return err
	}
	if s.output.json() {
		_, err = fmt.Fprintln(w, string(text))
		return err
	}
	body, err := message.FullBody(m)
	if err != nil {
		return err
	}
	resource := ""
	if m.Resource != nil {
		resource = fmt.Sprintf("  [%d bytes of %s]", len(m.Resource.Content), m.Resource.MimeType)
	}
	_, err = fmt.Fprintf(w, "%s  %-8s  from %s  to %s  %s%s\n",
		time.Now().Format("15:04:05.000"), m.Type, m.From, m.To, body, resource)
	return err
}
