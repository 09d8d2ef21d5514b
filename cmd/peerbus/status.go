package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
)

func statusCommand() *cobra.Command {
	var s clientSettings
	var wait bool
	c := &cobra.Command{
		Use:     "status",
		GroupID: groupClient,
		Short:   "Show the runtime: its services and its sessions with Message Nodes",
		Example: `  peerbus status
  peerbus status --wait --timeout 1m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait {
				if err := s.waitReady(cmd.Context()); err != nil {
					return err
				}
			}
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
	c.Flags().BoolVar(&wait, "wait", false, "wait until its services are connected, and its session with the Message Node is live")
	return c
}

// waitReady asks until the runtime is ready, or the timeout is over.
func (s *clientSettings) waitReady(ctx context.Context) error {
	return s.withRegistry(ctx, func(ctx context.Context, r pb.RegistryClient) error {
		name := "the runtime at " + s.registryAddr
		err := local.WaitReady(ctx, name, r)
		if last := errors.Unwrap(err); last != nil {
			return fault.New(fault.Timeout, "%s is not ready: %w", name, reached(s.registryAddr, last))
		}
		return err
	})
}

func printStatus(cmd *cobra.Command, r *pb.GetRuntimeResponse) error {
	w := cmd.OutOrStdout()
	leader := ""
	if r.LeaderAddr != "" {
		leader = "leads         " + r.LeaderAddr + "\n"
	}
	_, err := fmt.Fprintf(w, "runtime       %s\n%shandler stub  %s\nregistered    %d\nconnections   %d\nversion       %s\n\n",
		r.RuntimeUrl, leader, r.P2PHandlerUrl, r.Registrations, r.Connections, r.Version)
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
