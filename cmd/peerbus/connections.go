package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

func connectionsCommand() *cobra.Command {
	var s clientSettings
	var watch bool
	c := &cobra.Command{
		Use:     "connections",
		GroupID: groupClient,
		Short:   "Show the p2pConnection table, set up a connection, or close one",
		Long: `Show the p2pConnection table: one line a remote runtime, with the path that messages
take. With --watch a line follows for each change, until interrupted; it goes on when
the registry was away.`,
		Example: `  peerbus connections --watch
  peerbus connections open hyperty-runtime://b.example/bob
  peerbus connections close hyperty-runtime://b.example/bob`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch {
				return s.watchConnections(cmd)
			}
			return s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) error {
				resp, err := r.ListConnections(ctx, &pb.ListConnectionsRequest{})
				if err != nil {
					return err
				}
				warnStale(ctx, cmd.ErrOrStderr(), r)
				if s.output.json() {
					return printJSON(cmd.OutOrStdout(), resp)
				}
				return table(cmd.OutOrStdout(), connectionHeading, connectionRows(resp.Connections, time.Now()))
			})
		},
	}
	s.registryFlags(c)
	c.Flags().BoolVarP(&watch, "watch", "w", false, "print changes as they come")
	c.AddCommand(openConnectionCommand(), closeConnectionCommand())
	return c
}

// warnStale says so when what a registry shows is what it has heard from one that led.
func warnStale(ctx context.Context, w io.Writer, r pb.RegistryClient) {
	runtime, err := r.GetRuntime(ctx, &pb.GetRuntimeRequest{})
	if err == nil && nobodyLeads(runtime) {
		_, _ = fmt.Fprintln(w, "no registry leads: this may be old") // nothing is left to say it to
	}
}

func openConnectionCommand() *cobra.Command {
	var s clientSettings
	var wait bool
	c := &cobra.Command{
		Use:   "open ADDRESS",
		Short: "Set up a connection to a runtime, or to the runtime of an address, and print its id",
		Example: `  peerbus connections open hyperty-runtime://b.example/bob
  peerbus connections open hyperty://b.example/1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) error {
				resp, err := r.Connect(ctx, &pb.ConnectRequest{Address: args[0]})
				if err == nil && wait {
					err = waitLive(ctx, r, resp.GetConnection().GetId())
				}
				if err != nil {
					return err
				}
				if s.output.json() {
					return printJSON(cmd.OutOrStdout(), resp)
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), resp.GetConnection().GetId())
				return err
			})
		},
	}
	s.registryFlags(c)
	c.Flags().BoolVar(&wait, "wait", false, "wait until it is live")
	return c
}

// waitLive waits until a connection is live, whatever becomes of it before.
func waitLive(ctx context.Context, r pb.RegistryClient, id string) error {
	stream, err := r.WatchConnections(ctx, &pb.WatchConnectionsRequest{})
	for last := ""; err == nil; {
		var resp *pb.WatchConnectionsResponse
		if resp, err = stream.Recv(); err != nil {
			return fault.New(fault.CodeOf(err), "connection %s is not live%s: %w", id, last, err)
		}
		if slices.Contains(resp.Removed, id) {
			return fault.New(fault.NotFound, "connection %s is gone%s", id, last)
		}
		for _, c := range resp.Connections {
			switch {
			case c.Id != id:
			case c.State == pb.ConnectionState_CONNECTION_STATE_LIVE:
				return nil
			case c.Reason != "":
				last = " (" + c.Reason + ")"
			}
		}
	}
	return err
}

func closeConnectionCommand() *cobra.Command {
	var s clientSettings
	c := &cobra.Command{
		Use:     "close ID|RUNTIME",
		Short:   "Close a connection and remove its entry",
		Example: `  peerbus connections close hyperty-runtime://b.example/bob`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) error {
				_, err := r.Disconnect(ctx, &pb.DisconnectRequest{Connection: args[0]})
				return err
			})
		},
	}
	s.registryFlags(c)
	c.ValidArgsFunction = s.asked(1, connectionIDs)
	return c
}

var connectionHeading = []string{
	"REMOTE RUNTIME", "ROLE", "STATE", "FOR", "PATH", "FOR", "ROUND TRIP", "ADDRESSES", "ATTEMPTS", "NEXT", "ID", "WHY",
}

func connectionRows(connections []*pb.Connection, now time.Time) [][]string {
	var rows [][]string
	for _, c := range connections {
		rows = append(rows, []string{
			c.RemoteRuntimeUrl, enumName(c.Role.String(), "CONNECTION_ROLE_"),
			enumName(c.State.String(), "CONNECTION_STATE_"), stateAge(c, now),
			enumName(c.Path.String(), "PATH_"), age(c.PathSince, now), roundTrip(c.RoundTrip),
			strconv.Itoa(len(c.RemoteAddresses)), strconv.Itoa(int(c.Attempts)), nextAttempt(c, now), c.Id, pathReason(c),
		})
	}
	return rows
}

func stateAge(c *pb.Connection, now time.Time) string {
	if n := len(c.Transitions); n > 0 {
		return age(c.Transitions[n-1].Time, now)
	}
	return "-"
}

func age(since *timestamppb.Timestamp, now time.Time) string {
	if since == nil {
		return "-"
	}
	return now.Sub(since.AsTime()).Round(time.Second).String()
}

func roundTrip(d *durationpb.Duration) string {
	if d == nil {
		return "-"
	}
	return d.AsDuration().Round(10 * time.Microsecond).String()
}

// nextAttempt is the time until another set-up may be made.
func nextAttempt(c *pb.Connection, now time.Time) string {
	if c.NextAttempt == nil || c.State == pb.ConnectionState_CONNECTION_STATE_LIVE {
		return "-"
	}
	if d := c.NextAttempt.AsTime().Sub(now).Round(time.Second); d > 0 {
		return "in " + d.String()
	}
	return "now"
}

// pathReason is why messages take their path, and what was wrong last.
func pathReason(c *pb.Connection) string {
	switch {
	case c.PathReason == "":
		return "-"
	case c.Reason == "" || c.Reason == c.PathReason:
		return c.PathReason
	default:
		return c.PathReason + " (" + c.Reason + ")"
	}
}
