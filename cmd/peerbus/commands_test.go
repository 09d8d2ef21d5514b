package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/local"
)

func contains(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

// The commands of a client, as a person and as a program call them.
func TestCommands(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	bob := []string{"--registry-addr", p.bob.RegistryAddr}
	alice := []string{"--registry-addr", p.alice.RegistryAddr}
	const hyperty = "hyperty://example.org/echo"
	in := listen(t, p.bob, hyperty)
	go answerAll(in, p.bob)

	for _, tc := range []struct {
		args []string
		code int
		out  []string
		errs []string
	}{
		{with(bob, "hyperties", "add", hyperty, "--user", "user://example.org/bob"), 0, []string{hyperty}, nil},
		{with(bob, "hyperties", "add", "--kind", "object", "--scheme", "comm"), 0, []string{"comm://example.org/"}, nil},
		{with(bob, "hyperties", "list"), 0, []string{"ADDRESS", hyperty, "user://example.org/bob"}, nil},
		{with(bob, "hyperties", "add", "hyperty://elsewhere.example/1"), 1, nil, []string{"elsewhere.example"}},
		{with(bob, "hyperties", "add", "--kind", "ghost"), 2, nil, []string{"kind is neither"}},
		{with(alice, "status"), 0, []string{p.alice.URL, "p2pstub", "connected", "Message Node of example.org", "live"}, nil},
		{[]string{"post", hyperty, `{"n":1}`, "--bus-addr", p.alice.BusAddr, "--from", p.aliceURL}, 0, nil, nil},
		{[]string{"post", hyperty, `{"n":2}`, "--bus-addr", p.alice.BusAddr, "--wait", "response"}, 0, []string{`"code":200`, `"n":2`}, nil},
		{[]string{"post", hyperty, `{"n":3}`, "--bus-addr", p.alice.BusAddr, "--wait", "delivered"}, 0, []string{"delivered, id"}, nil},
		{with(alice, "ping", hyperty, "--bus-addr", p.alice.BusAddr, "-c", "2", "-i", "10ms"), 0, []string{p.bob.URL, "2 sent, 2 came back", "0 local"}, nil},
		{with(bob, "ping", hyperty, "--bus-addr", p.bob.BusAddr, "-c", "1"), 0, []string{p.bob.URL, "local"}, nil},
		{with(alice, "ping", "hyperty://example.org/nobody", "--bus-addr", p.alice.BusAddr, "-c", "1"), 1, nil, []string{"nobody"}},
		{[]string{"ping", hyperty, "--registry-addr", "127.0.0.1:1"}, 1, nil, []string{"nothing answers"}},
		{[]string{"ping", hyperty, "-i", "0s"}, 2, nil, []string{"interval"}},
		{[]string{"post", "hyperty://example.org/nobody", "--bus-addr", p.alice.BusAddr, "--wait", "response"}, 1, []string{`"code":404`}, []string{"nobody"}},
		{[]string{"post", hyperty, "--bus-addr", p.alice.BusAddr, "--from", p.bobURL}, 1, nil, []string{p.bobURL}},
		{with(alice, "resolve", hyperty), 0, []string{hyperty, p.bob.URL}, nil},
		{with(alice, "resolve", hyperty, "--explain"), 0, []string{"RULE", "1 source", "3 signalling", "*"}, nil},
		{with(alice, "connections"), 0, []string{"REMOTE RUNTIME", p.bob.URL}, nil},
		{with(bob, "hyperties", "remove", hyperty), 0, nil, nil},
		{with(bob, "hyperties", "remove", hyperty), 1, nil, []string{hyperty}},
	} {
		code, out, errs := command(t, nil, tc.args...)
		if code != tc.code || !contains(out, tc.out...) || !contains(errs, tc.errs...) {
			t.Errorf("peerbus %s\nexit %d, want %d\n%s%s", strings.Join(tc.args, " "), code, tc.code, out, errs)
		}
	}
	for _, args := range [][]string{
		with(alice, "status", "-o", "json"), with(alice, "connections", "-o", "json"),
		with(alice, "resolve", p.bobURL, "-o", "json"), with(bob, "hyperties", "list", "-o", "json"),
	} {
		if code, out, errs := command(t, nil, args...); code != 0 || !json.Valid([]byte(out)) {
			t.Errorf("peerbus %s: exit %d, %s%s", strings.Join(args, " "), code, out, errs)
		}
	}
}

func with(flags []string, args ...string) []string {
	return append(append([]string{}, args...), flags...)
}

// `peerbus listen` prints what comes and ends after --count.
func TestListenCommand(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	type result struct {
		code      int
		out, errs string
	}
	done := make(chan result, 1)
	go func() {
		code, out, errs := command(t, nil, "listen", p.bobURL, "--bus-addr", p.bob.BusAddr, "--count", "2", "-o", "json")
		done <- result{code, out, errs}
	}()
	for ctx := testContext(t); ; {
		code, _, _ := command(t, nil, "post", p.bobURL, `{"n":1}`, "--bus-addr", p.alice.BusAddr, "--from", p.aliceURL)
		select {
		case r := <-done:
			lines := strings.Split(strings.TrimSpace(r.out), "\n")
			if r.code != 0 || len(lines) != 2 || !json.Valid([]byte(lines[0])) || !contains(lines[0], `"n":1`, p.aliceURL) {
				t.Errorf("exit %d, %q, %s", r.code, lines, r.errs)
			}
			return
		default:
		}
		if !pause(ctx) {
			t.Fatalf("listen does not end; the last post: exit %d", code)
		}
	}
}

// `peerbus listen` goes on when its bus was away.
func TestListenOutlivesItsBus(t *testing.T) {
	t.Parallel()
	p := newPair(t, local.AllInOne, local.Separate)
	ctx, stop := context.WithCancel(testContext(t))
	out, w := io.Pipe()
	over := make(chan int, 1)
	go func() {
		code := execute(ctx, []string{"listen", p.bobURL, "--bus-addr", p.bob.BusAddr, "-o", "json"}, nil, strings.NewReader(""), w, io.Discard)
		_ = w.Close()
		over <- code
	}()
	lines := bufio.NewScanner(out)
	comes := func(part string) {
		t.Helper()
		came := make(chan bool, 1)
		go func() {
			for lines.Scan() {
				if strings.Contains(lines.Text(), part) {
					came <- true
					return
				}
			}
			came <- false
		}()
		for { // the listener may not be there at first
			command(t, nil, "post", p.bobURL, "{"+part+"}", "--bus-addr", p.alice.BusAddr)
			select {
			case ok := <-came:
				if !ok {
					t.Fatalf("listen has ended: exit %d", <-over)
				}
				return
			default:
			}
			if !pause(ctx) {
				t.Fatalf("%s does not come", part)
			}
		}
	}
	comes(`"n":1`)
	bus := p.bob.Processes["bus"]
	bus.Kill()
	if _, err := p.system.Restart(bus); err != nil {
		t.Fatal(err)
	}
	comes(`"n":2`)
	stop()
	_, _ = io.Copy(io.Discard, out)
	if code := <-over; code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
}
