package bus

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
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

// BenchmarkPassed is the way of plain posts through the bus alone, from the frames of their sender
// to those of the listener, and until they are settled. In a frame there are as many as a client
// has there.
func BenchmarkPassed(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkPassed(b, size) })
	}
}

func benchmarkPassed(b *testing.B, size int) {
	a := newAlone(b, Limits{})
	defer a.finish()
	a.approve(alice)
	by, to := newStream(a.bus, "sender", pb.Component_COMPONENT_APPLICATION), newStream(a.bus, "listener", pb.Component_COMPONENT_APPLICATION)
	to.sequels, to.frame.Leaves, by.frame.Leaves = true, &to.leaves, &by.leaves
	if err := a.bus.origins.attach(by, []byte("an origin of 16 B")); err != nil {
		b.Fatal(err)
	}
	if err := a.bus.addListener(to, &pb.ListenerChange{Address: carol}); err != nil {
		b.Fatal(err)
	}
	posts := postsOf(b, size)
	req := &codec.Request{Room: 64}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += posts.n {
		data := posts.frame(uint64(n) + 1) // not negative
		if err := (codec.GRPC{}).Unmarshal(data, req); err != nil {
			b.Fatal(err)
		}
		data.Free()
		by.takeRequest(req)
		req.Clear()
		sendAll(b, to)
		credit(to, carol)
		sendAll(b, by)
	}
}

// sendAll makes the frames of all that a stream has to send, and has them sent.
func sendAll(b *testing.B, s *stream) {
	for f, _ := s.take(); f != nil; f, _ = s.take() {
		parts, err := codec.GRPC{}.Marshal(f)
		if err != nil {
			b.Fatal(err)
		}
		parts.Free()
	}
}

// postsFrame is a frame of a client with n posts, which are alike.
type postsFrame struct {
	n       int
	content []byte // of one
	sequel  []byte // of another one; nil of long ones
}

func postsOf(b *testing.B, size int) (f postsFrame) {
	m := numbered(alice, carol, 0)
	m.Id, m.Body = message.StringID(strings.Repeat("i", 27)), []byte(`{"value":"`+strings.Repeat("x", size-12)+`"}`)
	var usual codec.Usual
	c := codec.Content{Message: m}
	c.Measure(&usual)
	var err error
	if f.content, err = c.Append(nil); err != nil {
		b.Fatal(err)
	}
	if c.Row() != 0 {
		f.sequel, err = c.AppendSequel(nil)
	}
	f.n = min(codec.FrameMessages, codec.FrameLimit(size)/size)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// frame makes one, as gRPC reads it, whose first post has a number.
func (f postsFrame) frame(number uint64) (data mem.BufferSlice) {
	rows, sequels := f.n, 0
	if f.sequel != nil {
		rows, sequels = 1, f.n-1
	}
	size := rows*(len(f.content)+codec.MaxHead) + sequels*len(f.sequel)
	memory := codec.Buffers.Get(size)
	b := (*memory)[:0]
	for i := range rows {
		b = append(codec.AppendHead(b, codec.Head{Number: number + uint64(i)}, len(f.content)+sequels*len(f.sequel)), f.content...) // not negative
	}
	for range sequels {
		b = append(b, f.sequel...)
	}
	*memory = b
	whole := mem.NewBuffer(memory, codec.Buffers)
	defer whole.Free()
	for at := 0; at < len(b); at += 16 << 10 {
		data = append(data, whole.Slice(at, min(len(b), at+16<<10)))
	}
	return data
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

// BenchmarkArrived is the way of a message of 64 bytes that comes in a flow, from the frame
// of a stub to that of the listener: alike to the one before, or of another sender each time.
func BenchmarkArrived(b *testing.B) {
	for _, senders := range []int{1, 8} {
		b.Run(fmt.Sprint(senders), func(b *testing.B) { benchmarkArrived(b, senders) })
	}
}

func benchmarkArrived(b *testing.B, senders int) {
	a := newAlone(b, Limits{})
	defer a.finish()
	stub, k := newStream(a.bus, "stub", pb.Component_COMPONENT_NODE_STUB), sourceKey{from: bob, node: true}
	a.bus.sources.answered(&question{key: k, line: k}, &pb.SourceAnswer{Code: 200})
	l := newStream(a.bus, "listener", pb.Component_COMPONENT_APPLICATION)
	if err := a.bus.addListener(l, &pb.ListenerChange{Address: carol}); err != nil {
		b.Fatal(err)
	}
	var req codec.Request
	sequence := uint64(0)
	b.ReportAllocs()
	for i := 0; i < b.N; i += 64 {
		b.StopTimer()
		frame := flowFrame(b, &sequence, senders)
		b.StartTimer()
		if err := (codec.GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(frame)}, &req); err != nil {
			b.Fatal(err)
		}
		stub.takeRequest(&req)
		for f, _ := l.take(); f != nil; f, _ = l.take() {
			parts, err := codec.GRPC{}.Marshal(f)
			if err != nil {
				b.Fatal(err)
			}
			parts.Free()
		}
		credit(l, carol)
	}
}

// flowFrame makes the next 64 messages of a flow, as a nodestub posts them.
func flowFrame(b *testing.B, sequence *uint64, senders int) (frame []byte) {
	for range 64 {
		*sequence++
		n := *sequence
		m := numbered(bob, carol, int(n)) // small
		m.Body, m.Origin, m.Number = fmt.Appendf(nil, `{"value":%50d}`, n), fmt.Append(nil, "origin ", n%uint64(senders)), n
		m.Flow = &pb.Flow{Runtime: remote, Epoch: 1, Id: 7, Sequence: n, Base: 1}
		encoded, err := proto.Marshal(m)
		if err != nil {
			b.Fatal(err)
		}
		c := codec.NewCarried(codec.Whole(m, encoded), nodeURL, &pb.Ingress{})
		if frame, err = c.Append(codec.AppendHead(frame, codec.Head{}, c.Size())); err != nil {
			b.Fatal(err)
		}
	}
	return frame
}
