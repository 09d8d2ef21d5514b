package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/services/p2pstub"
)

// doctorSettings are those of `peerbus doctor`.
type doctorSettings struct {
	clientSettings
	nodeHTTP   string
	iceServers []string
	udpPort    int
	dataDir    string

	servers []p2pstub.ICEServer
}

// doctorTime is how long one check may take, where nothing is said.
const doctorTime = 3 * time.Second

func doctorCommand() *cobra.Command {
	var s doctorSettings
	c := &cobra.Command{
		Use:     "doctor",
		GroupID: groupClient,
		Short:   "Check a runtime, its Message Node and this machine, and say what to do",
		Long: `Check whether the runtime answers and is complete, whether its Message Node is reached
and its clock agrees, whether NATS takes writes where replicas share one, and what this
machine allows: UDP, its buffers, candidates for direct connections, STUN and TURN servers,
open files, the data directory; where no runtime answers, the ports that one wants. A line
a check: ok, warn (it works, not as well as it could), fail (it does not work) or skip (it
cannot be known from here).

Run it where the runtime runs, and where its services are on several machines or pods, where
the p2pstub runs: the machine is looked at where the registry is here too, or where
--udp-port or --ice-server say that a p2pstub is. The command fails when a check does.`,
		Example: `  peerbus doctor
  peerbus doctor --ice-server stun:stun.example.org:3478 --node-http https://node.example.org
  peerbus doctor -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	s.bothFlags(c)
	f := c.Flags()
	timeout := f.Lookup("timeout")
	timeout.DefValue, timeout.Usage = doctorTime.String(), "how long each check may take"
	s.timeout = doctorTime
	f.StringVar(&s.nodeHTTP, "node-http", "", "`URL`, HOST:PORT or unix:///PATH of the Message Node's HTTP, to compare clocks and read its descriptor (default: found out where it can be)")
	f.StringArrayVar(&s.iceServers, "ice-server", nil, "STUN or TURN server, `URL[,USER,SECRET]` (repeatable), as the runtime has it")
	f.IntVar(&s.udpPort, "udp-port", 0, "UDP port that a runtime shall use; 0 for any")
	f.StringVar(&s.dataDir, "data-dir", "", "`DIR` that a runtime shall use (default: below the user's state directory)")
	return c
}

// finding is what came of one check.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Text    string  `json:"text"`
	Advice  string  `json:"advice,omitempty"`
}

// verdict of a check.
type verdict string

const (
	isOK   verdict = "ok"
	isWarn verdict = "warn" // it works, not as well as it could
	isFail verdict = "fail" // it does not work
	isSkip verdict = "skip" // it cannot be known from here
)

func (s *doctorSettings) run(cmd *cobra.Command) (err error) {
	if err := s.checkTimeout(); err != nil {
		return err
	}
	if s.udpPort < 0 || s.udpPort > 65535 {
		return fault.New(fault.BadRequest, "udp-port %d is no port", s.udpPort).In("udp-port")
	}
	if s.servers, err = parseICEServers(s.iceServers); err != nil {
		return err
	}
	var all []finding
	for _, check := range s.checks() {
		if cmd.Context().Err() != nil {
			break
		}
		all = append(all, check(cmd.Context())...)
	}
	if err := printFindings(cmd.OutOrStdout(), all, s.output.json()); err != nil {
		return err
	}
	return failureOf(all)
}

// check is one or several that belong together.
type check func(context.Context) []finding

func (s *doctorSettings) checks() []check {
	there := &runtimeThere{doctorSettings: s}
	bus := func(ctx context.Context) []finding { return judgeBusElsewhere(there.bus(ctx), there.runtime) }
	return []check{there.registry, bus, there.node, there.clock, there.machine}
}

// failureOf is the command's own end: it fails when a check does.
func failureOf(all []finding) error {
	failed := 0
	for _, f := range all {
		if f.Verdict == isFail {
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	return fault.New(fault.Unavailable, "%d of %d checks failed", failed, len(all))
}

func printFindings(w io.Writer, all []finding, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Checks []finding `json:"checks"`
		}{slices.Concat([]finding{}, all)})
	}
	for _, f := range all {
		text := f.Text
		if f.Advice != "" {
			text += "; " + f.Advice
		}
		if _, err := fmt.Fprintf(w, "%-4s  %-12s  %s\n", f.Verdict, f.Check, printable(text)); err != nil {
			return err
		}
	}
	return nil
}
