package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

// doctor runs the command, and gives what came of each check.
func doctor(t *testing.T, args ...string) (code int, found map[string]finding) {
	t.Helper()
	code, out, errs := command(t, nil, append([]string{"doctor", "-o", "json"}, args...)...)
	var all struct{ Checks []finding }
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("exit %d, %s%s", code, out, errs)
	}
	found = map[string]finding{}
	for _, f := range all.Checks {
		if _, twice := found[f.Check]; twice || f.Text == "" || f.Verdict == isFail && f.Advice == "" {
			t.Errorf("%+v", f)
		}
		found[f.Check] = f
	}
	return code, found
}

// want compares verdicts; the machine's own checks may warn.
func wantVerdicts(t *testing.T, found map[string]finding, want map[string]verdict) {
	t.Helper()
	for name, v := range want {
		if found[name].Verdict != v {
			t.Errorf("%s is %+v, want %s", name, found[name], v)
		}
	}
	for _, name := range []string{"udp", "buffers", "candidates", "files", "data-dir"} {
		if f, done := found[name]; !done || f.Verdict == isFail {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// A pair in good health, then without its Message Node, then without the runtime.
func TestDoctor(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	deaf, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }()
	args := []string{
		"--bus-addr", p.alice.BusAddr, "--registry-addr", p.alice.RegistryAddr, "--node-http", p.node.HTTPAddr,
		"--data-dir", t.TempDir(),
	}
	code, found := doctor(t, args...)
	wantVerdicts(t, found, map[string]verdict{
		"registry": isOK, "bus": isOK, "components": isOK, "session": isOK, "node": isOK, "node-ready": isOK, "clock": isOK, "descriptor": isOK, "ports": "",
	})
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	code, found = doctor(t, append(args, "--ice-server", "stun:"+deaf.LocalAddr().String(), "--timeout", "300ms")...)
	if code != exitFailed || found["stun"].Verdict != isFail {
		t.Errorf("exit %d, %+v", code, found["stun"])
	}
	_, found = doctor(t, "--bus-addr", p.alice.BusAddr, "--registry-addr", p.alice.RegistryAddr)
	if f := found["node-ready"]; f.Verdict != isOK || !contains(f.Text, p.node.GRPCAddr) {
		t.Errorf("%+v", f)
	}
	code, found = doctor(t, append(args, "--bus-addr", p.bob.BusAddr)...)
	if code != exitFailed || !contains(found["bus"].Text, p.alice.URL, p.bob.URL) {
		t.Errorf("exit %d, %+v", code, found["bus"])
	}

	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
	waitSession(t, p.alice, "disconnected")
	code, found = doctor(t, args...)
	wantVerdicts(t, found, map[string]verdict{
		"registry": isOK, "bus": isOK, "components": isOK, "session": isFail, "node": isFail, "clock": isFail, "node-ready": isSkip,
	})
	if code != exitFailed || !contains(found["node"].Advice, "peerbus msgnode") || !contains(found["session"].Advice, "--node example.org=") {
		t.Errorf("exit %d, %+v", code, found)
	}

	if err := p.alice.Processes["runtime"].Stop(); err != nil {
		t.Fatal(err)
	}
	code, found = doctor(t, args...)
	wantVerdicts(t, found, map[string]verdict{"registry": isFail, "bus": isFail, "session": "", "node": ""})
	if ports := found["ports"]; code != exitFailed || !contains(found["registry"].Advice, "peerbus runtime") || ports.Verdict == "" {
		t.Errorf("exit %d, %+v", code, found)
	}
	taken, err := net.Listen("tcp", p.alice.BusAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, found = doctor(t, append(args, "--timeout", "200ms")...)
	if ports := found["ports"]; ports.Verdict != isWarn || !contains(ports.Text, p.alice.BusAddr) {
		t.Errorf("%+v", ports)
	}
}

// waitSession waits until the runtime knows the state of its session.
func waitSession(t *testing.T, r *local.Runtime, state string) {
	t.Helper()
	for ctx := testContext(t); ; {
		_, out, _ := command(t, nil, "status", "-o", "json", "--registry-addr", r.RegistryAddr)
		if strings.Contains(out, `"`+state+`"`) {
			return
		}
		if !pause(ctx) {
			t.Fatalf("the session is not %s: %s", state, out)
		}
	}
}

func TestDoctorWithTLS(t *testing.T) {
	authority := testcert.New(t, "authority")
	cert, key := authority.Issue(t, "peerbus")
	security := rpc.Security{CertFile: cert, KeyFile: key, CAFile: authority.File}
	p := newPairWith(t, newSecureSystem(t, security), local.AllInOne, local.AllInOne)
	args := []string{
		"--bus-addr", p.alice.BusAddr, "--registry-addr", p.alice.RegistryAddr, "--node-http", "https://" + p.node.HTTPAddr,
		"--tls-cert", cert, "--tls-key", key, "--tls-ca", authority.File, "--data-dir", t.TempDir(),
	}
	code, found := doctor(t, args...)
	wantVerdicts(t, found, map[string]verdict{"registry": isOK, "bus": isOK, "session": isOK, "node": isOK, "node-ready": isOK, "clock": isOK, "descriptor": isOK})
	if code != 0 || !contains(found["node"].Text, "TLS") {
		t.Errorf("exit %d, %+v", code, found["node"])
	}
	_, found = doctor(t, "--bus-addr", p.alice.BusAddr, "--registry-addr", p.alice.RegistryAddr,
		"--tls-cert", cert, "--tls-key", key, "--tls-ca", authority.File)
	if f := found["node-ready"]; f.Verdict != isOK || !contains(f.Text, p.node.GRPCAddr) {
		t.Errorf("by gRPC: %+v", f)
	}
}

func TestEndpoints(t *testing.T) {
	for text, want := range map[string][2]string{
		"grpc://node.example:7400":                   {"node.example:7400", "node.example:7400"},
		"grpc://node.example:7400 at 10.0.0.1:7400":  {"node.example:7400", "10.0.0.1:7400"},
		"grpc://node.example:7400 at [fd00::1]:7400": {"node.example:7400", "[fd00::1]:7400"},
		"wss://node.example/ws":                      {"node.example", "node.example:443"},
		"unix:///run/node":                           {"localhost", "unix:///run/node"},
	} {
		if u, at, err := parseEndpoint(text); err != nil || u.Host != want[0] || at != want[1] {
			t.Errorf("%s: %v, %s, %v", text, u, at, err)
		}
	}
	for _, text := range []string{"", "node.example", "grpc://a b:1", "unix://run"} {
		if u, _, err := parseEndpoint(text); err == nil {
			t.Errorf("%s: %v", text, u)
		}
	}
	for given, want := range map[string]string{"h:1": "http://h:1", "http://h:1/": "http://h:1", "https://h": "https://h"} {
		if got := givenURL(given, false); got != want {
			t.Errorf("%s: %s", given, got)
		}
	}
	if got := givenURL("h:1", true); got != "https://h:1" {
		t.Error(got)
	}
}

func TestWrongDoctor(t *testing.T) {
	for want, args := range map[string][]string{
		"timeout": {"--timeout", "0s"}, "udp-port": {"--udp-port", "70000"}, "ice-server": {"--ice-server", "example.org"},
	} {
		if code, _, errs := command(t, nil, append([]string{"doctor"}, args...)...); code != exitUsage || !contains(errs, want) {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}

func TestDataDirs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]verdict{
		dir: isOK, filepath.Join(dir, "not", "there", "yet"): isOK, file: isFail, filepath.Join(file, "below"): isFail,
	} {
		if f := dataDirCheck(path); f.Verdict != want {
			t.Errorf("%s: %+v", path, f)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestAddressesOfThisMachine(t *testing.T) {
	for addr, here := range map[string]bool{
		"127.0.0.1:7401": true, "localhost:7401": true, "[::1]:7401": true, ":7401": true, "0.0.0.0:7401": true, "[::]:7401": true,
		"192.0.2.1:7401": false, "[2001:db8::1]:7401": false, "7401": false,
	} {
		if got := leadsHere(t.Context(), addr); got != here {
			t.Errorf("%s is here: %v", addr, got)
		}
	}
}

// A machine that the runtime is not on is left out, unless a p2pstub is said to be on it;
// and a directory where nothing is kept.
func TestTheDoctorLeavesOut(t *testing.T) {
	const elsewhere = "192.0.2.1:7401"
	shared := &pb.GetRuntimeResponse{Components: []*pb.ComponentStatus{{Name: "NATS", Connected: true}}}
	for name, tc := range map[string]struct {
		registry, dataDir string
		udpPort           int
		runtime           *pb.GetRuntimeResponse
		want              map[string]verdict
	}{
		"in a pod of another service":    {elsewhere, "", 0, shared, map[string]verdict{"machine": isSkip, "candidates": "", "data-dir": "", "ports": ""}},
		"where no runtime is reached":    {elsewhere, "", 0, nil, map[string]verdict{"machine": isSkip, "ports": "", "udp": ""}},
		"with a directory that is given": {elsewhere, t.TempDir(), 0, shared, map[string]verdict{"machine": isSkip, "data-dir": isOK, "udp": ""}},
		"in the p2pstub's pod":           {elsewhere, "", 3478, shared, map[string]verdict{"machine": "", "udp": isOK, "data-dir": isSkip}},
		"on the registry's machine":      {"192.0.2.1:7401,127.0.0.1:7401", "", 0, shared, map[string]verdict{"machine": "", "udp": isOK, "data-dir": isSkip}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &runtimeThere{runtime: tc.runtime, doctorSettings: &doctorSettings{dataDir: tc.dataDir, udpPort: tc.udpPort}}
			s.registryAddr, s.timeout = tc.registry, doctorTime
			found := map[string]verdict{}
			for _, f := range s.machine(testContext(t)) {
				found[f.Check] = f.Verdict
			}
			for check, want := range tc.want {
				if found[check] != want {
					t.Errorf("%s is %q, want %q", check, found[check], want)
				}
			}
		})
	}
}

// An address that is given may be the default of another service.
func TestDoctorNamesAPortOnce(t *testing.T) {
	s := &runtimeThere{doctorSettings: &doctorSettings{}}
	s.registryAddr, s.busAddr, s.timeout = defaultP2PStubAddr, defaultP2PStubAddr, doctorTime
	if ports := s.ports(t.Context())[0]; strings.Count(ports.Text, defaultP2PStubAddr) > 1 {
		t.Errorf("%+v", ports)
	}
}
