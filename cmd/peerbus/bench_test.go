package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
)

// A runtime is measured from outside: with a receiver of its own, and with somebody
// else's.
func TestBench(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	alice := []string{"--bus-addr", p.alice.BusAddr, "--registry-addr", p.alice.RegistryAddr, "-o", "json"}
	toBob := with(alice, "--listen", "--to-bus-addr", p.bob.BusAddr)
	in := listen(t, p.bob, p.bobURL)
	go answerAll(in, p.bob)
	for _, tc := range []struct {
		name string
		args []string
		path string // that all of it took
	}{
		{"to itself", with(alice, "bench", "--listen", "-n", "100"), pathLocal},
		{"to another's listener", with(alice, "bench", p.bobURL, "-n", "100", "--wait", "response", "--size", "0"), ""},
		{"to a listener of its own", with(toBob, "bench", "-n", "100", "--wait", "response"), ""},
		{"delivered", with(toBob, "bench", p.bobURL, "-n", "50", "--size", "40000", "--concurrency", "4"), ""},
		{"accepted", with(toBob, "bench", "-n", "50", "--wait", "accepted"), ""},
		{"for a time", with(toBob, "bench", "--duration", "200ms"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, errs := command(t, nil, tc.args...)
			var r benchReport
			if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil {
				t.Fatalf("exit %d, %s%s", code, out, errs)
			}
			if r.Messages == 0 || r.Failed != 0 || r.PerSecond <= 0 || r.Latency == nil || r.PathNow == "" || r.Interrupted {
				t.Errorf("%s", out)
			}
			if l := r.Latency; l.Min <= 0 || l.Min > l.P50 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.Max {
				t.Errorf("%s", out)
			}
			if tc.path != "" && r.Paths[tc.path] != r.Messages {
				t.Errorf("%s", out)
			}
		})
	}
}

// What is delivered to nobody is no figure, where the receiver is known.
func TestBenchThatDoesNotArrive(t *testing.T) {
	s := benchSettings{listen: true, wait: pb.Wait_WAIT_DELIVERED}
	r := benchReport{To: "hyperty-runtime://b.example/1/bench", Messages: 3}
	if err := s.arrived(&r); fault.CodeOf(err) != fault.NotFound || !contains(err.Error(), "none of 3 messages has arrived at "+r.To) {
		t.Errorf("said is %v", err)
	}
	for name, change := range map[string]func(){
		"one came": func() { r.Paths = map[string]uint64{pathRelay: 1} },
		"accepted": func() { s.wait = pb.Wait_WAIT_ACCEPTED },
		"stopped":  func() { r.Interrupted = true },
		"another":  func() { s.listen = false },
	} {
		before, beforeReport := s, r
		if change(); s.arrived(&r) != nil {
			t.Errorf("%s: it fails", name)
		}
		s, r = before, beforeReport
	}
}

// What fails is counted by its code.
func TestBenchOfNobody(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	alice := []string{"--bus-addr", p.alice.BusAddr, "--registry-addr", p.alice.RegistryAddr}
	code, out, errs := command(t, nil, with(alice, "bench", p.alice.URL+"/nobody", "-n", "3")...)
	if code != exitFailed || !contains(out, "3 with 404: nobody listens") || !contains(errs, "3 of 3 messages failed") {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
}

// Interrupted, it prints what there is.
func TestBenchIsInterrupted(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	in := listen(t, p.bob, p.bobURL)
	ctx, stop := context.WithCancel(testContext(t))
	out, w := io.Pipe()
	over := make(chan int, 1)
	go func() {
		args := []string{"bench", p.bobURL, "--duration", "1h", "--wait", "accepted", "--bus-addr", p.alice.BusAddr}
		over <- execute(ctx, args, nil, strings.NewReader(""), w, io.Discard)
		_ = w.Close()
	}()
	for range 10 {
		in.next()
	}
	stop()
	go func() { // what is under way still comes
		for {
			if _, err := in.stream.Recv(); err != nil {
				return
			}
		}
	}()
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
	}
	if code := <-over; code != exitInterrupted || !contains(text.String(), "throughput", "interrupted") {
		t.Errorf("exit %d, %s", code, text.String())
	}
}

func TestWrongBench(t *testing.T) {
	for field, args := range map[string][]string{
		"address": {}, "wait": {"x", "--wait", "long"}, "timeout": {"x", "--timeout", "1h"}, "number": {"x", "-n", "-1"},
		"duration": {"x", "--duration", "-1s"}, "size": {"x", "--size", "5000000"}, "concurrency": {"x", "--concurrency", "0"},
		"to-bus-addr": {"x", "--to-bus-addr", "h:1"},
	} {
		code, _, errs := command(t, nil, append([]string{"bench", "-o", "json"}, args...)...)
		if code != exitUsage || !contains(errs, `"field":"`+field+`"`) {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
	if code, _, errs := command(t, nil, "bench", "--listen", "--bus-addr", "127.0.0.1:1", "--timeout", "50ms"); code != exitFailed || !contains(errs, "nothing answers") {
		t.Errorf("exit %d, %s", code, errs)
	}
}
