package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/protocol/message"
)

// messageSettings are those of a message that a command line makes.
type messageSettings struct {
	clientSettings
	from, kind, id, key string
	p2p                 bool
	resource, mimeType  string
}

func (s *messageSettings) flags(c *cobra.Command) {
	s.busFlags(c)
	c.ValidArgsFunction = s.asked(1, knownAddresses)
	c.Flags().StringVar(&s.from, "from", "", "`ADDRESS` of the sender (default: the bus's own)")
	c.Flags().StringVar(&s.kind, "type", message.Create, "`TYPE` of the message, such as read, update or one of your own")
	c.Flags().StringVar(&s.id, "id", "", "`ID` of the message (default: one made of the key)")
	c.Flags().StringVar(&s.key, "key", "", "idempotency `KEY`: what is posted again with it is taken once (default: a new one)")
	c.Flags().BoolVar(&s.p2p, "p2p", false, "ask for a direct connection")
	c.Flags().StringVar(&s.resource, "resource", "", "`FILE` whose content goes along with the message")
	c.Flags().StringVar(&s.mimeType, "mime-type", "application/octet-stream", "its MIME `TYPE`")
}

// bodyHelp is what all commands with a BODY say of it.
const bodyHelp = `BODY is a JSON object. @FILE reads it from a file, "-" from the standard input.`

// postSettings are those of `peerbus post`.
type postSettings struct {
	messageSettings
	wait string
}

func postCommand() *cobra.Command {
	var s postSettings
	c := &cobra.Command{
		Use:     "post ADDRESS [BODY]",
		GroupID: groupClient,
		Short:   "Post a message to an address",
		Long: `Post a message to an address. ` + bodyHelp + `

Accepted means that a listener or a stub of this runtime has the message, or keeps it
until it can leave. Delivered means that the receiver has dealt with it, wherever it is
(towards a runtime that does not say so: that it has left this one). With --wait response
the command prints the response, and fails when its code is 400 or above.

When the bus says that it cannot take the message now, or goes away with it, as it is being
restarted, the command tries again until --timeout. The message has an idempotency key and
is taken once. Where nothing answers from the beginning the command fails at once.

To an address of the bus's own runtime where nobody listens a message is refused at once. In
the first 10 s of a bus it waits for the listener, which may be about to come back, whatever
--wait says.`,
		Example: `  peerbus post hyperty://b.example/1 '{"value":{"hello":"world"}}'
  peerbus post hyperty://b.example/1 @body.json --wait delivered
  date +'{"value":"%s"}' | peerbus post hyperty://b.example/1 -`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args) },
	}
	s.flags(c)
	c.Flags().StringVar(&s.wait, "wait", "accepted", "accepted, delivered or response")
	complete(c, "wait", words("accepted", "delivered", "response"))
	return c
}

func (s *postSettings) run(cmd *cobra.Command, args []string) error {
	wait, err := message.ParseWait(s.wait)
	if err != nil {
		return err
	}
	m, err := s.message(cmd.Context(), cmd.InOrStdin(), args)
	if err != nil {
		return err
	}
	resp, err := s.post(cmd, m, wait)
	if err != nil {
		return err
	}
	if resp == nil {
		return s.printTaken(cmd.OutOrStdout(), m)
	}
	return printResponse(cmd.OutOrStdout(), resp, message.ApplicationJSON)
}

// post hands a message to the bus, and gives the response where it waits for one.
func (s *messageSettings) post(cmd *cobra.Command, m *pb.Message, wait pb.Wait) (*pb.Message, error) {
	if err := message.CheckTime(s.timeout); err != nil { // the bus is told of less
		return nil, err
	}
	if err := message.CheckSize(m); err != nil {
		return nil, err
	}
	meter := newMeter(cmd.ErrOrStderr(), m)
	conn, err := s.dial(s.busAddr, meter.dialOptions()...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(cmd.Context(), s.timeout)
	defer cancel()
	shown := meter.show(ctx, wait)
	again := untilTaken{errs: cmd.ErrOrStderr()}
	resp, err := again.post(ctx, pb.NewMessageBusClient(conn), &pb.PostRequest{Message: m, Wait: wait, IdempotencyKey: s.key})
	shown()
	return resp.GetResponse(), reached(s.busAddr, err)
}

// untilTaken posts a message until the bus has taken it.
type untilTaken struct {
	errs    io.Writer
	reached bool // the bus was there
	told    bool
}

// post returns at the end of ctx with what was wrong last.
func (u *untilTaken) post(ctx context.Context, bus pb.MessageBusClient, req *pb.PostRequest) (*pb.PostResponse, error) {
	wait := retry.Backoff{Max: time.Second}
	for {
		deadline, _ := ctx.Deadline()
		// The bus ends first, so that its own word on a time-out is heard.
		req.Timeout = durationpb.New(max(time.Until(deadline)-time.Second/4, time.Millisecond))
		resp, err := bus.Post(ctx, req)
		if err == nil || !u.mayTryAgain(err) {
			return resp, err
		}
		if !u.told {
			u.told = true
			_, _ = fmt.Fprintf(u.errs, "peerbus: %s; trying again for %s\n", explain(err), time.Until(deadline).Round(time.Second))
		}
		if wait.Wait(ctx) != nil {
			return nil, err
		}
	}
}

// mayTryAgain tells whether an error may pass. A bus that was never there is
// rather a wrong address.
func (u *untilTaken) mayTryAgain(err error) bool {
	if fault.CodeOf(err) != fault.Unavailable {
		return false
	}
	if !fault.Unreached(err) {
		u.reached = true
	}
	return u.reached
}

func (s *messageSettings) message(ctx context.Context, in io.Reader, args []string) (*pb.Message, error) {
	m := &pb.Message{Type: s.kind, From: s.from, To: args[0], P2P: s.p2p}
	if s.key == "" {
		s.key = uuid.NewString()
	}
	m.Id = message.KeyedID(s.key)
	if s.id != "" {
		m.Id = message.StringID(s.id)
	}
	if len(args) == 2 {
		body, err := readBody(ctx, in, args[1])
		if err != nil {
			return nil, err
		}
		m.Body = body
	}
	if s.resource != "" {
		content, err := readBounded(ctx, func() (io.ReadCloser, error) { return os.Open(s.resource) })
		if err != nil {
			return nil, unreadable("resource", err)
		}
		m.Resource = &pb.Resource{Content: content, MimeType: s.mimeType}
	}
	return m, nil
}

// readBody reads a body from an argument, or from where it points to.
func readBody(ctx context.Context, in io.Reader, arg string) ([]byte, error) {
	body := []byte(arg)
	open := func() (io.ReadCloser, error) { return io.NopCloser(in), nil }
	if path, isFile := strings.CutPrefix(arg, "@"); isFile {
		open = func() (io.ReadCloser, error) { return os.Open(path) }
	}
	if arg == "-" || strings.HasPrefix(arg, "@") {
		var err error
		if body, err = readBounded(ctx, open); err != nil {
			return nil, unreadable("body", err)
		}
	}
	body = bytes.TrimSpace(body)
	if !json.Valid(body) || len(body) == 0 || body[0] != '{' {
		return nil, message.NoObject()
	}
	return body, nil
}

// unreadable says what is wrong with what a field comes from: it is too large, or was
// named wrongly.
func unreadable(field string, err error) error {
	if fault.CodeOf(err) == fault.TooLarge {
		return message.TooLarge(field)
	}
	return fault.New(fault.BadRequest, "%s: %w", field, err).In(field)
}

// readBounded reads what can still be a message. It does not wait for who writes, at the
// other end of a pipe or at a terminal, once ctx is over: the read goes on alone then,
// until the command ends.
func readBounded(ctx context.Context, open func() (io.ReadCloser, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		data, err := readAll(open)
		read <- result{data, err}
	}()
	select {
	case r := <-read:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func readAll(open func() (io.ReadCloser, error)) ([]byte, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(io.LimitReader(r, message.MaxSize+1))
	if err == nil && len(data) > message.MaxSize {
		err = fault.New(fault.TooLarge, "more than %d bytes", message.MaxSize)
	}
	return data, err
}

// printTaken says what is known of a message without a response.
func (s *postSettings) printTaken(w io.Writer, m *pb.Message) error {
	if s.output.json() {
		_, err := fmt.Fprintf(w, "{%q:true,\"id\":%s}\n", s.wait, m.Id)
		return err
	}
	_, err := fmt.Fprintf(w, "%s, id %s\n", s.wait, m.Id)
	return err
}

// printResponse prints a response as text has it, and fails as it does.
func printResponse(w io.Writer, resp *pb.Message, text func(*pb.Message) ([]byte, error)) error {
	line, err := text(resp)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w, jsonLine(line)); err != nil {
		return err
	}
	_, err = message.Result(resp)
	return err
}
