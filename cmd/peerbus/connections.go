package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func connectionsCommand() *cobra.Command {
	var s clientSettings
	c := &cobra.Command{
		Use:     "connections",
		GroupID: groupClient,
		Short:   "Show the p2pConnection table: one line a remote runtime",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) error {
				resp, err := r.ListConnections(ctx, &pb.ListConnectionsRequest{})
				if err != nil {
					return err
				}
				if s.output.json() {
					return printJSON(cmd.OutOrStdout(), resp)
				}
				return table(cmd.OutOrStdout(), connectionHeading, connectionRows(resp.Connections, time.Now()))
			})
		},
	}
	s.registryFlags(c)
	return c
}

var connectionHeading = []string{"REMOTE RUNTIME", "ROLE", "STATE", "FOR", "ADDRESSES", "ATTEMPTS", "REASON"}

func connectionRows(connections []*pb.Connection, now time.Time) [][]string {
	var rows [][]string
	for _, c := range connections {
		since := "-"
		if n := len(c.Transitions); n > 0 {
			since = now.Sub(c.Transitions[n-1].Time.AsTime()).Round(time.Second).String()
		}
		reason := c.Reason
		if reason == "" {
			reason = "-"
		}
		rows = append(rows, []string{
			c.RemoteRuntimeUrl, enumName(c.Role.String(), "CONNECTION_ROLE_"), enumName(c.State.String(), "CONNECTION_STATE_"),
			since, strconv.Itoa(len(c.RemoteAddresses)), strconv.Itoa(int(c.Attempts)), reason,
		})
	}
	return rows
}
