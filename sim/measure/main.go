package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/sim/cost"
)

// partTime bounds one part.
const partTime = 8 * time.Minute

// measurement is one run.
type measurement struct {
	binary, file string
	only         *regexp.Regexp
	scale        float64
	costs        cost.Costs
}

// part of a measurement, each by itself.
type part struct {
	name string
	do   func(*measurement, context.Context) error
}

var parts = []part{
	{"records", (*measurement).records},
	{"node", (*measurement).node},
	{"store", (*measurement).store},
	{"start", (*measurement).start},
	{"runtime", (*measurement).runtime},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == natsRole {
		os.Exit(serveNATS(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintf(os.Stderr, "measure: %v\n", err)
		os.Exit(1)
	}
}

func execute(ctx context.Context, args []string) error {
	m, err := parse(args)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if !m.only.MatchString(p.name) {
			continue
		}
		fmt.Println(p.name)
		ctx, cancel := context.WithTimeout(ctx, partTime)
		err := p.do(m, ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err := m.costs.Save(m.file); err != nil {
			return err
		}
	}
	return nil
}

func parse(args []string) (*measurement, error) {
	m := &measurement{}
	var only string
	f := flag.NewFlagSet("measure", flag.ContinueOnError)
	f.StringVar(&m.binary, "bin", "bin/peerbus", "the peerbus program")
	f.StringVar(&m.file, "costs", "sim/cost/costs.json", "the file to write; parts that are not measured stay")
	f.StringVar(&only, "only", "", "only parts whose names match this regular expression")
	f.Float64Var(&m.scale, "scale", 1, "how many of everything: 1 is the whole, less is faster and worse")
	err := f.Parse(args)
	if err == nil {
		m.only, err = regexp.Compile(only)
	}
	if err == nil && (m.scale <= 0 || m.scale > 1) {
		err = fault.New(fault.BadRequest, "scale must be above 0 and at most 1").In("scale")
	}
	if err == nil {
		m.costs, err = cost.Load(m.file)
	}
	m.costs.Machine = cost.Machine{CPU: cpuName(), Cores: runtime.NumCPU(), Go: runtime.Version()}
	return m, err
}

func (m *measurement) scaled(n int) int { return max(1, int(float64(n)*m.scale)) }

func cpuName() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // without it there is no name
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// ownCPU is what this process has used, user and system.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it is always known
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
