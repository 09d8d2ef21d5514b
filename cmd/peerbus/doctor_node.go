package main

import (
	"context"
	"net/url"
	"strings"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// parseEndpoint takes the endpoint of a session apart: its URL, and the address that is
// connected to where its name has several (`grpc://HOST:PORT at ADDRESS:PORT`) or is that of
// a unix socket.
func parseEndpoint(endpoint string) (u *url.URL, at string, err error) {
	if path, err := rpc.UnixPath(endpoint); err != nil || path != "" {
		return &url.URL{Scheme: "unix", Host: "localhost", Path: path}, endpoint, err
	}
	name, at, _ := strings.Cut(endpoint, " at ")
	u, err = url.Parse(name)
	if err == nil && u.Host == "" {
		err = fault.New(fault.BadRequest, "%q is no endpoint", endpoint)
	}
	if err == nil && at == "" {
		at = hostPort(u)
	}
	return u, at, err
}

// Why a Message Node that can be asked by gRPC is not ready: it says no more there.
var errNotServing = fault.New(fault.Unavailable, "no session can be opened there now")

// nodeReady asks the Message Node of the session whether sessions can be opened there: by
// gRPC, and by HTTP for the reason, or where gRPC does not tell. base is where a Message
// Node answers HTTP; empty when none does.
func (s *runtimeThere) nodeReady(ctx context.Context, base string) finding {
	endpoint := sessionOf(s.runtime).GetEndpoint()
	ready, unknown := s.askNode(ctx, endpoint)
	switch {
	case unknown == nil && ready:
		return judgeNodeReady(endpoint, nil)
	case base != "":
		_, _, err := s.get(ctx, base+"/readyz")
		if unknown != nil || err != nil {
			return judgeNodeReady(base+"/readyz", err)
		}
	case unknown != nil:
		return finding{"node-ready", isSkip, "the Message Node cannot be asked whether sessions can be opened: " + explain(unknown), "give --node-http"}
	}
	return judgeNodeReady(endpoint, errNotServing)
}

// askNode asks for the health of the service that has the session. The error tells that it
// is not known: there is no session by gRPC, nobody answers, or not that.
func (s *runtimeThere) askNode(ctx context.Context, endpoint string) (ready bool, err error) {
	if endpoint == "" {
		return false, fault.New(fault.Unavailable, "there is no session")
	}
	u, at, err := parseEndpoint(endpoint)
	if err != nil {
		return false, err
	}
	if u.Scheme != "grpc" && u.Scheme != "unix" {
		return false, fault.New(fault.Unavailable, "the session is not by gRPC")
	}
	conn, err := rpc.Dial(at, s.security, grpc.WithAuthority(u.Host))
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: nodeService}, grpc.WaitForReady(false))
	return resp.GetStatus() == healthpb.HealthCheckResponse_SERVING, err
}
