package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/protocol/message"
)

// benchSettings are those of `peerbus bench`.
type benchSettings struct {
	clientSettings
	number, size, concurrency int
	duration                  time.Duration
	waitName, from            string
	listen                    bool
	toBusAddr                 string

	wait pb.Wait
}

// Bounds of a measurement.
const (
	benchTime      = 10 * time.Second // without -n and --duration
	maxConcurrency = 4096             // what a bus takes of unary posts, and more than one needs
	maxBenchSize   = message.MaxSize - 1<<10
	benchType      = "bench"
)

func benchCommand() *cobra.Command {
	var s benchSettings
	c := &cobra.Command{
		Use:     "bench [ADDRESS]",
		GroupID: groupClient,
		Short:   "Measure how many messages get to an address, and how long they take",
		Long: `Measure how many messages get to an address, and how long they take. So many posts as
--concurrency says are under way at once; each ends when what --wait says has happened,
and the next begins. Interrupted, it prints what there is.

With --listen it is the receiver too, at the bus of --to-bus-addr, and answers where --wait
is response; then ADDRESS may be left out, and is one below the URL of that runtime. To be
reached from another runtime before the two are connected, ADDRESS must be registered
(peerbus hyperties add). Otherwise somebody else listens to ADDRESS.`,
		Example: `  peerbus bench --listen
  peerbus bench hyperty://b.example/1 --listen --to-bus-addr 127.0.0.1:7412 --duration 30s
  peerbus bench hyperty://b.example/1 -n 10000 --size 1024 --wait response -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, append(args, "")[0]) },
	}
	s.bothFlags(c)
	c.ValidArgsFunction = s.asked(1, knownAddresses)
	f := c.Flags()
	f.IntVarP(&s.number, "number", "n", 0, "end after so many messages; 0 for no such end")
	f.DurationVar(&s.duration, "duration", 0, "end after this time (default: 10s, or none with -n)")
	f.IntVar(&s.size, "size", 128, "bytes of each message's value")
	f.IntVar(&s.concurrency, "concurrency", 16, "how many messages are under way at once")
	f.StringVar(&s.waitName, "wait", "delivered", "what ends a message: accepted, delivered or response")
	f.StringVar(&s.from, "from", "", "`ADDRESS` of the sender (default: the bus's own)")
	f.BoolVar(&s.listen, "listen", false, "be the receiver too")
	f.StringVar(&s.toBusAddr, "to-bus-addr", "", "`HOST:PORT` or unix:///PATH of the bus to listen at (default: that of --bus-addr)")
	complete(c, "wait", words("accepted", "delivered", "response"))
	return c
}

func (s *benchSettings) check(address string) (err error) {
	if s.wait, err = message.ParseWait(s.waitName); err != nil {
		return err
	}
	if err := message.CheckTime(s.timeout); err != nil {
		return err
	}
	switch {
	case s.number < 0:
		return fault.New(fault.BadRequest, "number cannot be negative").In("number")
	case s.duration < 0:
		return fault.New(fault.BadRequest, "duration cannot be negative").In("duration")
	case s.size < 0 || s.size > maxBenchSize:
		return fault.New(fault.BadRequest, "size must be from 0 to %d", maxBenchSize).In("size")
	case s.concurrency < 1 || s.concurrency > maxConcurrency:
		return fault.New(fault.BadRequest, "concurrency must be from 1 to %d", maxConcurrency).In("concurrency")
	case !s.listen && s.toBusAddr != "":
		return fault.New(fault.BadRequest, "to-bus-addr is for --listen alone").In("to-bus-addr")
	case !s.listen && address == "":
		return fault.New(fault.BadRequest, "address is missing: give one, or --listen").In("address")
	}
	if s.number == 0 && s.duration == 0 {
		s.duration = benchTime
	}
	s.toBusAddr = or(s.toBusAddr, s.busAddr)
	return nil
}

func (s *benchSettings) run(cmd *cobra.Command, address string) error {
	if err := s.check(address); err != nil {
		return err
	}
	report, err := s.measure(cmd.Context(), address)
	if err != nil || report == nil {
		return err
	}
	if cmd.Context().Err() == nil {
		report.PathNow = s.pathNow(cmd.Context(), report.To)
	}
	if err := report.print(cmd.OutOrStdout(), s.output.json()); err != nil {
		return err
	}
	return s.arrived(report)
}

// arrived fails when this command was the receiver, and nothing has come to it: who
// posts to where a Message Node knows nobody is told that it was delivered all the same.
func (s *benchSettings) arrived(r *benchReport) error {
	if !s.listen || s.wait == pb.Wait_WAIT_ACCEPTED || r.Interrupted || r.Messages == 0 || len(r.Paths) > 0 {
		return nil
	}
	return fault.New(fault.NotFound, "none of %d messages has arrived at %s: register the address at its runtime (`peerbus hyperties add`), or connect the two before", r.Messages, r.To)
}

// measure attaches sender and receiver, and gives what was measured; nil when it was
// interrupted before.
func (s *benchSettings) measure(ctx context.Context, address string) (report *benchReport, err error) {
	sender, leave, err := s.attachment(s.busAddr)
	if err != nil {
		return nil, err
	}
	defer leave()
	receiver, leave, err := s.attachment(s.toBusAddr)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, over := context.WithCancel(ctx)
	defer over()
	parts := []run.Func{sender.Run, func(ctx context.Context) error {
		l := &load{settings: s, bus: sender, paths: &pathCounts{}}
		if l.to, err = s.receive(ctx, receiver, address, l.paths); err != nil {
			return interrupted(ctx, err)
		}
		if err := s.ready(ctx, sender, s.busAddr); err != nil {
			return interrupted(ctx, err)
		}
		report = l.run(ctx)
		over()
		return nil
	}}
	if s.listen {
		parts = append(parts, receiver.Run)
	}
	return report, run.All(ctx, parts...)
}

// interrupted takes the end of a command for no error of its own.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *benchSettings) attachment(addr string) (*client.Bus, func(), error) {
	conn, err := rpc.Dial(addr, s.security, rpc.Spread())
	if err != nil {
		return nil, nil, err
	}
	bus, err := client.New(client.Config{Conn: conn, Name: benchType, Log: slog.New(slog.DiscardHandler)})
	return bus, func() { _ = conn.Close() }, err
}

func (s *benchSettings) ready(ctx context.Context, bus *client.Bus, addr string) error {
	within, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if _, err := bus.Ready(within); err != nil {
		return s.noBus(ctx, addr)
	}
	return nil
}

// receive makes this command the receiver, where it shall be. It gives the address.
func (s *benchSettings) receive(ctx context.Context, bus *client.Bus, address string, paths *pathCounts) (string, error) {
	if !s.listen {
		return address, nil
	}
	if err := s.ready(ctx, bus, s.toBusAddr); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if address == "" {
		runtime, err := bus.Ready(ctx)
		if err != nil {
			return "", err
		}
		address = runtime + "/" + benchType + "/" + uuid.NewString()
	}
	_, err := bus.Listen(ctx, address, func(ctx context.Context, m *pb.Message) {
		if m.Type != benchType {
			return
		}
		paths.count(m)
		if s.wait == pb.Wait_WAIT_RESPONSE {
			_ = bus.Send(ctx, message.Answer(m, fault.OK, nil)) // else ctx is over
		}
	})
	return address, err
}

// pathNow asks the registry which way messages take; empty when it cannot say.
func (s *benchSettings) pathNow(ctx context.Context, address string) (path string) {
	_ = s.with(ctx, s.registryAddr, func(ctx context.Context, c *grpc.ClientConn) error {
		resp, err := pb.NewRegistryClient(c).Resolve(ctx, &pb.ResolveRequest{Address: address})
		if err == nil {
			path = routePath(resp.GetRoute())
		}
		return err
	})
	return path
}
