package nodestub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

func grpcEndpoints(targets ...string) (all []endpoint) {
	for _, t := range targets {
		all = append(all, endpoint{grpc: t})
	}
	return all
}

func TestWhatFailedComesLast(t *testing.T) {
	p := places{runtime: runtimeURL}
	ws := endpoint{websocket: "ws://n/ws"}
	all := append([]endpoint{ws}, grpcEndpoints("a:1", "b:1", "c:1")...)
	first := p.order(all)
	if first[3] != ws || !slices.Equal(first, p.order(all)) {
		t.Fatalf("%v", first)
	}
	p.avoid(first[0])
	if got, want := p.order(all), []endpoint{first[1], first[2], first[0], ws}; !slices.Equal(got, want) {
		t.Errorf("after a failure %v, want %v", got, want)
	}
	p.avoid(first[1])
	if got, want := p.order(all), []endpoint{first[2], first[0], first[1], ws}; !slices.Equal(got, want) {
		t.Errorf("after two failures %v, want %v", got, want)
	}
	p.order(first[1:]) // the first is gone for a while, and what was known of it
	if got := p.order(all); got[1] != first[2] && got[0] != first[2] || got[2] != first[1] {
		t.Errorf("after it was away %v", got)
	}
}

func TestRuntimesSpreadOverReplicas(t *testing.T) {
	all := grpcEndpoints("a:1", "b:1", "c:1")
	at := map[endpoint]int{}
	for i := range 300 {
		p := places{runtime: fmt.Sprintf("hyperty-runtime://a.example/%d", i)}
		at[p.order(all)[0]]++
	}
	for _, e := range all {
		if at[e] < 60 || at[e] > 140 {
			t.Errorf("%d of 300 begin at %v", at[e], e)
		}
	}
}

func TestANameWithSeveralAddressesIsSeveralEndpoints(t *testing.T) {
	cfg := Config{
		Nodes: map[string][]string{"a": {"pods:7400", "one:7400", "192.0.2.9:7400", "none:7400"}},
		LookUp: func(_ context.Context, host string) ([]netip.Addr, error) {
			switch host {
			case "pods":
				return []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.2"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}, nil
			case "one":
				return []netip.Addr{netip.MustParseAddr("192.0.2.3")}, nil
			}
			return nil, errors.New("no such host")
		},
		HTTPClient: nil,
	}.orDefaults()
	got, err := newFinder(cfg, false).find(t.Context(), "a")
	want := "[grpc://pods:7400 at 192.0.2.1:7400 grpc://pods:7400 at 192.0.2.2:7400 grpc://one:7400 grpc://192.0.2.9:7400 grpc://none:7400]"
	if err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
	cfg.Limits.Endpoints = 2
	if got, _ = newFinder(cfg, false).find(t.Context(), "a"); len(got) != 2 {
		t.Errorf("past the bound: %v", got)
	}
}

// However many replicas there are, the way for where no gRPC gets through is kept.
func TestTheWebSocketIsKnownBesideManyReplicas(t *testing.T) {
	var many []netip.Addr
	for i := range 300 {
		many = append(many, netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})) // parts of a number
	}
	cfg := Config{LookUp: func(context.Context, string) ([]netip.Addr, error) { return many, nil }}.orDefaults()
	cfg.Limits.Endpoints = 64
	ws := endpoint{websocket: "wss://n/ws"}
	got := newFinder(cfg, false).spread(t.Context(), []endpoint{{grpc: "pods:7400"}, ws})
	if len(got) != 64 || !slices.Contains(got, ws) || got[0].at != "192.0.0.0:7400" {
		t.Errorf("%d endpoints: %v", len(got), got)
	}
}

// A runtime whose replica is gone, or does not open its session, is at another one with
// the next attempt.
func TestAnotherReplicaIsTriedNext(t *testing.T) {
	w := newWorld(t, "grpc", Limits{})
	w.stub.finder.nodes["b.example"] = []string{"one", "two", "three"}
	dialed := make(chan string, 1000)
	below := w.stub.cfg.Dial
	w.stub.cfg.Dial = func(target, at string) (grpc.ClientConnInterface, error) {
		dialed <- target
		return below(target, at)
	}
	wt := w.live(t)
	seen := []string{receive(t, dialed, "a replica")}
	for range 2 {
		w.node.breakOff()
		w.watchUntil(t, wt, "disconnected")
		w.watchUntil(t, wt, "live")
		seen = append(seen, receive(t, dialed, "another replica"))
	}
	w.node.set(func(n *fakeNode) { n.refuse = 503 })
	w.node.breakOff()
	for range 3 {
		seen = append(seen, receive(t, dialed, "another replica"))
	}
	for i := 3; i < 6; i++ {
		if seen[i] != seen[i-3] {
			t.Errorf("replicas were tried in the order %v", seen)
		}
	}
	if slices.Sort(seen); len(slices.Compact(seen)) != 3 {
		t.Errorf("not all replicas were tried: %v", seen)
	}
}

// The certificate must be that of the name, whichever of its addresses is connected.
func TestTheCertificateIsThatOfTheName(t *testing.T) {
	authority := testcert.New(t, "authority")
	cert, key := authority.Issue(t, "node") // for 127.0.0.1
	security := rpc.Security{CertFile: cert, KeyFile: key, CAFile: authority.File}
	log := slog.New(slog.DiscardHandler)
	lis, err := rpc.Listen("127.0.0.1:0", security)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := rpc.NewServer(security, log)
	if err != nil {
		t.Fatal(err)
	}
	pb.RegisterMessageNodeServer(srv, newFakeNode())
	start(t, func(ctx context.Context) error { return rpc.Serve(ctx, srv, lis) })
	s := &Stub{cfg: Config{Security: security}.orDefaults()}
	for target, ok := range map[string]bool{"127.0.0.1:1": true, "other.example:1": false} {
		c, err := s.dialGRPC(within(t), endpoint{grpc: target, at: lis.Addr().String()}, patience)
		if (err == nil) != ok {
			t.Errorf("%s: %v", target, err)
		}
		if err == nil {
			c.Close()
		}
	}
}
