package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/local"
)

// The path of a probe and of a message, hop by hop, by relay and over the data channel.
func TestTraceCommand(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	alice := []string{"trace", p.bobURL, "--registry-addr", p.alice.RegistryAddr, "--bus-addr", p.alice.BusAddr}
	code, out, errs := command(t, nil, alice...)
	if code != 0 || !contains(out, "WAY", "posted", "delivered", p.alice.URL, p.bob.URL, "there ", "back ") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	waitConnection(t, p.alice, p.bob.URL, live)
	in := listen(t, p.bob, p.bobURL)
	settle(t, p, in)
	go answerAll(in, p.bob)
	for _, more := range [][]string{nil, {"--message", `{"n":1}`, "--type", "read", "--from", p.aliceURL}} {
		code, out, errs := command(t, nil, append(append(alice, "-o", "json"), more...)...)
		var j journey
		if err := json.Unmarshal([]byte(out), &j); code != 0 || err != nil {
			t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
		}
		var way []string
		for _, h := range j.Hops {
			way = append(way, h.Service+" of "+h.At[strings.LastIndexByte(h.At, '/')+1:]+" "+h.Event)
		}
		want := "bus of alice posted, p2pstub of alice sent, p2pstub of bob received, bus of bob posted, bus of bob delivered, " +
			"bus of bob posted, p2pstub of bob sent, p2pstub of alice received, bus of alice posted, bus of alice delivered"
		if got := strings.Join(way, ", "); got != want || j.There != pathDirect || j.Back != pathDirect || j.TraceID != "" {
			t.Errorf("%s\nis not\n%s\n%+v", got, want, j)
		}
	}
	own := []string{"trace", p.aliceURL, "--registry-addr", p.alice.RegistryAddr, "--bus-addr", p.alice.BusAddr}
	if code, out, errs := command(t, nil, own...); code != 0 || !contains(out, "there local, back local") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestTraceCommandFails(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne, "--p2p", "never")
	alice := []string{"--registry-addr", p.alice.RegistryAddr, "--bus-addr", p.alice.BusAddr}
	const nobody = "hyperty://example.org/nobody"
	for _, tc := range []struct {
		args []string
		code int
		errs string
	}{
		{with(alice, "trace", nobody), exitFailed, nobody},
		{with(alice, "trace", nobody, "--message", "{}"), exitFailed, nobody},
		{with(alice, "trace", p.bobURL, "--message", "[]"), exitUsage, "body is not a JSON object"},
		{with(alice, "trace", p.bobURL, "--type", "read"), exitUsage, "--message"},
		{with(alice, "trace", p.bobURL, "--timeout", "-1s"), exitUsage, "timeout"},
		{[]string{"trace", p.bobURL, "--registry-addr", "127.0.0.1:1"}, exitFailed, "nothing answers"},
	} {
		code, _, errs := command(t, nil, tc.args...)
		if code != tc.code || !contains(errs, tc.errs) {
			t.Errorf("%v: exit %d, %s", tc.args, code, errs)
		}
	}
}
