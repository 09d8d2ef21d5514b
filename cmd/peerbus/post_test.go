package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// oneBus is a bus that answers a post with what it is told to.
type oneBus struct {
	pb.UnimplementedMessageBusServer
	post func(context.Context, *pb.PostRequest) (*pb.PostResponse, error)
}

func (b oneBus) Post(ctx context.Context, req *pb.PostRequest) (*pb.PostResponse, error) {
	return b.post(ctx, req)
}

// A bus that is stopped, one that is killed with the post in hand, and the one
// after these: all get the same key.
func TestPostTriesAgainWithOneKey(t *testing.T) {
	var keys []string
	addr, running := "127.0.0.1:0", sync.WaitGroup{}
	var serve func(rest ...func(*grpc.Server, context.Context) error)
	serve = func(rest ...func(*grpc.Server, context.Context) error) {
		lis, err := net.Listen("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		addr = lis.Addr().String()
		srv := grpc.NewServer()
		pb.RegisterMessageBusServer(srv, oneBus{post: func(ctx context.Context, req *pb.PostRequest) (*pb.PostResponse, error) {
			keys = append(keys, req.IdempotencyKey)
			now := rest[0]
			rest = rest[1:]
			return &pb.PostResponse{}, now(srv, ctx)
		}})
		running.Go(func() {
			_ = srv.Serve(lis)
			if len(rest) > 0 {
				serve(rest...)
			}
		})
		t.Cleanup(srv.Stop)
	}
	serve(
		func(*grpc.Server, context.Context) error { return fault.New(fault.Unavailable, "the bus is stopping") },
		func(srv *grpc.Server, ctx context.Context) error {
			go srv.Stop()
			<-ctx.Done()
			return ctx.Err()
		},
		func(*grpc.Server, context.Context) error { return nil },
	)
	t.Cleanup(running.Wait)
	code, out, errs := command(t, nil, "post", "hyperty://b.example/1", "--bus-addr", addr, "--wait", "delivered", "--id", "7")
	if code != 0 || out != "delivered, id \"7\"\n" || !contains(errs, "the bus is stopping; trying again") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if len(keys) != 3 || keys[0] == "" || keys[1] != keys[0] || keys[2] != keys[0] {
		t.Errorf("keys are %q", keys)
	}
}

// A refusal is no reason to try again, and neither is the end of the time.
func TestPostTakesARefusal(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{fault.New(fault.NotFound, "no one has it"), "no one has it"},
		{fault.New(fault.Unavailable, "the bus is stopping"), "peerbus: the bus is stopping"}, // whatever the time ends: a wait, or a try
	} {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := grpc.NewServer()
		pb.RegisterMessageBusServer(srv, oneBus{post: func(context.Context, *pb.PostRequest) (*pb.PostResponse, error) { return nil, tc.err }})
		var running sync.WaitGroup
		running.Go(func() { _ = srv.Serve(lis) })
		code, _, errs := command(t, nil, "post", "hyperty://b.example/1", "--bus-addr", lis.Addr().String(), "--key", "k", "--timeout", "300ms")
		if code != exitFailed || !contains(errs, tc.want) {
			t.Errorf("exit %d, %q", code, errs)
		}
		srv.Stop()
		running.Wait()
	}
}

// Body and resource that are too large together are refused before they are sent: gRPC's own
// refusal would mean that the bus cannot take them now.
func TestPostOfTooMuch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(path, []byte(`{"value":"`+strings.Repeat("x", message.MaxSize*3/4)+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := command(t, nil, "post", "hyperty://b.example/1", "@"+path, "--resource", path, "--bus-addr", "127.0.0.1:1")
	if code != exitFailed || !contains(errs, "larger than") {
		t.Errorf("exit %d, %q", code, errs)
	}
}
