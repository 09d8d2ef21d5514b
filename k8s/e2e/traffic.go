package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/numbered"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/k8s/manifests"
	"github.com/peerbus/peerbus/protocol/message"
)

// Traffic. Each pair is a poster in one runtime and a listener in the other, each with an
// attachment of its own, so that they are spread over the buses.
const (
	pairs      = 8 // four each way
	postEvery  = 10 * time.Millisecond
	largeEach  = 100
	smallBytes = 64
	largeBytes = 64 << 10
	reportTime = time.Second
	// drainTime is how long nothing may come before what is missing counts as lost. Most
	// of what is still under way comes within seconds.
	drainTime = 90 * time.Second
	// longPause is what is complained of.
	longPause = 3 * time.Second
	// doubleTime is how long doubles may come after the last message.
	doubleTime = 5 * time.Second
)

// side is a runtime as its clients see it.
type side struct {
	id       string
	busAddr  string
	registry pb.RegistryClient
}

// pair is a poster and its listener.
type pair struct {
	index    int
	from, to string
	bus      *client.Bus
}

// runTraffic posts until SIGUSR1, waits for what is under way, and prints the counts: a
// line of JSON each second, the last of which is final.
func runTraffic(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("traffic", flag.ContinueOnError)
	if err := f.Parse(args); err != nil {
		return err
	}
	finish, stop := signal.NotifyContext(ctx, syscall.SIGUSR1)
	defer stop()
	t := &traffic{judge: newJudge()}
	if err := t.set(ctx); err != nil {
		return err
	}
	var posters sync.WaitGroup
	for _, p := range t.pairs {
		posters.Go(func() { t.run(ctx, finish, p) })
	}
	reports := time.NewTicker(reportTime)
	defer reports.Stop()
	for finish.Err() == nil {
		select {
		case <-reports.C:
			t.report(false)
		case <-finish.Done():
		}
	}
	posters.Wait()
	t.drain(ctx)
	t.report(true)
	return ctx.Err()
}

// finishTraffic tells the first process of this pod to come to an end.
func finishTraffic() error { return syscall.Kill(1, syscall.SIGUSR1) }

// traffic is all pairs, and the judge of their messages.
type traffic struct {
	judge *numbered.Judge
	pairs []*pair
}

// set registers addresses, and listens at them.
func (t *traffic) set(ctx context.Context) error {
	sides := []*side{{id: "alice"}, {id: "bob"}}
	for i, namespace := range []string{manifests.Alice, manifests.Bob} {
		conn, err := dial("registry." + namespace + ".svc:7401")
		if err != nil {
			return err
		}
		sides[i].registry, sides[i].busAddr = pb.NewRegistryClient(conn), "bus."+namespace+".svc:7402"
	}
	for i := range pairs {
		p, err := t.pair(ctx, i, sides[i%2], sides[1-i%2])
		if err != nil {
			return err
		}
		t.pairs = append(t.pairs, p)
	}
	return nil
}

func dial(addr string) (*grpc.ClientConn, error) { return rpc.Dial(addr, rpc.Security{}) }

func (t *traffic) pair(ctx context.Context, index int, from, to *side) (*pair, error) {
	p := &pair{index: index}
	var err error
	if p.from, err = from.register(ctx); err != nil {
		return nil, err
	}
	if p.to, err = to.register(ctx); err != nil {
		return nil, err
	}
	listener, err := to.attach(ctx)
	if err != nil {
		return nil, err
	}
	if p.bus, err = from.attach(ctx); err != nil {
		return nil, err
	}
	if _, err := listener.Listen(ctx, p.to, t.handler(p)); err != nil {
		return nil, err
	}
	_, err = p.bus.Listen(ctx, p.from, t.refusals(p))
	return p, err
}

// register gives the side a hyperty, whose address the Message Node allocates.
func (s *side) register(ctx context.Context) (string, error) {
	resp, err := s.registry.Register(ctx, &pb.RegisterRequest{Registration: &pb.Registration{
		Kind: pb.RegistrationKind_REGISTRATION_KIND_HYPERTY, User: "user://example.org/" + s.id,
	}})
	if err != nil {
		return "", fmt.Errorf("registering a hyperty of %s: %w", s.id, err)
	}
	return resp.Registration.Url, nil
}

// attach makes a client with a connection of its own.
func (s *side) attach(ctx context.Context) (*client.Bus, error) {
	conn, err := dial(s.busAddr)
	if err != nil {
		return nil, err
	}
	bus, err := client.New(client.Config{Conn: conn, Name: "e2e", Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return nil, err
	}
	go func() { _ = bus.Run(ctx) }() // until the process ends
	return bus, nil
}

// run posts for one pair. It waits for the answer to one post before the next, so that
// the order is known.
func (t *traffic) run(ctx, finish context.Context, p *pair) {
	for n := 1; finish.Err() == nil; n++ {
		next := time.After(postEvery)
		size := smallBytes
		if n%largeEach == 0 {
			size = largeBytes
		}
		t.post(ctx, p, size)
		select {
		case <-next:
		case <-finish.Done():
		}
	}
}

func (t *traffic) post(ctx context.Context, p *pair, size int) {
	at := time.Now()
	number := t.judge.Posted(p.index, at)
	text, err := numbered.New(number, size, at)
	if err == nil {
		err = p.bus.Post(ctx, &pb.Message{Type: "message", From: p.from, To: p.to, Body: text})
	}
	if ctx.Err() == nil {
		t.judge.Told(p.index, number, err)
	}
}

// handler takes what comes for a pair.
func (t *traffic) handler(p *pair) client.Handler {
	return func(_ context.Context, m *pb.Message) {
		content, ok := numbered.Read(m.Body)
		if !ok || m.From != p.from {
			t.judge.Broken()
			return
		}
		now := time.Now()
		if paused := t.judge.Handed(p.index, content.Number, numbered.PathOf(m.Via), now); paused > longPause {
			fmt.Fprintf(os.Stderr, "%s: %s waited %.1f s for number %d\n", now.Format(time.TimeOnly), p.to, paused.Seconds(), content.Number)
		}
	}
}

// refusals takes what comes back to a poster after it was accepted. If it is not there,
// it is lost all the same.
func (t *traffic) refusals(p *pair) client.Handler {
	return func(_ context.Context, m *pb.Message) {
		if _, err := message.Result(m); err != nil {
			t.judge.TakenBack(err)
			fmt.Fprintf(os.Stderr, "pair %d: refused after it was accepted: %v\n", p.index, err)
		}
	}
}

// drain waits until all that was accepted is there, or nothing comes any more.
func (t *traffic) drain(ctx context.Context) {
	began := time.Now()
	for ctx.Err() == nil {
		last := t.judge.LastHanded()
		if last.Before(began) {
			last = began
		}
		if t.judge.Missing() == 0 || time.Since(last) > drainTime {
			break
		}
		time.Sleep(lookEvery)
	}
	select {
	case <-time.After(doubleTime):
	case <-ctx.Done():
	}
}

// line is what is printed.
type line struct {
	counts
	Final bool `json:"final,omitempty"`
}

func (t *traffic) report(final bool) {
	text, err := json.Marshal(line{count(t.judge.Findings()), final})
	if err == nil {
		fmt.Println(string(text))
	}
}

// lastLine reads the newest report of a log, in which are complaints too.
func lastLine(log string) (line, error) {
	var l line
	for _, text := range slices.Backward(strings.Split(log, "\n")) {
		if strings.HasPrefix(text, "{") {
			return l, json.Unmarshal([]byte(text), &l)
		}
	}
	return l, fmt.Errorf("traffic has no report: %q", log)
}
