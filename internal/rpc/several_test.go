package rpc_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

// Of several addresses the first that answers is used, and another one when it is gone.
func TestDialOneOfSeveral(t *testing.T) {
	ca := testcert.New(t, "ours")
	cert, key := ca.Issue(t, "server")
	s := rpc.Security{CertFile: cert, KeyFile: key, CAFile: ca.File}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	srv, err := rpc.NewServer(s, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	first, err := rpc.Listen("127.0.0.1:0", s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(ctx, srv, first) }()
	if err := check(t, nobody.Addr().String()+", "+first.Addr().String(), s); err != nil {
		t.Errorf("the second answers: %v", err)
	}
	second := serve(t, s, nil)
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := check(t, first.Addr().String()+","+second, s); err != nil {
		t.Errorf("when the first is gone: %v", err)
	}
	if err := check(t, nobody.Addr().String()+","+first.Addr().String(), s); err == nil {
		t.Error("nobody is there, and it is answered")
	}
}
