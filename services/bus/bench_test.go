package bus

import (
	"context"
	"fmt"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// BenchmarkLocal sends messages with a body of 64 bytes from one application to
// another.
func BenchmarkLocal(b *testing.B) {
	h := newHouse(b, Limits{})
	done := make(chan struct{})
	n := 0
	_, err := h.app().Listen(h.ctx, carol, func(context.Context, *pb.Message) {
		if n++; n == b.N {
			close(done)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	a := h.app()
	body := fmt.Appendf(nil, `{"value":%q}`, make([]byte, 0, 64))
	for len(body) < 64 {
		body = append(body[:len(body)-1], ' ', '}')
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		m := numbered(alice, carol, i)
		m.Body = body
		if err := a.Send(h.ctx, m); err != nil {
			b.Fatal(err)
		}
	}
	<-done
}

// BenchmarkRequest is one request and its response at a time.
func BenchmarkRequest(b *testing.B) {
	h := newHouse(b, Limits{})
	h.echo(h.app(), carol)
	a := h.app()
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if _, err := a.Request(h.ctx, ping(alice, carol)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoute is the way of a post through the bus alone, over a known route.
func BenchmarkRoute(b *testing.B) {
	bus, err := New(Config{RuntimeURL: runtimeURL, Registry: noRegistry{}, Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	s := newStream(bus, "stub", pb.Component_COMPONENT_NODE_STUB)
	s.unlimited = true
	if err := bus.addListener(s, &pb.ListenerChange{Address: nodeURL}); err != nil {
		b.Fatal(err)
	}
	bus.table.learn(bob, &pb.Route{To: bob, Next: nodeURL}, false)
	by := newStream(bus, "registry", pb.Component_COMPONENT_REGISTRY)
	m := numbered(alice, bob, 1)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		bus.post(newPost(by, m))
		if i%64 == 63 {
			s.take()
		}
	}
}
