package client_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/rpc"
)

// namedBus answers with its name.
type namedBus struct {
	pb.UnimplementedMessageBusServer
	name string
}

func (b namedBus) Post(context.Context, *pb.PostRequest) (*pb.PostResponse, error) {
	return &pb.PostResponse{Response: &pb.Message{From: b.name}}, nil
}

// Of several buses, calls go to those that serve: not to one that says that it leaves,
// nor to one that is not there.
func TestDialSeveralBuses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	servers, addrs := map[string]*rpc.Server{}, []string{"127.0.0.1:1"}
	for _, name := range []string{"one", "two", "three"} {
		srv, err := rpc.NewServer(rpc.Security{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		pb.RegisterMessageBusServer(srv, namedBus{name: name})
		lis, err := rpc.Listen("127.0.0.1:0", rpc.Security{})
		if err != nil {
			t.Fatal(err)
		}
		life, end := context.WithCancel(context.Background())
		over := make(chan error, 1)
		go func() { over <- rpc.Serve(life, srv, lis) }()
		t.Cleanup(func() {
			end()
			if err := <-over; err != nil {
				t.Error(err)
			}
		})
		servers[name] = srv
		addrs = append(addrs, lis.Addr().String())
	}
	conn, err := client.Dial(strings.Join(addrs, ","), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	calls := pb.NewMessageBusClient(conn)
	// untilAnswered waits until just these answer, some calls in a row.
	untilAnswered := func(want ...string) {
		t.Helper()
		for {
			got := map[string]bool{}
			for range 12 {
				resp, err := calls.Post(ctx, &pb.PostRequest{})
				if ctx.Err() != nil {
					t.Fatalf("waiting for answers of %v: %v", want, err)
				}
				got[resp.GetResponse().GetFrom()] = true // none when the connection has just broken
			}
			all := len(got) == len(want)
			for _, name := range want {
				all = all && got[name]
			}
			if all {
				return
			}
		}
	}
	untilAnswered("one", "two", "three")
	servers["two"].Leave()
	untilAnswered("one", "three")
	servers["three"].Stop()
	untilAnswered("one")
}
