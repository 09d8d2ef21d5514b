package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestMain(m *testing.M) {
	codec.Buffers = spoiled{codec.Buffers}
	goleak.VerifyTestMain(m)
}

var spoil = bytes.Repeat([]byte{0xff}, 64<<10)

// spoiled overwrites what is given back, so that who reads it still is found out.
type spoiled struct{ mem.BufferPool }

func (s spoiled) Put(b *[]byte) {
	all := (*b)[:cap(*b)]
	for len(all) > 0 {
		all = all[copy(all, spoil):]
	}
	s.BufferPool.Put(b)
}

const runtimeURL = "hyperty-runtime://a.example/r"

// fakeBus is a bus of which the test is the router. Each attachment is handed
// to the test, which reads requests and writes responses.
type fakeBus struct {
	pb.UnimplementedMessageBusServer
	attached chan *attachment
}

type attachment struct {
	stream grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]
	in     chan *pb.AttachRequest
	cut    chan error
	ended  chan struct{} // closed when the client has ended it
	end    error         // how; io.EOF in order
}

func (f *fakeBus) Attach(s grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]) error {
	a := &attachment{stream: s, in: make(chan *pb.AttachRequest), cut: make(chan error, 1), ended: make(chan struct{})}
	select {
	case f.attached <- a:
	case <-s.Context().Done():
		return nil
	}
	over := make(chan error, 1)
	go func() {
		defer close(a.in)
		for {
			req, err := s.Recv()
			if err != nil {
				over <- err
				return
			}
			select {
			case a.in <- req:
			case <-s.Context().Done():
				over <- s.Context().Err()
				return
			}
		}
	}()
	select {
	case err := <-a.cut:
		return err
	case err := <-over:
		a.end = err
		close(a.ended)
		return nil
	}
}

// next reads until a frame has what want looks for.
func (a *attachment) next(t *testing.T, want func(*pb.AttachRequest) bool) *pb.AttachRequest {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		select {
		case req, ok := <-a.in:
			if !ok {
				t.Fatal("the stream ended")
			}
			if want(req) {
				return req
			}
		case <-late:
			t.Fatal("nothing came")
		}
	}
}

func (a *attachment) send(t *testing.T, resp *pb.AttachResponse) {
	t.Helper()
	if err := a.stream.Send(resp); err != nil {
		t.Error(err)
	}
}

// take answers hello, whoever says it.
func (a *attachment) take(t *testing.T) *pb.Hello {
	t.Helper()
	hello := a.next(t, func(r *pb.AttachRequest) bool { return r.Hello != nil }).Hello
	a.send(t, &pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: runtimeURL}})
	return hello
}

// welcome answers hello and accepts the listeners that come with it.
func (a *attachment) welcome(t *testing.T, listeners int) []string {
	t.Helper()
	if hello := a.take(t); hello.Name != "test" || hello.Component != pb.Component_COMPONENT_APPLICATION {
		t.Errorf("hello is %v", hello)
	}
	var addresses []string
	for len(addresses) < listeners {
		req := a.next(t, func(r *pb.AttachRequest) bool { return len(r.Listeners) > 0 })
		if len(req.Posts) > 0 {
			t.Error("a post came before the listeners were back")
		}
		for _, l := range req.Listeners {
			addresses = append(addresses, l.Address)
			a.send(t, &pb.AttachResponse{Outcomes: []*pb.Outcome{{Sequence: l.Sequence, Code: 200}}})
		}
	}
	return addresses
}

// setup runs an attachment against a fake bus.
func setup(t *testing.T, cfg client.Config) (*client.Bus, *fakeBus) {
	t.Helper()
	fake, b, _ := begin(t, cfg)
	return b, fake
}

// begin is setup, and lets the test end Run; over is closed after that.
func begin(t *testing.T, cfg client.Config) (_ *fakeBus, _ *client.Bus, stop func() (over <-chan struct{})) {
	t.Helper()
	fake := &fakeBus{attached: make(chan *attachment)}
	m := rpc.NewMemory()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	srv, err := rpc.NewServer(rpc.Security{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	pb.RegisterMessageBusServer(srv, fake)
	conn, err := m.Dial()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Conn, cfg.Name, cfg.Log = conn, "test", quiet
	b, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(m) })
	over := make(chan struct{})
	wg.Go(func() {
		defer close(over)
		if err := b.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		srv.Stop()
		_ = conn.Close()
		wg.Wait()
	})
	return fake, b, func() <-chan struct{} {
		cancel()
		return over
	}
}

func msg(to string) *pb.Message {
	return &pb.Message{Id: "1", Type: "ping", From: runtimeURL + "/x", To: to}
}

func hasPost(r *pb.AttachRequest) bool { return len(r.Posts) > 0 }

func TestPostGivesTheOutcome(t *testing.T) {
	b, fake := setup(t, client.Config{})
	result := make(chan error)
	go func() { result <- b.Post(t.Context(), msg("nobody")) }()
	a := <-fake.attached
	a.welcome(t, 0)
	req := a.next(t, hasPost)
	a.send(t, &pb.AttachResponse{Outcomes: []*pb.Outcome{{Sequence: req.Posts[0].Sequence, Code: 404, Description: "no one has nobody"}}})
	if err := <-result; fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("Post: %v", err)
	}
}

func TestRequestGivesTheResponse(t *testing.T) {
	b, fake := setup(t, client.Config{})
	type answer struct {
		m   *pb.Message
		err error
	}
	result := make(chan answer)
	go func() {
		m, err := b.Request(t.Context(), msg("someone"))
		result <- answer{m, err}
	}()
	a := <-fake.attached
	a.welcome(t, 0)
	post := a.next(t, hasPost).Posts[0]
	if post.Wait != pb.Wait_WAIT_RESPONSE || post.Timeout.AsDuration() <= 0 {
		t.Errorf("posted %v", post)
	}
	refusal := message.Refuse(post.Message, fault.New(fault.Forbidden, "no"))
	a.send(t, &pb.AttachResponse{Outcomes: []*pb.Outcome{{Sequence: post.Sequence, Code: 200, Response: refusal}}})
	got := <-result
	if got.err != nil {
		t.Fatal(got.err)
	}
	if code, _ := message.Result(got.m); code != fault.Forbidden {
		t.Errorf("the response is %v", got.m)
	}
}

func TestListenersAreBackBeforeAnythingElse(t *testing.T) {
	b, fake := setup(t, client.Config{})
	ready := make(chan error)
	go func() {
		for _, address := range []string{"one", "two"} {
			if _, err := b.Listen(t.Context(), address, func(context.Context, *pb.Message) {}); err != nil {
				ready <- err
				return
			}
		}
		ready <- nil
	}()
	a := <-fake.attached
	// The first listener may come with the attachment or behind it.
	accept := make(chan struct{})
	go func() {
		defer close(accept)
		a.welcome(t, 2)
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	<-accept
	a.cut <- errors.New("restart")

	again := <-fake.attached
	posted := make(chan error)
	go func() { posted <- b.Send(t.Context(), msg("later")) }()
	if err := <-posted; err != nil {
		t.Fatal(err)
	}
	if got := again.welcome(t, 2); len(got) != 2 {
		t.Errorf("came back with %v", got)
	}
	if post := again.next(t, hasPost).Posts[0]; post.Message.To != "later" {
		t.Errorf("posted %v", post)
	}
}

func TestWhatIsUnderWayWhenTheStreamBreaksIsUnknownWithoutNumbers(t *testing.T) {
	b, fake := setup(t, client.Config{Component: pb.Component_COMPONENT_REGISTRY})
	result := make(chan error)
	go func() { result <- b.Post(t.Context(), msg("x")) }()
	a := <-fake.attached
	a.take(t)
	a.next(t, hasPost)
	a.cut <- errors.New("gone")
	if err := <-result; fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Post: %v", err)
	}
	(<-fake.attached).take(t)
}

func TestASlowHandlerHoldsUpNobodyElse(t *testing.T) {
	b, fake := setup(t, client.Config{})
	release, fast := make(chan struct{}), make(chan string, 4)
	listening := make(chan error)
	go func() {
		_, err := b.Listen(t.Context(), "slow", func(context.Context, *pb.Message) { <-release })
		if err == nil {
			_, err = b.Listen(t.Context(), "fast", func(_ context.Context, m *pb.Message) { fast <- m.Id })
		}
		listening <- err
	}()
	a := <-fake.attached
	go a.welcome(t, 2)
	if err := <-listening; err != nil {
		t.Fatal(err)
	}
	deliver := func(to, id string) {
		m := msg(to)
		m.Id = id
		a.send(t, &pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: to, Message: m}}})
	}
	deliver("slow", "1")
	deliver("slow", "2")
	deliver("fast", "3")
	deliver("fast", "4")
	if first, second := <-fast, <-fast; first != "3" || second != "4" {
		t.Errorf("fast got %s, %s", first, second)
	}
	close(release)
}

func TestCreditIsGivenBackWhenTheHandlerReturns(t *testing.T) {
	b, fake := setup(t, client.Config{})
	release := make(chan struct{})
	listening := make(chan error)
	go func() {
		_, err := b.Listen(t.Context(), "x", func(context.Context, *pb.Message) { <-release })
		listening <- err
	}()
	a := <-fake.attached
	go a.welcome(t, 1)
	if err := <-listening; err != nil {
		t.Fatal(err)
	}
	m := msg("x")
	m.Body = []byte(`{"value":"` + strings.Repeat("v", 40<<10) + `"}`)
	a.send(t, &pb.AttachResponse{Deliveries: []*pb.Delivery{{Listener: "x", Message: m}}})
	close(release)
	req := a.next(t, func(r *pb.AttachRequest) bool { return len(r.Credits) > 0 })
	if c := req.Credits[0]; c.Listener != "x" || c.Bytes < 40<<10 {
		t.Errorf("credit is %v", c)
	}
}

func TestAFullOutboxMakesSendersWait(t *testing.T) {
	b, _ := setup(t, client.Config{Limits: client.Limits{Outbox: 200}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var err error
	sent := 0
	for ; err == nil && sent < 1000; sent++ {
		err = b.Send(ctx, msg(fmt.Sprint("x", sent)))
	}
	if fault.CodeOf(err) != fault.Timeout || sent > 10 {
		t.Errorf("after %d: %v", sent, err)
	}
}

func TestNobodyThere(t *testing.T) {
	b, _ := setup(t, client.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := b.Post(ctx, msg("x")); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Post: %v", err)
	}
	if _, err := b.Ready(ctx); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Ready: %v", err)
	}
}

func TestOneListenerAnAddress(t *testing.T) {
	b, fake := setup(t, client.Config{})
	handler := func(context.Context, *pb.Message) {}
	if _, err := b.Listen(t.Context(), "led", handler, client.Led()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Listen(t.Context(), "led", handler, client.Led()); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("twice: %v", err)
	}
	if _, err := b.Listen(t.Context(), "x", nil); fault.CodeOf(err) != fault.BadRequest {
		t.Errorf("without a handler: %v", err)
	}
	if _, err := b.Listen(t.Context(), "x", handler, client.LeadsTo("y")); fault.CodeOf(err) != fault.BadRequest {
		t.Errorf("with both: %v", err)
	}
	(<-fake.attached).welcome(t, 0)
}

// A text that protobuf cannot encode would end the stream, and each one after it; it is
// refused, and what comes next is not kept from the bus.
func TestWhatIsNotUTF8IsRefused(t *testing.T) {
	b, fake := setup(t, client.Config{})
	const bad = "hyperty://a.example/\xff"
	if _, err := b.Listen(t.Context(), bad, func(context.Context, *pb.Message) {}); fault.CodeOf(err) != fault.BadRequest || fault.From(err).Field != "address" {
		t.Errorf("Listen: %v", err)
	}
	if err := b.Send(t.Context(), msg(bad)); fault.CodeOf(err) != fault.BadRequest || fault.From(err).Field != "to" {
		t.Errorf("Send: %v", err)
	}
	result := make(chan error)
	go func() { result <- b.Post(t.Context(), msg("b")) }()
	a := <-fake.attached
	a.welcome(t, 0)
	req := a.next(t, hasPost)
	a.send(t, &pb.AttachResponse{Outcomes: []*pb.Outcome{{Sequence: req.Posts[0].Sequence, Code: 200}}})
	if err := <-result; err != nil {
		t.Errorf("Post: %v", err)
	}
}
