package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
)

// The demo is the main job as one sees it: a Message Node and two runtimes on
// this machine, messages from Alice to Bob, first over the node and then over
// the data channel.
//
//	demo ──posts──► Alice: registry, bus, p2pstub, nodestub (a process each)
//	                     │  ▲                 ║
//	                     ▼  │                 ║ WebRTC data channel
//	                  Message Node            ║
//	                     │  ▲                 ║
//	                     ▼  │                 ║
//	demo ◄─listens── Bob: runtime (one process)
//
// Its order: set up the stage, post while things happen, then judge what was
// seen.

// demoSettings are those of `peerbus demo`.
type demoSettings struct {
	duration time.Duration
	every    time.Duration
	keep     bool
}

const demoDomain = "example.org"

// demoLimit bounds what the demo waits for besides its own duration: the start
// of six processes on a slow machine, and the last messages.
const demoLimit = 60 * time.Second

func demoCommand() *cobra.Command {
	var s demoSettings
	c := &cobra.Command{
		Use:     "demo",
		Short:   "Show the main job: two runtimes on this machine, from the Message Node onto a data channel",
		Example: "  peerbus demo",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	c.Flags().DurationVar(&s.duration, "duration", 3*time.Second, "how long messages are posted")
	c.Flags().DurationVar(&s.every, "every", 100*time.Millisecond, "time from one message to the next")
	c.Flags().BoolVar(&s.keep, "keep-data", false, "keep the data directory")
	return c
}

func (s *demoSettings) run(cmd *cobra.Command) (err error) {
	if s.every <= 0 || s.duration < s.every {
		return fault.New(fault.BadRequest, "every must be more than 0, and not more than duration")
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), s.duration+demoLimit)
	defer cancel()
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "peerbus-demo-")
	if err != nil {
		return err
	}
	if !s.keep {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	p := newPrinter(cmd.OutOrStdout())
	defer p.flush()
	system := local.New(local.Config{Binary: binary, Dir: filepath.Join(dir, "data"), OnEvent: p.event})
	defer func() {
		if closing := system.Close(); err == nil {
			err = closing
		}
	}()
	stage, err := s.setStage(ctx, p, system)
	if err != nil {
		return err
	}
	if err := stage.play(ctx, p, s); err != nil {
		return err
	}
	return stage.judge(ctx, p, system)
}

// stage is what the demo has set up.
type stage struct {
	alice, bob *local.Runtime
	from, to   string // Alice's and Bob's hyperty
	sent       int
	results    []result
	live       time.Time // when Alice's connection became live; zero before
	began      time.Time // when the first message was posted
}

func (s *demoSettings) setStage(ctx context.Context, p *printer, system *local.System) (*stage, error) {
	p.say("Starting a Message Node, Alice's runtime (four processes) and Bob's (one process).")
	p.flush() // the processes take a while
	node, err := system.StartNode(demoDomain)
	if err != nil {
		return nil, err
	}
	st := &stage{}
	nodes := []*local.Node{node}
	if st.alice, err = system.StartRuntime("alice", local.Separate, nodes); err != nil {
		return nil, err
	}
	if st.bob, err = system.StartRuntime("bob", local.AllInOne, nodes); err != nil {
		return nil, err
	}
	for _, r := range []*local.Runtime{st.alice, st.bob} {
		if err := r.Ready(ctx); err != nil {
			return nil, err
		}
	}
	if st.from, err = registerHyperty(ctx, st.alice, "alice"); err != nil {
		return nil, err
	}
	if st.to, err = registerHyperty(ctx, st.bob, "bob"); err != nil {
		return nil, err
	}
	p.say("Alice's hyperty is %s, Bob's is %s.", st.from, st.to)
	return st, nil
}

func registerHyperty(ctx context.Context, r *local.Runtime, user string) (string, error) {
	resp, err := pb.NewRegistryClient(r.Registry).Register(ctx, &pb.RegisterRequest{Registration: &pb.Registration{
		Kind: pb.RegistrationKind_REGISTRATION_KIND_HYPERTY,
		User: "user://" + demoDomain + "/" + user,
	}})
	if err != nil {
		return "", fmt.Errorf("registering %s's hyperty: %w", user, err)
	}
	return resp.Registration.Url, nil
}
