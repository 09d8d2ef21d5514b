package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/run"
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
		Long: `Print what comes for some addresses, a line a message, until interrupted. It goes
on when the bus was away. Messages from other runtimes come for addresses that are
registered here (peerbus hyperties add).`,
		Example: `  peerbus listen hyperty://a.example/1
  peerbus listen hyperty://a.example/1 -o json --count 1`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args) },
	}
	s.busFlags(c)
	c.ValidArgsFunction = s.asked(maxListened, ownAddresses)
	c.Flags().IntVar(&s.count, "count", 0, "end after so many messages; 0 for never")
	return c
}

// maxListened bounds the addresses that a shell completes.
const maxListened = 64

func (s *listenSettings) run(cmd *cobra.Command, addresses []string) error {
	if s.count < 0 {
		return fault.New(fault.BadRequest, "count cannot be negative").In("count")
	}
	ctx, enough := context.WithCancel(cmd.Context())
	defer enough()
	out := &messagePrinter{w: cmd.OutOrStdout(), json: s.output.json(), left: s.count, enough: enough}
	err := s.attached(ctx, "listen", addresses, func(*client.Bus) client.Handler { return out.print }, cmd.ErrOrStderr())
	if err == nil {
		err = out.err
	}
	return err
}

// attached listens to addresses until ctx ends. It goes on when the bus was away.
func (s *clientSettings) attached(ctx context.Context, name string, addresses []string, handler func(*client.Bus) client.Handler, errs io.Writer) error {
	if err := s.checkTimeout(); err != nil {
		return err
	}
	conn, err := rpc.Dial(s.busAddr, s.security, rpc.Spread())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	bus, err := client.New(client.Config{Conn: conn, Name: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return run.All(ctx, bus.Run, func(ctx context.Context) error {
		return s.listen(ctx, bus, addresses, handler(bus), errs)
	})
}

// listen adds the listeners, within the timeout.
func (s *clientSettings) listen(ctx context.Context, bus *client.Bus, addresses []string, h client.Handler, errs io.Writer) error {
	within, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if _, err := bus.Ready(within); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return s.noBus(ctx, s.busAddr)
	}
	for _, address := range addresses {
		if _, err := bus.Listen(within, address, h); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(errs, "listening to %s\n", strings.Join(addresses, ", "))
	return nil
}

// messagePrinter prints messages of several listeners.
type messagePrinter struct {
	json   bool
	enough func() // ends the command

	mu   sync.Mutex
	w    io.Writer
	left int // messages until the end; 0 for never
	over bool
	err  error
}

func (p *messagePrinter) print(_ context.Context, m *pb.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.err = p.line(m)
	if p.left--; p.left == 0 || p.err != nil {
		p.over = true
		p.enough()
	}
}

func (p *messagePrinter) line(m *pb.Message) error {
	if p.json {
		text, err := message.ApplicationJSON(m)
		if err == nil {
			_, err = fmt.Fprintln(p.w, jsonLine(text))
		}
		return err
	}
	body, err := bodyOf(m)
	if err != nil {
		return err
	}
	resource := ""
	if m.Resource != nil {
		resource = fmt.Sprintf("  [%d bytes of %s]", len(m.Resource.Content), printable(m.Resource.MimeType))
	}
	_, err = fmt.Fprintf(p.w, "%s  %-8s  from %s  to %s  over the %s  %s%s\n",
		time.Now().Format("15:04:05.000"), printable(m.Type), printable(m.From), printable(m.To), pathOf(m), jsonLine(body), resource)
	return err
}

func withoutVia(m *pb.Message) *pb.Message {
	m = message.Clone(m)
	m.Via = ""
	return m
}

// pathOf tells how a message came: `via` is the stub that it came in through.
func pathOf(m *pb.Message) string {
	switch {
	case m.Via == "":
		return "bus"
	case strings.Contains(m.Via, "/protostub/"):
		return relayed
	default:
		return direct
	}
}
