package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// greet answers hello, of a bus that takes sequels or not.
func (a *attachment) greet(t *testing.T, sequels bool) *pb.Hello {
	t.Helper()
	hello := a.next(t, func(r *pb.AttachRequest) bool { return r.Hello != nil }).Hello
	a.send(t, &pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: runtimeURL, Sequels: sequels}})
	return hello
}

// withSequels is describe, with the ids of sequels.
func withSequels(posts []*pb.Post) (out []string) {
	for i, text := range describe(posts) {
		for _, s := range posts[i].Sequels {
			text += " " + s.Id
		}
		out = append(out, text)
	}
	return out
}

// Sequels go to a bus that takes them alone, also where a client has kept posts for another one.
func TestSequelsAreForWhoTakesThem(t *testing.T) {
	b, fake := setup(t, client.Config{})
	sendAll(t, b, "a", "a", "a", "b", "a", "a")
	rows, whole := []string{"1 a 1 1", "4 b", "5 a 1"}, []string{"1 a", "2 a", "3 a", "4 b", "5 a", "6 a"}
	a := <-fake.attached
	a.greet(t, false)
	if got := withSequels(a.posts(t, 6)); !slices.Equal(got, whole) {
		t.Errorf("posted %q, want %q", got, whole)
	}
	a.settle(t, &pb.Range{First: 1, Last: 4})
	a.cut <- errors.New("killed")
	a = <-fake.attached
	sendAll(t, b, "a", "a")
	a.greet(t, true)
	again := []string{"5 a again", "6 a again", "7 a 1"}
	if got := withSequels(a.posts(t, 3)); !slices.Equal(got, again) {
		t.Errorf("posted %q, want %q", got, again)
	}

	b, fake = setup(t, client.Config{})
	sendAll(t, b, "a", "a", "a", "b", "a", "a")
	a = <-fake.attached
	a.greet(t, true)
	if got := withSequels(a.posts(t, 3)); !slices.Equal(got, rows) {
		t.Errorf("posted %q, want %q", got, rows)
	}
}

// Whoever passes messages on takes sequels in a flow alone, which it posts in their bytes; to a
// Message Node each is a message by itself.
func TestSequelsOfAStub(t *testing.T) {
	for component, want := range map[pb.Component][2]bool{
		pb.Component_COMPONENT_APPLICATION: {true, false}, pb.Component_COMPONENT_REGISTRY: {true, false},
		pb.Component_COMPONENT_P2P_STUB: {false, true}, pb.Component_COMPONENT_NODE_STUB: {false, false},
	} {
		_, fake := setup(t, client.Config{Component: component})
		if hello := (<-fake.attached).greet(t, true); hello.Sequels != want[0] || hello.FlowSequels != want[1] {
			t.Errorf("%s takes sequels: %t, in a flow: %t", component, hello.Sequels, hello.FlowSequels)
		}
	}
}

// What a stub's listener gets as a row it may handle as messages, and credit is given for all of it.
func TestARowForAStub(t *testing.T) {
	row := &pb.Delivery{Listener: "x", Message: &pb.Message{
		Id: "1", Type: "t", From: "f", To: "x", Origin: []byte("o"), Number: 1, Flow: &pb.Flow{Runtime: "r", Epoch: 1, Id: 1, Sequence: 5, Base: 1},
	}}
	size := proto.Size(row.Message)
	for n := range uint64(100) {
		m := proto.CloneOf(row.Message)
		m.Id, m.Number, m.Flow.Sequence = fmt.Sprint(n+2), n+2, n+6
		size += proto.Size(m)
		row.Sequels = append(row.Sequels, &pb.Message{Id: m.Id})
	}
	for _, name := range []string{"x", "*"} {
		b, fake := setup(t, client.Config{Component: pb.Component_COMPONENT_P2P_STUB})
		done, got := make(chan struct{}), []string{}
		handle := func(m *pb.Message) { got = append(got, fmt.Sprint(m.Id, " ", m.Number, " ", m.Flow.Sequence)) }
		go func() {
			a := <-fake.attached
			a.greet(t, true)
			change := a.next(t, func(r *pb.AttachRequest) bool { return len(r.Listeners) > 0 }).Listeners[0]
			a.send(t, &pb.AttachResponse{Outcomes: []*pb.Outcome{{Sequence: change.Sequence, Code: 200}}})
			a.send(t, &pb.AttachResponse{Deliveries: []*pb.Delivery{row}})
			for credit := 0; credit < size; {
				for _, c := range a.next(t, func(r *pb.AttachRequest) bool { return len(r.Credits) > 0 }).Credits {
					credit += int(c.Bytes)
				}
			}
			close(done)
		}()
		var err error
		if name == "x" {
			_, err = b.Listen(t.Context(), name, func(_ context.Context, m *pb.Message) { handle(m) })
		} else {
			_, err = b.ListenAll(t.Context(), func(_ context.Context, _ string, m *pb.Message) { handle(m) })
		}
		if err != nil {
			t.Fatal(err)
		}
		<-done
		if len(got) != 101 || got[100] != "101 101 105" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Each message of a row is handled, once, and credit is given for all of it as for whole ones.
func TestARowIsDelivered(t *testing.T) {
	for _, opts := range [][]client.ListenOption{nil, {client.Borrowed()}} {
		b, fake := setup(t, client.Config{})
		var got []*pb.Message
		done := make(chan struct{})
		go func() {
			a := <-fake.attached
			a.welcome(t, 1)
			row := &pb.Delivery{Listener: "x", Message: &pb.Message{Id: "1", Type: "t", From: "f", To: "x", Origin: []byte("o"), Number: 1}}
			size := 0
			for n := range uint64(100) {
				id := fmt.Sprint(n + 2)
				row.Sequels = append(row.Sequels, &pb.Message{Id: id, Body: []byte(`{}`)})
				size += proto.Size(&pb.Message{Id: id, Type: "t", From: "f", To: "x", Body: []byte(`{}`), Origin: []byte("o"), Number: n + 2})
			}
			size += proto.Size(row.Message)
			for range 2 { // the second time it has been taken before
				a.send(t, &pb.AttachResponse{Deliveries: []*pb.Delivery{row}})
			}
			for credit := 0; credit < 2*size; {
				for _, c := range a.next(t, func(r *pb.AttachRequest) bool { return len(r.Credits) > 0 }).Credits {
					credit += int(c.Bytes)
				}
			}
			close(done)
		}()
		_, err := b.Listen(t.Context(), "x", func(_ context.Context, m *pb.Message) { got = append(got, proto.CloneOf(m)) }, opts...)
		if err != nil {
			t.Fatal(err)
		}
		<-done
		if len(got) != 101 {
			t.Fatalf("%d messages", len(got))
		}
		for n, m := range got {
			want := &pb.Message{Id: fmt.Sprint(n + 1), Type: "t", From: "f", To: "x", Origin: []byte("o"), Number: uint64(n) + 1} // small
			if n > 0 {
				want.Body = []byte(`{}`)
			}
			if !proto.Equal(m, want) {
				t.Errorf("got %v, want %v", m, want)
			}
		}
	}
}
