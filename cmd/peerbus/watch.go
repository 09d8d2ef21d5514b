package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/retry"
)

// watchConnections prints the table and its changes until it is interrupted. A
// registry that was there once is waited for.
func (s *clientSettings) watchConnections(cmd *cobra.Command) error {
	conn, err := s.dial(s.registryAddr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	seen := &connectionLog{w: cmd.OutOrStdout(), json: s.output.json(), known: map[string]string{}}
	backoff := retry.Backoff{Max: time.Second}
	for was := false; ; {
		err := watchOnce(cmd.Context(), pb.NewRegistryClient(conn), func(resp *pb.WatchConnectionsResponse, first bool) error {
			was = true
			backoff.Reset()
			return seen.take(resp, first, time.Now())
		})
		if cmd.Context().Err() != nil {
			return nil
		}
		if !was || status.Code(err) != codes.Unavailable {
			return reached(s.registryAddr, err)
		}
		if backoff.Wait(cmd.Context()) != nil {
			return nil
		}
	}
}

// watchOnce hands on one stream's changes until it ends.
func watchOnce(ctx context.Context, r pb.RegistryClient, take func(resp *pb.WatchConnectionsResponse, first bool) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.WatchConnections(ctx, &pb.WatchConnectionsRequest{})
	for first := true; err == nil; first = false {
		var resp *pb.WatchConnectionsResponse
		if resp, err = stream.Recv(); err == nil {
			err = take(resp, first)
		}
	}
	if errors.Is(err, io.EOF) {
		err = status.Error(codes.Unavailable, "the registry has ended the stream")
	}
	return err
}

// connectionLog prints what has changed in the p2pConnection table.
type connectionLog struct {
	w     io.Writer
	json  bool
	known map[string]string // the last line of each id
}

// take prints one response. The first of a stream has the whole table: what is not
// in it has gone.
func (l *connectionLog) take(resp *pb.WatchConnectionsResponse, first bool, now time.Time) error {
	if l.json {
		return printJSON(l.w, resp)
	}
	gone := resp.Removed
	if first {
		there := map[string]bool{}
		for _, c := range resp.Connections {
			there[c.Id] = true
		}
		for _, id := range slices.Sorted(maps.Keys(l.known)) {
			if !there[id] {
				gone = append(gone, id)
			}
		}
	}
	for _, c := range resp.Connections {
		if err := l.line(c.Id, connectionLine(c), now); err != nil {
			return err
		}
	}
	for _, id := range gone {
		if err := l.line(id, "removed", now); err != nil {
			return err
		}
		delete(l.known, id)
	}
	return nil
}

func (l *connectionLog) line(id, text string, now time.Time) error {
	if l.known[id] == text {
		return nil
	}
	l.known[id] = text
	_, err := fmt.Fprintf(l.w, "%s  %s  %s\n", now.Format("15:04:05.000"), printable(id), printable(text))
	return err
}

// connectionLine is what of a connection is news when it changes.
func connectionLine(c *pb.Connection) string {
	return fmt.Sprintf("%s  %s  %s  by %s  %s", c.RemoteRuntimeUrl, enumName(c.Role.String(), "CONNECTION_ROLE_"),
		enumName(c.State.String(), "CONNECTION_STATE_"), enumName(c.Path.String(), "PATH_"), pathReason(c))
}
