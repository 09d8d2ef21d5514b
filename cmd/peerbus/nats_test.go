package main

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/peerbus/peerbus/internal/engine"
)

// startNATS runs a NATS server with JetStream on loopback, which outlives the processes
// of the test.
func startNATS(t *testing.T) (url string) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		MaxPayload: engine.MaxPayload,
	})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("NATS does not start")
	}
	return s.ClientURL()
}
