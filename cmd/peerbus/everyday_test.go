package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/peerbus/peerbus/internal/local"
)

// The commands find a runtime by a context, by --addr, and by what is above these.
func TestContexts(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	environ := []string{"XDG_CONFIG_HOME=" + t.TempDir()}
	for _, tc := range []struct {
		environ []string
		args    []string
		code    int
		out     string
		errs    string
	}{
		{nil, []string{"context", "show"}, 1, "", "no context"},
		{nil, []string{"context", "add", "alice", "--addr", p.alice.RegistryAddr}, 0, "", ""},
		{nil, []string{"context", "add", "bob", "--registry-addr", p.bob.RegistryAddr, "--bus-addr", p.bob.BusAddr}, 0, "", ""},
		{nil, []string{"context", "add", "bob", "--addr", "h:1"}, 1, "", "already"},
		{nil, []string{"context", "add", "x"}, 2, "", "--addr"},
		{nil, []string{"context", "add", "x", "--addr", "h"}, 2, "", "HOST:PORT"},
		{nil, []string{"context", "list"}, 0, "*  alice", ""},
		{nil, []string{"status"}, 0, p.alice.URL, ""},
		{nil, []string{"status", "--context", "bob"}, 0, p.bob.URL, ""},
		{[]string{"PEERBUS_CONTEXT=bob"}, []string{"status"}, 0, p.bob.URL, ""},
		{[]string{"PEERBUS_CONTEXT=bob"}, []string{"context", "show"}, 0, "alice", ""},
		{nil, []string{"status", "--addr", p.bob.RegistryAddr}, 0, p.bob.URL, ""},
		{[]string{"PEERBUS_REGISTRY_ADDR=" + p.bob.RegistryAddr}, []string{"status"}, 0, p.bob.URL, ""},
		{nil, []string{"status", "--context", "nobody"}, 1, "", "no context \"nobody\""},
		{nil, []string{"context", "use", "bob"}, 0, "", ""},
		{nil, []string{"status"}, 0, p.bob.URL, ""},
		{nil, []string{"context", "show"}, 0, "bus-addr=" + p.bob.BusAddr, ""},
		{nil, []string{"__complete", "status", "--context", ""}, 0, "alice\nbob\n", ""},
		{nil, []string{"__complete", "context", "use", ""}, 0, "alice\nbob\n", ""},
		{nil, []string{"__complete", "listen", ""}, 0, p.bobURL, ""},
		{nil, []string{"__complete", "post", "--wait", ""}, 0, "accepted\ndelivered\nresponse\n", ""},
		{nil, []string{"context", "remove", "bob"}, 0, "", ""},
		{nil, []string{"context", "show"}, 1, "", "no context"},
		{nil, []string{"context", "remove", "bob"}, 1, "", "no context \"bob\""},
	} {
		code, out, errs := command(t, append(environ, tc.environ...), tc.args...)
		if code != tc.code || !contains(out, tc.out) || !contains(errs, tc.errs) {
			t.Errorf("%v peerbus %s\nexit %d, want %d\n%s%s", tc.environ, strings.Join(tc.args, " "), code, tc.code, out, errs)
		}
	}
}

// A connection is set up, watched, and closed by its id.
func TestConnectionCommands(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	alice := []string{"--registry-addr", p.alice.RegistryAddr}
	ctx, stop := context.WithCancel(testContext(t))
	out, w := io.Pipe()
	over := make(chan int, 1)
	go func() {
		over <- execute(ctx, with(alice, "connections", "--watch"), nil, strings.NewReader(""), w, io.Discard)
		_ = w.Close()
	}()
	lines := bufio.NewScanner(out)
	id := ""
	comes := func(part string) {
		t.Helper()
		for lines.Scan() {
			if contains(lines.Text(), id, part) {
				return
			}
		}
		t.Fatalf("%s does not come", part)
	}
	code, text, errs := command(t, nil, with(alice, "connections", "open", p.bobURL)...)
	if id = strings.TrimSpace(text); code != 0 || id == "" {
		t.Fatalf("open: exit %d, %s%s", code, text, errs)
	}
	comes("live")
	completed := append(with(alice, "__complete", "connections", "close"), "")
	if code, out, errs := command(t, nil, completed...); code != 0 || !contains(out, id+"\t"+p.bob.URL) {
		t.Errorf("completion: exit %d, %s%s", code, out, errs)
	}
	if code, _, errs := command(t, nil, with(alice, "connections", "close", id)...); code != 0 {
		t.Errorf("close: exit %d, %s", code, errs)
	}
	comes("removed")
	stop()
	_, _ = io.Copy(io.Discard, out)
	if code := <-over; code != exitInterrupted {
		t.Errorf("watch: exit %d", code)
	}
	if code, _, errs := command(t, nil, with(alice, "connections", "close", id)...); code != exitFailed || errs == "" {
		t.Errorf("close again: exit %d, %s", code, errs)
	}
}

// startReply runs `peerbus reply` until what it returns is called.
func startReply(t *testing.T, p *pair, args ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	ready, errs := io.Pipe()
	over := make(chan int, 1)
	go func() {
		args := append([]string{"reply", p.bobURL, "--bus-addr", p.bob.BusAddr}, args...)
		over <- execute(ctx, args, nil, strings.NewReader(""), io.Discard, errs)
		_ = errs.Close()
	}()
	if line, err := bufio.NewReader(ready).ReadString('\n'); err != nil || !contains(line, "listening to") {
		t.Fatalf("%s, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, ready) }()
	return func() {
		t.Helper()
		cancel()
		if code := <-over; code != exitInterrupted {
			t.Errorf("reply: exit %d", code)
		}
	}
}

// A service out of a template, and one out of a command.
func TestReplyCommand(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	for _, tc := range []struct {
		name string
		args []string
		body string
		code int
		out  string
		errs string
	}{
		{"template", []string{"--template", `{"value":{{json .body.n}},"type":"{{.type}}"}`}, `{"n":[1]}`, 0, `"value":[1]`, ""},
		{"own code", []string{"--template", `{"code":404,"description":"no {{.body.n}}"}`}, `{"n":1}`, 1, `"code":404`, "no 1"},
		{"no object", []string{"--template", `[]`}, `{}`, 1, `"code":500`, "not a JSON object"},
		{"command", []string{"--", "sh", "-c", `cat >&2; printf '{"value":"%s"}' "$MESSAGE_TYPE"`}, `{"n":1}`, 0, `"value":"create"`, ""},
		{"failing command", []string{"--", "sh", "-c", "echo first >&2; echo out of order >&2; exit 3"}, `{}`, 1, `"code":500`, "out of order"},
		{"slow command", []string{"--limit", "50ms", "--parallel", "2", "--", "sh", "-c", "sleep 1000"}, `{}`, 1, `"code":408`, "longer than 50ms"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stop := startReply(t, p, tc.args...)
			code, out, text := command(t, nil, "request", p.bobURL, tc.body, "--bus-addr", p.alice.BusAddr, "--from", p.aliceURL)
			if code != tc.code || !contains(out, tc.out) || !contains(text, tc.errs) {
				t.Errorf("exit %d, %s%s", code, out, text)
			}
			stop()
		})
	}
}

// An answer from an address that is not registered is refused, and that is told.
func TestReplyOfAnAddressThatIsNotRegistered(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	ctx, cancel := context.WithCancel(testContext(t))
	out, w := io.Pipe()
	over := make(chan int, 1)
	go func() {
		args := []string{"reply", "hyperty://example.org/stray", "--bus-addr", p.bob.BusAddr, "--template", `{}`}
		over <- execute(ctx, args, nil, strings.NewReader(""), w, io.Discard)
		_ = w.Close()
	}()
	var asking sync.WaitGroup
	asking.Go(func() { // refused while nobody listens yet
		for ctx.Err() == nil {
			command(t, nil, "request", "hyperty://example.org/stray", "--bus-addr", p.bob.BusAddr, "--timeout", "1s")
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !contains(line, "not answered", "register the address") {
		t.Errorf("%s, %v", line, err)
	}
	cancel()
	_, _ = io.Copy(io.Discard, out)
	<-over
	asking.Wait()
}

// Whoever waits for an answer is told when there will be none.
func TestReplyIsInterrupted(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	began := filepath.Join(t.TempDir(), "began")
	stop := startReply(t, p, "--", "sh", "-c", "echo > "+began+"; sleep 1000")
	asked := make(chan string, 1)
	go func() {
		_, out, _ := command(t, nil, "request", p.bobURL, "--bus-addr", p.alice.BusAddr)
		asked <- out
	}()
	for ctx := testContext(t); ; {
		if _, err := os.Stat(began); err == nil {
			break
		}
		if !pause(ctx) {
			t.Fatal("the command is not run")
		}
	}
	stop()
	if out := <-asked; !contains(out, `"code":503`, "was stopped") {
		t.Error(out)
	}
}

// A body out of a file and out of the standard input; the response's body, or the
// whole message.
func TestBodies(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	in := listen(t, p.bob, p.bobURL)
	go answerAll(in, p.bob)
	path := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(path, []byte("{\"n\": \"of a file\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bus := []string{"--bus-addr", p.alice.BusAddr}
	if code, out, errs := command(t, nil, with(bus, "request", p.bobURL, "@"+path)...); code != 0 || out != `{"code":200,"value":{"n":"of a file"}}`+"\n" {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	code, out, errs := command(t, nil, with(bus, "request", p.bobURL, "@"+path, "-o", "json")...)
	var m struct{ From string }
	if code != 0 || json.Unmarshal([]byte(out), &m) != nil || m.From != p.bobURL {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	var stdout, stderr strings.Builder
	code = execute(testContext(t), with(bus, "request", p.bobURL, "-"), nil, strings.NewReader(`{"n":"of the input"}`), &stdout, &stderr)
	if code != 0 || !contains(stdout.String(), "of the input") {
		t.Errorf("exit %d, %s%s", code, stdout.String(), stderr.String())
	}
	for range 2 { // taken once: as many answers as there are keys
		code, out, errs := command(t, nil, with(bus, "request", p.bobURL, `{"n":"once"}`, "--key", "everyday-1", "-o", "json")...)
		if code != 0 || !contains(out, "once") || contains(out, `"flow"`) {
			t.Errorf("exit %d, %s%s", code, out, errs)
		}
	}
	if code, _, errs := command(t, nil, with(bus, "post", p.bobURL, "@"+path+".missing")...); code != exitUsage || !contains(errs, "body: open") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if err := os.Truncate(path, 5<<20); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := command(t, nil, with(bus, "post", p.bobURL, "@"+path)...); code != exitFailed || !contains(errs, "larger than") {
		t.Errorf("exit %d, %s", code, errs)
	}
	code, _, errs = command(t, nil, with(bus, "request", "hyperty://example.org/nobody", "-o", "json")...)
	if code != exitFailed || !json.Valid([]byte(errs)) || !contains(errs, `{"code":404,"description":`) {
		t.Errorf("exit %d, %s", code, errs)
	}
}
