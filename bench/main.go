package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/peerbus/peerbus/bench/internal/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		_, _ = fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func execute(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == worker.Word {
		return worker.Work(roles, args)
	}
	s, err := parse(args)
	if err != nil {
		return err
	}
	if s.list {
		return s.writeList(os.Stdout)
	}
	if err := s.makePlaces(); err != nil {
		return err
	}
	switch {
	case s.from != "" && s.tops != "":
		return s.topsAgain(ctx)
	case s.from != "" && s.growth:
		return s.growthAgain()
	case s.from != "":
		return s.again()
	case s.growth:
		return s.grow(ctx)
	default:
		return s.measure(ctx)
	}
}
