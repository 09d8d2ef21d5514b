package client_test

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/peerbus/peerbus/client"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// A thermostat registers an address, answers those who ask it, and asks someone
// itself.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	conn, err := grpc.NewClient("127.0.0.1:7402", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	control, err := grpc.NewClient("127.0.0.1:7401", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}

	// The Message Node allocates an address; others can look it up.
	registered, err := peerbusv1.NewRegistryClient(control).Register(ctx, &peerbusv1.RegisterRequest{
		Registration: &peerbusv1.Registration{Kind: peerbusv1.RegistrationKind_REGISTRATION_KIND_HYPERTY},
	})
	if err != nil {
		log.Fatal(err)
	}
	own := registered.Registration.Url

	bus, err := client.New(client.Config{Conn: conn, Name: "thermostat"})
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = bus.Run(ctx) }() // until stop

	_, err = bus.Listen(ctx, own, func(ctx context.Context, m *peerbusv1.Message) {
		if message.IsResponse(m) {
			return
		}
		if err := bus.Send(ctx, message.Answer(m, 200, map[string]any{"value": 21.5})); err != nil {
			log.Print(err)
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	answer, err := bus.Request(ctx, &peerbusv1.Message{
		Type: message.Read, From: own, To: "hyperty://example.org/bob-1",
	})
	if err != nil {
		log.Fatal(err) // it could not be asked
	}
	if _, err := message.Result(answer); err != nil {
		log.Print(err) // it was asked, and refused
		return
	}
	fmt.Println(string(answer.Body))
}
