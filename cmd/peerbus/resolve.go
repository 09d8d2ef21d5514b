package main

import (
	"context"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func resolveCommand() *cobra.Command {
	var s clientSettings
	req := &pb.ResolveRequest{}
	c := &cobra.Command{
		Use:     "resolve ADDRESS",
		GroupID: groupClient,
		Short:   "Show where messages to an address go, and why",
		Args:    cobra.ExactArgs(1),
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
				return table(cmd.OutOrStdout(), []string{"ADDRESS", "NEXT", "OTHER WAY", "RUNTIME", "FLOW", "REASON"},
					[][]string{resolveRow(req.Address, resp)})
			})
		},
	}
	s.registryFlags(c)
	c.Flags().StringVar(&req.From, "from", "", "`ADDRESS` of the sender")
	c.Flags().BoolVar(&req.P2P, "p2p", false, "as if the message asked for a direct connection; this may start one")
	return c
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
