package nodestub

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

func insecureCredentials() credentials.TransportCredentials { return insecure.NewCredentials() }

func neverConnects(ctx context.Context, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestService(t *testing.T) {
	w := newWorld(t, "grpc", Limits{})
	lis := serveMemory(t, func(r grpc.ServiceRegistrar) { w.stub.Register(r) })
	cc, err := lis.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	c, ctx := pb.NewNodeStubClient(cc), within(t)
	watch, err := c.Watch(ctx, &pb.NodeStubWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil || !first.Snapshot || len(first.Sessions) != 0 {
		t.Fatalf("it begins with %v, %v", first, err)
	}
	if _, err := c.Deploy(ctx, &pb.NodeStubDeployRequest{Domain: "b.example", StubUrl: stubURL}); err != nil {
		t.Fatal(err)
	}
	for {
		change, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if s := change.Sessions[0]; s.State == "live" {
			if s.Domain != "b.example" || s.StubUrl != stubURL || s.Endpoint != "grpc://node" {
				t.Errorf("%v", s)
			}
			break
		}
	}
	if _, err := c.Deploy(ctx, &pb.NodeStubDeployRequest{}); fault.CodeOf(err) != fault.BadRequest {
		t.Errorf("Deploy of nothing: %v", err)
	}
	if _, err := c.Close(ctx, &pb.NodeStubCloseRequest{StubUrl: stubURL}); err != nil {
		t.Error(err)
	}
	w.stop()
	for err == nil {
		_, err = watch.Recv()
	}
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("the watch ended with %v", err)
	}
}

func TestKindTellsSignallingFromMessages(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{alice, bob, kindMessage},
		{runtimeURL + "/bus", bob, kindMessage},
		{"publisher", bob, kindMessage},
		{alice, "comm://b.example/1/subscription", kindMessage},
		{runtimeURL + "/registry", "domain://registry.b.example", kindService},
		{"domain://msg-node.b.example/sm", runtimeURL + "/ua", kindService},
		{runtimeURL, "mn:/session", kindService},
		{"connection://a.example/1/subscription", "hyperty-runtime://b.example/r/p2phandler/1", kindService},
		{runtimeURL + "/sm", "connection://b.example/1/subscription", kindService},
		{runtimeURL + "/p2prequester/1", runtimeURL + "/ua", kindService},
		{"", "", kindMessage},
	} {
		if got := kindOf(&pb.Message{From: c.from, To: c.to}); got != c.want {
			t.Errorf("%s to %s is a %s", c.from, c.to, got)
		}
	}
}
