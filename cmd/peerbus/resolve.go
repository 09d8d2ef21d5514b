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
				route := resp.GetRoute()
				next := route.GetNext()
				if next == "" {
					next = "-"
				}
				runtimeURL := resp.RuntimeUrl
				if runtimeURL == "" {
					runtimeURL = "not known"
				}
				return table(cmd.OutOrStdout(), []string{"ADDRESS", "NEXT", "RUNTIME", "REASON"},
					[][]string{{req.Address, next, runtimeURL, reasonText(route)}})
			})
		},
	}
	s.registryFlags(c)
	c.Flags().StringVar(&req.From, "from", "", "`ADDRESS` of the sender")
	c.Flags().BoolVar(&req.P2P, "p2p", false, "as if the message asked for a direct connection; this may start one")
	return c
}

func reasonText(route *pb.Route) string {
	text := enumName(route.GetReason().String(), "ROUTE_REASON_")
	if route.GetDescription() != "" {
		text += ": " + route.Description
	}
	return text
}
