package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func statusCommand() *cobra.Command {
	var s clientSettings
	c := &cobra.Command{
		Use:     "status",
		GroupID: groupClient,
		Short:   "Show the runtime: its services and its sessions with Message Nodes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) error {
				resp, err := r.GetRuntime(ctx, &pb.GetRuntimeRequest{})
				if err != nil {
					return err
				}
				if s.output.json() {
					return printJSON(cmd.OutOrStdout(), resp)
				}
				return printStatus(cmd, resp)
			})
		},
	}
	s.registryFlags(c)
	return c
}

func printStatus(cmd *cobra.Command, r *pb.GetRuntimeResponse) error {
	w := cmd.OutOrStdout()
	_, err := fmt.Fprintf(w, "runtime       %s\nhandler stub  %s\nregistered    %d\nconnections   %d\nversion       %s\n\n",
		r.RuntimeUrl, r.P2PHandlerUrl, r.Registrations, r.Connections, r.Version)
	if err != nil {
		return err
	}
	rows := [][]string{}
	for _, c := range r.Components {
		state := "connected"
		if !c.Connected {
			state = "not connected"
		}
		rows = append(rows, []string{c.Name, state, "", c.Reason})
	}
	for _, n := range r.Nodes {
		rows = append(rows, []string{"Message Node of " + n.Domain, n.State, n.Endpoint, n.Reason})
	}
	return table(w, []string{"WITH", "STATE", "ENDPOINT", "REASON"}, rows)
}
