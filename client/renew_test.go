package client

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// strict is a bus that takes listeners, and no aliases.
type strict struct {
	pb.UnimplementedMessageBusServer
}

func (strict) Attach(s grpc.BidiStreamingServer[pb.AttachRequest, pb.AttachResponse]) error {
	resp := &pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: "hyperty-runtime://a.example/r"}}
	for {
		req, err := s.Recv()
		if err != nil {
			return nil
		}
		for _, l := range req.Listeners {
			o := &pb.Outcome{Sequence: l.Sequence, Code: int32(fault.OK)}
			if l.LeadsTo != "" {
				o.Code, o.Description = int32(fault.Conflict), "no aliases here"
			}
			resp.Outcomes = append(resp.Outcomes, o)
		}
		if err := s.Send(resp); err != nil {
			return err
		}
		resp = &pb.AttachResponse{}
	}
}

// onStrict gives an attachment to a strict bus; run opens it.
func onStrict(t *testing.T) (b *Bus, run func()) {
	t.Helper()
	srv, mem := grpc.NewServer(), rpc.NewMemory()
	pb.RegisterMessageBusServer(srv, strict{})
	conn, err := mem.Dial()
	if err != nil {
		t.Fatal(err)
	}
	b, err = New(Config{Conn: conn, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(mem) })
	t.Cleanup(func() {
		cancel()
		srv.Stop()
		_ = conn.Close()
		wg.Wait()
	})
	return b, func() { wg.Go(func() { _ = b.Run(ctx) }) }
}

// A listener change that is queued between two streams is not sent on the new
// one, which has all listeners anyway; whoever waits for it is told.
func TestAChangeBetweenTwoStreamsIsNotWaitedForForEver(t *testing.T) {
	b, run := onStrict(t)
	sequence, c, err := b.newCall(nil)
	if err != nil {
		t.Fatal(err)
	}
	b.out.change(&pb.ListenerChange{Sequence: sequence, Address: "hyperty://a.example/1"})
	run()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if outcome, err := b.await(ctx, sequence, c); outcome != streamBroke {
		t.Errorf("the change ended with %v, %v", outcome, err)
	}
}

// What a new stream says of an alias is the alias's, not that of the listener
// that has the same address.
func TestAnAliasThatANewStreamRefuses(t *testing.T) {
	b, run := onStrict(t)
	own := &Listener{bus: b, address: "x"}
	alias := &Listener{bus: b, address: "x", leadsTo: "y"}
	for _, l := range []*Listener{own, alias} {
		if err := b.remember(l); err != nil {
			t.Fatal(err)
		}
	}
	run()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.place(ctx, own); err != nil {
		t.Errorf("the listener: %v", err)
	}
	if err := b.place(ctx, alias); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("the alias: %v", err)
	}
}
