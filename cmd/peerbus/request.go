package main

import (
	"fmt"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

func requestCommand() *cobra.Command {
	var s messageSettings
	c := &cobra.Command{
		Use:     "request ADDRESS [BODY]",
		GroupID: groupClient,
		Short:   "Post a message, wait for the response and print its body",
		Long: `Post a message to an address, wait for the response, and print its body; with -o json
the whole message. ` + bodyHelp + `

The command fails when the code of the response is 400 or above, and when none comes
within --timeout.`,
		Example: `  peerbus request hyperty://b.example/1 '{"resource":"temperature"}' --type read
  peerbus request hyperty://b.example/1 @question.json -o json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return s.request(cmd, args) },
	}
	s.flags(c)
	return c
}

func (s *messageSettings) request(cmd *cobra.Command, args []string) error {
	m, err := s.message(cmd.Context(), cmd.InOrStdin(), args)
	if err != nil {
		return err
	}
	resp, err := s.post(cmd, m, pb.Wait_WAIT_RESPONSE)
	if err != nil {
		return err
	}
	if s.output.json() {
		return printResponse(cmd.OutOrStdout(), resp, message.ApplicationJSON)
	}
	if r := resp.GetResource(); r != nil {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "with %d bytes of %s, which -o json prints\n", len(r.Content), printable(r.MimeType))
	}
	return printResponse(cmd.OutOrStdout(), resp, bodyOf)
}

// bodyOf is the body as its sender wrote it.
func bodyOf(m *pb.Message) ([]byte, error) { return message.FullBody(withoutVia(m)) }
