package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func resolveCommand() *cobra.Command {
	var s clientSettings
	var explain bool
	req := &pb.ResolveRequest{}
	c := &cobra.Command{
		Use:     "resolve ADDRESS",
		GroupID: groupClient,
		Short:   "Show where messages to an address go, and why",
		Long: `Show where messages to an address go, and why. With --explain, each of the rules by
which an address is resolved has a line, up to the one that decides (marked with *).
Resolving an address may start the set-up of a connection, as a message to it would.`,
		Example: `  peerbus resolve hyperty://b.example/1
  peerbus resolve hyperty://b.example/1 --explain`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Address = args[0]
			return s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) error {
				resp, err := r.Resolve(ctx, req)
				if err != nil {
					return err
				}
				if s.output.json() {
					return printJSON(cmd.OutOrStdout(), resp)
				}
				if explain {
					return table(cmd.OutOrStdout(), []string{"", "RULE", "WHY"}, stepRows(resp.Steps))
				}
				return table(cmd.OutOrStdout(), []string{"ADDRESS", "NEXT", "OTHER WAY", "RUNTIME", "FLOW", "REASON"},
					[][]string{resolveRow(req.Address, resp)})
			})
		},
	}
	s.registryFlags(c)
	c.ValidArgsFunction = s.asked(1, knownAddresses)
	c.Flags().BoolVar(&explain, "explain", false, "show the rules up to the one that decides")
	c.Flags().StringVar(&req.From, "from", "", "`ADDRESS` of the sender")
	c.Flags().BoolVar(&req.P2P, "p2p", false, "as if the message asked for a direct connection; this may start one")
	return c
}

// rules are what decides in each rule (wire contract, section 10).
var rules = [...]string{
	"before", "source", "backend service", "signalling", "connection lists address", "connection to runtime",
	"set-up under way", "re-establishing", "set-up started", "Message Node",
}

func stepRows(steps []*pb.ResolveStep) [][]string {
	var rows [][]string
	for _, s := range steps {
		mark, name := "", "rule"
		if s.Decided {
			mark = "*"
		}
		if int(s.Rule) < len(rules) {
			name = rules[s.Rule]
		}
		rows = append(rows, []string{mark, fmt.Sprintf("%d %s", s.Rule, name), s.Why})
	}
	return rows
}

func resolveRow(addr string, resp *pb.ResolveResponse) []string {
	route := resp.GetRoute()
	return []string{
		addr, or(route.GetNext(), "-"), or(route.GetRelay(), "-"), or(resp.RuntimeUrl, "not known"), flowText(route), reasonText(route),
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// flowText says whether messages travel in a flow: `announced`, `unknown` or `no`.
func flowText(route *pb.Route) string {
	if route.GetFlow() == pb.FlowUse_FLOW_USE_UNSPECIFIED {
		return "no"
	}
	return enumName(route.GetFlow().String(), "FLOW_USE_")
}

func reasonText(route *pb.Route) string {
	text := enumName(route.GetReason().String(), "ROUTE_REASON_")
	if route.GetDescription() != "" {
		text += ": " + route.Description
	}
	if route.GetDoubt() {
		text += " (in doubt: both ways are used)"
	}
	return text
}
