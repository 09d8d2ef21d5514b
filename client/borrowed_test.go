package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// bodied are messages that are alike but for id, number and body, of which each is of so
// many bytes at least.
func bodied(from uint64, n, body int) (all []*pb.Message) {
	for number := range uint64(n) { // not negative
		m := numbered("x", from+number)
		m.Body = fmt.Appendf(nil, `{"n":%d,"x":"%s"}`, from+number, strings.Repeat("x", body))
		all = append(all, m)
	}
	return all
}

// frames are few messages, many short ones, some of a kilobyte, and one that is long.
func frames() [][]*pb.Message {
	return [][]*pb.Message{bodied(1, 3, 10), bodied(4, 40, 100), bodied(44, 12, 1<<10), bodied(56, 1, 20<<10), bodied(57, 1, 300<<10), bodied(58, 2, 10)}
}

// A handler may keep its messages, whatever becomes of their frames; what is lent is what
// was sent until it returns.
func TestMessagesAreKeptOrLent(t *testing.T) {
	for name, opts := range map[string][]client.ListenOption{"kept": nil, "borrowed": {client.Borrowed()}} {
		t.Run(name, func(t *testing.T) {
			b, fake := setup(t, client.Config{})
			var got, copies []*pb.Message
			a := listening(t, b, fake, "x", func(_ context.Context, m *pb.Message) {
				got, copies = append(got, m), append(copies, proto.CloneOf(m))
			}, append(opts, client.Window(1<<20))...)
			var want []*pb.Message
			for _, messages := range frames() {
				want = append(want, messages...)
				a.send(t, delivery("x", messages...))
				a.credited(t, sizeOf(messages...))
			}
			if name == "kept" {
				copies = got
			}
			if len(copies) != len(want) {
				t.Fatalf("%d messages came, want %d", len(copies), len(want))
			}
			for i := range want {
				if !proto.Equal(copies[i], want[i]) {
					t.Fatalf("message %d is %.200v", i, copies[i])
				}
			}
		})
	}
}

// Of messages that came together, those that were handled before are not handled again,
// and credit is given for all.
func TestManyThatComeAgain(t *testing.T) {
	b, fake := setup(t, client.Config{})
	handled := make(chan string, 64)
	a := listening(t, b, fake, "x", func(_ context.Context, m *pb.Message) { handled <- m.Id }, client.Borrowed())
	first, second := bodied(1, 20, 100), bodied(11, 20, 100)
	a.send(t, delivery("x", first...))
	a.credited(t, sizeOf(first...))
	a.cut <- errors.New("killed")
	next := <-fake.attached
	next.welcome(t, 1)
	next.send(t, delivery("x", second...))
	next.credited(t, sizeOf(second...))
	close(handled)
	n := 0
	for id := range handled {
		if n++; id != fmt.Sprint(n) {
			t.Fatalf("%s was handled as number %d", id, n)
		}
	}
	if n != 30 {
		t.Errorf("%d were handled", n)
	}
}

// What waits in the queue of a listener that is closed, or whose handler abandons, is
// handled no more, and frames of others go on.
func TestALotIsLeft(t *testing.T) {
	fake, b, stop := begin(t, client.Config{})
	handled := 0
	entered := make(chan struct{})
	a := listening(t, b, fake, "x", func(ctx context.Context, _ *pb.Message) {
		if handled++; handled == 5 {
			close(entered)
			<-ctx.Done()
			client.Abandon(ctx)
		}
	}, client.Borrowed())
	a.send(t, delivery("x", bodied(1, 20, 100)...))
	<-entered
	<-stop()
	if handled != 5 {
		t.Errorf("%d were handled", handled)
	}
}

// What has been dealt with is credited while the next message is handled, however long
// that takes.
func TestCreditDoesNotWaitForTheNextHandler(t *testing.T) {
	for name, options := range map[string][]client.ListenOption{"kept": nil, "borrowed": {client.Borrowed()}} {
		t.Run(name, func(t *testing.T) {
			b, fake := setup(t, client.Config{})
			release := make(chan struct{})
			a := listening(t, b, fake, "x", func(_ context.Context, m *pb.Message) {
				if m.Id == "4" || m.Id == "6" {
					<-release
				}
			}, options...)
			messages := bodied(1, 6, 100)
			a.send(t, delivery("x", messages[:5]...))
			a.credited(t, sizeOf(messages[:3]...))
			a.send(t, delivery("x", messages[5:]...))
			release <- struct{}{} // one comes alone behind the rest of those before
			a.credited(t, sizeOf(messages[3:5]...))
			close(release)
			a.credited(t, sizeOf(messages[5:]...))
		})
	}
}

// A handler that waits may say so, and each message gives its credit back once.
func TestCreditOfWhoWaits(t *testing.T) {
	b, fake := setup(t, client.Config{})
	waits, messages := make(chan struct{}), bodied(1, 3, 100)
	a := listening(t, b, fake, "x", func(ctx context.Context, m *pb.Message) {
		for range waits {
			client.Waiting(ctx)
		}
		for range 1000 { // there is not that much to give
			client.Waiting(ctx)
		}
	})
	a.send(t, delivery("x", messages...))
	for range 3 {
		waits <- struct{}{}
		a.credited(t, 1)
	}
	close(waits)
	a.credited(t, sizeOf(messages...)-3)
}
