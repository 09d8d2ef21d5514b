package main

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// Each verdict, and what is said to be done.
func TestJudgements(t *testing.T) {
	odd, full := errors.New("odd"), errors.New("the store takes no writes: no space left on device")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := func(ours time.Duration) finding {
		return judgeClock(now, now.Add(ours-10*time.Millisecond), now.Add(ours+10*time.Millisecond))
	}
	found := func(kind, addr string) []rtc.Found { return []rtc.Found{{Type: kind, Address: addr}} }
	components := func(c ...*pb.ComponentStatus) finding { return judgeComponents(&pb.GetRuntimeResponse{Components: c}) }
	session := func(n ...*pb.NodeSession) finding { return judgeSession(&pb.GetRuntimeResponse{Domain: "d", Nodes: n}) }
	elsewhere := func(f finding, has string, connected bool) finding {
		r := &pb.GetRuntimeResponse{Components: []*pb.ComponentStatus{{Name: has, Connected: connected}}}
		return judgeBusElsewhere([]finding{f}, r)[0]
	}
	for i, tc := range []struct {
		is     finding
		want   verdict
		text   string
		advice string
	}{
		{judgeReached("bus", "there", true, nil), isOK, "there", ""},
		{judgeReached("bus", "", true, odd), isFail, "odd", "start one with `peerbus runtime`, or give --bus-addr"},
		{judgeReached("bus", "", false, odd), isFail, "odd", "reached from here, or give --bus-addr"},
		{elsewhere(judgeReached("bus", "", true, odd), "bus", true), isFail, "connected with a bus", "elsewhere: give --bus-addr"},
		{elsewhere(judgeReached("bus", "", true, odd), "bus", false), isFail, "odd", "start one"},
		{elsewhere(judgeReached("bus", "", true, odd), "p2pstub", true), isFail, "odd", "start one"},
		{elsewhere(judgeReached("bus", "", false, odd), "bus", true), isFail, "odd", "reached from here"},
		{elsewhere(judgeReached("bus", "there", true, nil), "bus", true), isOK, "there", ""},
		{judgeBusElsewhere([]finding{judgeReached("bus", "", true, odd)}, nil)[0], isFail, "odd", "start one"},
		{components(), isFail, "no other service", "start"},
		{components(&pb.ComponentStatus{Name: "bus", Connected: true}), isOK, "bus", ""},
		{components(&pb.ComponentStatus{Name: "bus", Reason: "away"}), isFail, "away", "log"},
		{components(&pb.ComponentStatus{Name: "bus", Connected: true}, &pb.ComponentStatus{Name: "p2pstub"}), isFail, "p2pstub", "log"},
		{components(&pb.ComponentStatus{Name: "NATS"}, &pb.ComponentStatus{Name: "bus", Connected: true}), isOK, "bus", ""},
		{components(&pb.ComponentStatus{Name: "registry", Reason: "no registry leads"}), isFail, "no registry leads", "NATS"},
		{components(&pb.ComponentStatus{Name: "bus", Connected: true}, &pb.ComponentStatus{Name: "store", Reason: "no space left"}), isFail, "no space left", "make room"},
		{judgeNATS(&pb.ComponentStatus{Name: "NATS", Connected: true})[0], isOK, "takes", ""},
		{judgeNATS(&pb.ComponentStatus{Name: "NATS", Reason: "no majority"})[0], isFail, "no majority", "start the servers"},
		{session(&pb.NodeSession{Domain: "d", State: "live", Endpoint: "grpc://h:1"}), isOK, "grpc://h:1", ""},
		{session(&pb.NodeSession{Domain: "d", State: "failed", Reason: "refused"}), isFail, "refused", "--node d=HOST:PORT"},
		{session(), isFail, "missing", "--node d="},
		{judgeSession(&pb.GetRuntimeResponse{Components: []*pb.ComponentStatus{{Name: "registry"}}}), isSkip, "no registry leads", ""},
		{judgeNodeReady("http://h:1", nil), isOK, "h:1", ""},
		{judgeNodeReady("http://h:1", odd), isFail, "odd", "NATS"},
		{judgeNodeReady("http://h:1", full), isFail, "no space left", "make room below the --data-dir of the Message Node"},
		{session(&pb.NodeSession{Domain: "d", State: "failed", Reason: full.Error()}), isFail, "no space left", "make room below the --data-dir of the Message Node"},
		{judgeReached("registry", "", true, full), isFail, "no space left", "make room below the --data-dir of the registry"},
		{judgeElsewhere("h:1"), isSkip, "h:1", "p2pstub"},
		{judgeEndpoint("grpc://h:1", false, nil), isOK, "with TCP", ""},
		{judgeEndpoint("grpc://h:1", true, nil), isOK, "TLS", ""},
		{judgeEndpoint("grpc://h:1", false, syscall.ECONNREFUSED), isFail, "refused", "peerbus msgnode"},
		{judgeEndpoint("grpc://h:1", false, &net.DNSError{Name: "h", IsNotFound: true}), isFail, "h", "DNS"},
		{judgeEndpoint("grpc://h:1", false, odd), isFail, "odd", "firewall"},
		{judgeEndpoint("unix:///run/node", false, nil), isOK, "unix:///run/node is reached over a unix socket", ""},
		{judgeEndpoint("unix:///run/node", false, syscall.ENOENT), isFail, "no such file", "peerbus msgnode"},
		{judgeEndpoint("unix:///run/node", false, syscall.EACCES), isFail, "permission", "--socket-mode"},
		{judgeDescriptor("where", "d", "d", nil), isOK, "d", ""},
		{judgeDescriptor("where", "d", "e", nil), isWarn, `"e"`, "want d"},
		{judgeDescriptor("where", "d", "", odd), isWarn, "odd", "other domains"},
		{clock(500 * time.Millisecond), isOK, "agrees", ""},
		{clock(2900 * time.Millisecond), isOK, "agrees", ""},
		{clock(-1900 * time.Millisecond), isOK, "agrees", ""},
		{clock(time.Minute), isWarn, "59.5s ahead", "NTP"},
		{clock(-time.Hour), isWarn, "1h0m0.5s behind", "NTP"},
		{judgeUDP(nil), isOK, "pass", ""},
		{judgeUDP(odd), isFail, "odd", "firewall"},
		{judgeBuffers(4<<20, 4<<20, nil), isOK, "4096 KiB", ""},
		{judgeBuffers(212_992, 4<<20, nil), isWarn, "208 KiB", "net.core.rmem_max=4194304"},
		{judgeBuffers(4<<20, 212_992, nil), isWarn, "208 KiB", "net.core.wmem_max=4194304"},
		{judgeBuffers(0, 0, odd), isSkip, "does not say", ""},
		{judgeCandidates(found("host", "192.0.2.1:7"), nil), isOK, "192.0.2.1:7", ""},
		{judgeCandidates(found("host", "127.0.0.1:7"), nil), isWarn, "loopback", "network"},
		{judgeCandidates(found("srflx", "192.0.2.1:7"), nil), isFail, "no address", "--advertise"},
		{judgeCandidates(nil, odd), isFail, "odd", "--udp-port"},
		{judgeServer("stun:h:1", found("srflx", "192.0.2.1:7"), nil), isOK, "192.0.2.1:7", ""},
		{judgeServer("stun:h:1", found("host", "192.0.2.1:7"), nil), isFail, "stun:h:1", "firewall"},
		{judgeServer("turn:h:1", found("relay", "192.0.2.1:7"), nil), isOK, "192.0.2.1:7", ""},
		{judgeServer("turns:h:1", found("srflx", "192.0.2.1:7"), nil), isFail, "turns:h:1", "secret"},
		{judgeServer("turn:h:1", nil, odd), isFail, "odd", "--ice-server"},
		{judgePorts([]string{"h:1"}, nil, true), isOK, "h:1", ""},
		{judgePorts([]string{"h:1", "h:2"}, []string{"h:2"}, true), isWarn, "h:2", "ss -lntup"},
		{judgePorts([]string{"h:1", "h:2"}, []string{"h:2"}, false), isWarn, "h:2", "end what has them, or"},
		{judgeFiles(4096, true), isOK, "4096", ""},
		{judgeFiles(1024, true), isWarn, "1024", "ulimit -n 4096"},
		{judgeFiles(32, true), isFail, "32", "ulimit -n 4096"},
		{judgeFiles(0, false), isSkip, "does not say", ""},
		{judgeDataDir("dir", nil), isOK, "dir", ""},
		{judgeDataDir("dir", odd), isFail, "odd", "--data-dir"},
	} {
		if tc.is.Verdict != tc.want || !contains(tc.is.Text, tc.text) || !contains(tc.is.Advice, tc.advice) || tc.is.Check == "" {
			t.Errorf("%d: %+v, want %s with %q and %q", i, tc.is, tc.want, tc.text, tc.advice)
		}
	}
}

func TestFailureOfChecks(t *testing.T) {
	if err := failureOf([]finding{{Verdict: isOK}, {Verdict: isWarn}, {Verdict: isSkip}}); err != nil {
		t.Error(err)
	}
	if err := failureOf([]finding{{Verdict: isOK}, {Verdict: isFail}}); err == nil || err.Error() != "1 of 2 checks failed" {
		t.Error(err)
	}
}
