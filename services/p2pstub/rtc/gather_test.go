package rtc

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/turn/v2"
)

// turnServer answers STUN and TURN on loopback.
func turnServer(t *testing.T) (addr string) {
	t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "example.org",
		AuthHandler: func(user, realm string, _ net.Addr) ([]byte, bool) {
			return turn.GenerateAuthKey(user, realm, "secret"), user == "alice"
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            socket,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return socket.LocalAddr().String()
}

func typesOf(all []Found) []string {
	var types []string
	for _, f := range all {
		types = append(types, f.Type)
	}
	return types
}

func TestGather(t *testing.T) {
	addr := turnServer(t)
	loopback := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	for _, tc := range []struct {
		name    string
		servers []ICEServer
		want    []string
	}{
		{"no server", nil, []string{"host"}},
		{"STUN", []ICEServer{{URL: "stun:" + addr}}, []string{"host", "srflx"}},
		{"TURN", []ICEServer{{URL: "turn:" + addr, User: "alice", Secret: "secret"}}, []string{"host", "relay"}},
		{"wrong secret", []ICEServer{{URL: "turn:" + addr, User: "alice", Secret: "no"}}, []string{"host"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			all, err := Gather(ctx, Config{ICEServers: tc.servers, AdvertiseIPs: loopback, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			got := typesOf(all)
			for _, kind := range tc.want {
				if !slices.Contains(got, kind) {
					t.Errorf("no %s: %v", kind, all)
				}
			}
			if relays := slices.Contains(got, "relay"); relays != slices.Contains(tc.want, "relay") {
				t.Errorf("%v", all)
			}
		})
	}
}

// A server that does not answer is not waited for longer than ctx.
func TestGatherEndsWithItsContext(t *testing.T) {
	deaf, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	all, err := Gather(ctx, Config{ICEServers: []ICEServer{{URL: "stun:" + deaf.LocalAddr().String()}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil || slices.Contains(typesOf(all), "srflx") {
		t.Errorf("%v, %v", all, err)
	}
}
