package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

// securedBuses are two replicas of a bus whose certificates are for a host name, and for
// no address. serverName is what they say that is.
type securedBuses struct {
	processes [2]*local.Process
	calls     [2]pb.MessageBusClient
}

const certificateHost = "bus.peerbus.example"

func startSecuredBuses(t *testing.T, serverName string) *securedBuses {
	t.Helper()
	authority := testcert.New(t, "authority")
	cert, key := authority.IssueHost(t, certificateHost)
	security := rpc.Security{CertFile: cert, KeyFile: key, CAFile: authority.File}
	s, nats := newSecureSystem(t, security), startNATS(t)
	addrs, err := local.FreeAddrs(3)
	if err != nil {
		t.Fatal(err)
	}
	b := &securedBuses{}
	for i, addr := range addrs[:2] {
		b.processes[i], err = s.Start("bus "+addr, "bus", "--runtime-url", "hyperty-runtime://a.example/r", "--bus-addr", addr,
			"--registry-addr", addrs[2], "--nats-url", nats, "--replica-server-name", serverName)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := rpc.Dial(addr, security, grpc.WithAuthority(certificateHost))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		b.calls[i] = pb.NewMessageBusClient(conn)
	}
	return b
}

// listen listens at the second replica; post posts at the first one.
func (b *securedBuses) listen(t *testing.T, address string) pb.MessageBus_ListenClient {
	t.Helper()
	stream, err := b.calls[1].Listen(testContext(t), &pb.ListenRequest{Addresses: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	return stream
}

func (b *securedBuses) post(t *testing.T, to string) error {
	t.Helper()
	_, err := b.calls[0].Post(testContext(t), &pb.PostRequest{Message: &pb.Message{Type: "ping", To: to}, Wait: pb.Wait_WAIT_DELIVERED})
	return err
}

// Replicas of the bus check one another's certificate for the name that the other one
// says that it has in it.
func TestReplicasOfTheBusWithMutualTLS(t *testing.T) {
	const carol = "hyperty://a.example/carol"
	t.Run("right name", func(t *testing.T) {
		b := startSecuredBuses(t, certificateHost)
		for _, p := range b.processes {
			logs(t, p, "linked to another replica")
		}
		stream := b.listen(t, carol)
		if err := b.post(t, carol); err != nil {
			t.Error(err)
		}
		if got, err := stream.Recv(); err != nil || got.GetDeliveries()[0].GetMessage().GetTo() != carol {
			t.Errorf("%v came, %v", got, err)
		}
	})
	t.Run("wrong name", func(t *testing.T) {
		b := startSecuredBuses(t, "other.peerbus.example")
		for _, p := range b.processes {
			logs(t, p, "another replica cannot be linked to")
			if !strings.Contains(p.Tail(), "certificate") {
				t.Errorf("it is not said why: %s", p.Tail())
			}
		}
		b.listen(t, carol)
		if err := b.post(t, carol); fault.CodeOf(err) != fault.NotFound && fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("a message goes between replicas that do not trust one another: %v", err)
		}
	})
}

// logs waits until a process has something in its log.
func logs(t *testing.T, p *local.Process, what string) {
	t.Helper()
	for ctx := testContext(t); !strings.Contains(p.Tail(), what); {
		if !pause(ctx) {
			t.Fatalf("it does not say that %s: %s", what, p.Tail())
		}
	}
}
