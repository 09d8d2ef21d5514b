// Command go is a thermometer: a service in Go that answers whoever asks it, from
// whichever runtime, and that asks another one when it is given an address.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/peerbus/peerbus/client"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

func main() {
	addr := flag.String("bus", "127.0.0.1:7402", "`HOST:PORT` of the bus")
	own := flag.String("listen", "", "`ADDRESS` to answer at, which is registered")
	other := flag.String("ask", "", "`ADDRESS` to ask")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *own, *other); err != nil {
		log.Fatal(err)
	}
}

// attachTime is how long the bus may take to answer at first.
const attachTime = 10 * time.Second

func run(ctx context.Context, addr, own, other string) error {
	conn, err := client.Dial(addr, nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	bus, err := client.New(client.Config{Conn: conn, Name: "thermometer"})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	attached := make(chan error, 1)
	go func() { attached <- bus.Run(ctx) }() // comes back whenever the bus was away
	defer func() { cancel(); <-attached }()
	if err := ready(ctx, bus); err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	switch {
	case own != "":
		return serve(ctx, bus, own)
	case other != "":
		return ask(ctx, bus, other)
	default:
		return errors.New("-listen or -ask is missing")
	}
}

// ready waits until the bus has answered.
func ready(ctx context.Context, bus *client.Bus) error {
	ctx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	_, err := bus.Ready(ctx)
	return err
}

// serve answers until ctx ends.
func serve(ctx context.Context, bus *client.Bus, own string) error {
	_, err := bus.Listen(ctx, own, func(ctx context.Context, m *peerbusv1.Message) {
		fmt.Println(m.Type, "from", m.From)
		if err := bus.Post(ctx, message.Answer(m, 200, map[string]any{"value": 21.5})); err != nil {
			log.Print(err)
		}
	})
	if err != nil {
		return err
	}
	fmt.Println("listening to", own)
	<-ctx.Done()
	return nil
}

// ask asks once.
func ask(ctx context.Context, bus *client.Bus, other string) error {
	answer, err := bus.Request(ctx, &peerbusv1.Message{Type: message.Read, To: other})
	if err != nil {
		return err // it could not be asked
	}
	if _, err := message.Result(answer); err != nil {
		return err // it was asked, and refused
	}
	fmt.Println(string(answer.Body))
	return nil
}
