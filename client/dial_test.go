package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"testing"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
	"github.com/peerbus/peerbus/protocol/message"
)

// largeBus answers with as large a message as there is.
type largeBus struct {
	pb.UnimplementedMessageBusServer
}

func (largeBus) Post(context.Context, *pb.PostRequest) (*pb.PostResponse, error) {
	return &pb.PostResponse{Response: &pb.Message{Body: make([]byte, message.MaxSize-16)}}, nil
}

func TestDialTakesTheLargestMessage(t *testing.T) {
	ca := testcert.New(t, "ours")
	cert, key := ca.Issue(t, "server")
	pem, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for name, tc := range map[string]struct {
		security rpc.Security
		config   *tls.Config
	}{
		"plain": {rpc.Security{}, nil},
		"TLS":   {rpc.Security{CertFile: cert, KeyFile: key}, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}},
	} {
		t.Run(name, func(t *testing.T) {
			srv, err := rpc.NewServer(tc.security, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			pb.RegisterMessageBusServer(srv, largeBus{})
			lis, err := rpc.Listen("127.0.0.1:0", tc.security)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			over := make(chan error, 1)
			go func() { over <- rpc.Serve(ctx, srv, lis) }()
			conn, err := client.Dial(lis.Addr().String(), tc.config)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := pb.NewMessageBusClient(conn).Post(t.Context(), &pb.PostRequest{})
			if err != nil || len(resp.Response.Body) != message.MaxSize-16 {
				t.Error(err)
			}
			_ = conn.Close()
			stop()
			if err := <-over; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDialNamesAWrongAddress(t *testing.T) {
	if _, err := client.Dial("dns:///%zz", nil); fault.CodeOf(err) != fault.BadRequest {
		t.Error(err)
	}
}
