package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

// run is the test, or what it is within a pod.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "traffic":
			return runTraffic(ctx, args[1:])
		case "finish":
			return finishTraffic()
		case "wait":
			<-ctx.Done()
			return nil
		case "kill":
			return killPod(args[1:])
		}
	}
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.test(ctx)
}

// settings of a run.
type settings struct {
	binary string        // peerbus, for the runtime outside
	image  string        // archive of its image
	root   string        // folder k8s of the repository
	only   string        // names of steps
	churn  time.Duration // of killing pods
	seed   uint64
	keep   bool
}

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("e2e", flag.ContinueOnError)
	f.StringVar(&s.binary, "bin", "../bin/peerbus", "`binary` of peerbus for the runtime outside the cluster")
	f.StringVar(&s.image, "image", "../bin/peerbus-image.tar", "`archive` of its image, for K8S_LOAD")
	f.StringVar(&s.root, "root", ".", "`folder` of the manifests")
	f.StringVar(&s.only, "only", "", "run the steps whose names match this `pattern`; those that they need are run too")
	f.DurationVar(&s.churn, "churn", 2*time.Minute, "how long pods are killed under traffic, beyond one of each kind")
	f.Uint64Var(&s.seed, "seed", 0, "decides which pods are killed; 0 picks one")
	f.BoolVar(&s.keep, "keep", false, "leave what is in the cluster when a step fails")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if s.seed == 0 {
		s.seed = uint64(time.Now().UnixNano())
	}
	return s, nil
}
