package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/peerbus/peerbus/client"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// A thermostat registers an address, answers those who ask it, and asks someone
// itself.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	conn, err := client.Dial("127.0.0.1:7402", nil)
	if err != nil {
		log.Fatal(err)
	}
	control, err := client.Dial("127.0.0.1:7401", nil)
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

// What a refusal says.
func ExampleError() {
	conn, err := client.Dial("127.0.0.1:7402", nil)
	if err != nil {
		log.Fatal(err)
	}
	bus, err := client.New(client.Config{Conn: conn, Name: "example"})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	go func() { _ = bus.Run(ctx) }()

	err = bus.Post(ctx, &peerbusv1.Message{Type: message.Create, To: "hyperty://example.org/bob-1"}, client.Delivered())
	var refused *client.Error
	switch {
	case err == nil:
		fmt.Println("Bob has dealt with it")
	case errors.As(err, &refused) && refused.Code == 404:
		fmt.Println("nobody has that address")
	default:
		log.Print(err)
	}
}
