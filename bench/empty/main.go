// Command empty is what an idle runtime is compared with: an empty gRPC server and an
// embedded NATS server with JetStream. It is a program of its own, as what else is linked
// into one adds to its memory and its start. The program bench builds and runs it.
package main

import (
	"fmt"
	"os"

	"github.com/peerbus/peerbus/bench/internal/server"
	"github.com/peerbus/peerbus/bench/internal/worker"
)

func main() {
	roles := map[string]worker.Role{server.EmptyRole: worker.As(server.NewEmpty)}
	if err := worker.Work(roles, os.Args[1:]); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "empty: %v\n", err)
		os.Exit(1)
	}
}
