package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/local"
)

// newDoors is newPair with a gateway for each runtime.
func newDoors(t *testing.T, layout local.Layout, flags ...string) *pair {
	t.Helper()
	p := newPair(t, layout, layout)
	for _, r := range []*local.Runtime{p.alice, p.bob} {
		var err error
		if layout == local.Separate {
			err = p.system.StartGateway(r, flags...)
		}
		if err == nil {
			err = p.system.GatewayReady(testContext(t), r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// curl runs the program of that name, and gives what it prints. It fails the test
// when the answer is a refusal.
func curl(t *testing.T, r *local.Runtime, path string, args ...string) string {
	t.Helper()
	args = append([]string{"-sS", "--fail-with-body", "http://" + r.HTTPAddr + path}, args...)
	out, err := exec.CommandContext(testContext(t), "curl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("curl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// curlStream is a curl that reads Server-Sent Events.
type curlStream struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Reader
	errs  bytes.Buffer
	last  string // id of the last event read
}

// curlEvents starts a curl, and waits for the first event id. last is where the one
// before has left off.
func curlEvents(t *testing.T, r *local.Runtime, address, last string) *curlStream {
	t.Helper()
	args := []string{"-sSN", "-G", "-H", "Accept: text/event-stream", "--data-urlencode", "address=" + address}
	if last != "" {
		args = append(args, "-H", "Last-Event-ID: "+last)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	s := &curlStream{t: t, cmd: exec.CommandContext(ctx, "curl", append(args, "http://"+r.HTTPAddr+"/v1/messages")...)}
	s.cmd.Stderr = &s.errs
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewReader(out)
	t.Cleanup(func() {
		cancel()
		s.kill()
	})
	for s.last == "" {
		s.line()
	}
	return s
}

// kill ends the process, whatever it is doing.
func (s *curlStream) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// line reads a line, and gives the data that it has.
func (s *curlStream) line() (data string) {
	s.t.Helper()
	line, err := s.lines.ReadString('\n')
	if err != nil {
		s.t.Fatalf("the stream of curl ended: %q, %v %s", line, err, &s.errs)
	}
	if id, ok := strings.CutPrefix(line, "id: "); ok {
		s.last = strings.TrimSpace(id)
	}
	data, _ = strings.CutPrefix(line, "data: ")
	if data == line {
		return ""
	}
	return data
}

// value is that of the next message.
func (s *curlStream) value() int {
	s.t.Helper()
	for {
		data := s.line()
		if data == "" {
			continue
		}
		var m struct {
			Type string
			Body struct{ Value *int }
		}
		if err := json.Unmarshal([]byte(data), &m); err != nil || m.Type != "ping" || m.Body.Value == nil {
			s.t.Fatalf("%s is no message of ours: %v", data, err)
		}
		return *m.Body.Value
	}
}

// curl alone registers, posts and receives between two runtimes; its stream is cut again
// and again while messages come, and goes on with no gap and nothing twice.
func TestCurlAlone(t *testing.T) {
	t.Parallel()
	for name, layout := range map[string]local.Layout{"all in one": local.AllInOne, "separate processes": local.Separate} {
		t.Run(name, func(t *testing.T) {
			p := newDoors(t, layout)
			ada, ben := curlRegisters(t, p.alice, "ada"), curlRegisters(t, p.bob, "ben")
			s := curlEvents(t, p.bob, ben, "")
			const cuts, batch = 5, 40
			posting := make(chan error, 1)
			go func() { posting <- curlPosts(p.alice, ada, ben, cuts*batch) }()
			for n := range cuts * batch {
				if got := s.value(); got != n {
					t.Fatalf("message %d came after %d", got, n-1)
				}
				if n%batch == batch/2 {
					s.kill()
					s = curlEvents(t, p.bob, ben, s.last)
				}
			}
			if err := <-posting; err != nil {
				t.Fatal(err)
			}
			curlAsks(t, p, ada, ben)
		})
	}
}

func curlRegisters(t *testing.T, r *local.Runtime, user string) string {
	t.Helper()
	var answer struct{ Registration struct{ URL string } }
	text := curl(t, r, "/v1/hyperties", "-d", `{"user":"user://example.org/`+user+`"}`)
	if err := json.Unmarshal([]byte(text), &answer); err != nil || !strings.HasPrefix(answer.Registration.URL, "hyperty://example.org/") {
		t.Fatalf("registered %s: %v", text, err)
	}
	return answer.Registration.URL
}

// curlPosts has one curl post numbered messages, one after the other.
func curlPosts(r *local.Runtime, from, to string, messages int) error {
	var config bytes.Buffer
	for n := range messages {
		if n > 0 {
			config.WriteString("next\n")
		}
		body := fmt.Sprintf(`{"type":"ping","from":%q,"to":%q,"body":{"value":%d}}`, from, to, n)
		fmt.Fprintf(&config, "url = \"http://%s/v1/messages\"\ndata = %q\nsilent\nshow-error\nfail-with-body\n", r.HTTPAddr, body)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "curl", "--config", "-")
	cmd.Stdin = &config
	out, err := cmd.CombinedOutput()
	if err != nil || bytes.Count(out, []byte(`"accepted":true`)) != messages {
		return fmt.Errorf("curl: %w\n%s", err, out)
	}
	return nil
}

// curlAsks uses what else there is.
func curlAsks(t *testing.T, p *pair, ada, ben string) {
	t.Helper()
	waitConnection(t, p.alice, p.bob.URL, live)
	for path, want := range map[string]string{
		"/v1/connections":            p.bob.URL,
		"/v1/runtime":                p.alice.URL,
		"/v1/hyperties":              ada,
		"/v1/resolve?address=" + ben: "ROUTE_REASON_CONNECTION",
		"/healthz":                   "ok",
		"/readyz":                    "ok",
		"/metrics":                   "peerbus_gateway_requests_total",
		"/openapi.json":              "/v1/messages",
		"/v1/connections/" + pathOfURL(p.bob.URL): "CONNECTION_STATE_LIVE",
	} {
		if text := curl(t, p.alice, path); !strings.Contains(text, want) {
			t.Errorf("%s: %s", path, text)
		}
	}
	image := curl(t, p.alice, "/v1/messages?wait=delivered&from="+ada+"&to="+ben, "-H", "Content-Type: image/png", "--data-binary", "\x89PNG")
	if !strings.Contains(image, `"delivered":true`) {
		t.Errorf("posting content: %s", image)
	}
	curl(t, p.alice, "/v1/hyperties?url="+ada, "-X", "DELETE")
	curl(t, p.alice, "/v1/connections?connection="+p.bob.URL, "-X", "DELETE")
	feed := exec.CommandContext(testContext(t), "curl", "-sSN", "-H", "Accept: text/event-stream", "http://"+p.bob.HTTPAddr+"/v1/connections")
	out, err := feed.StdoutPipe()
	if err == nil {
		err = feed.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(io.LimitReader(out, 7)).ReadString(':'); line != ":" && !strings.HasPrefix(line, "event:") {
		t.Errorf("the feed begins with %q, %v", line, err)
	}
	_ = feed.Process.Kill()
	_ = feed.Wait()
}

// pathOfURL is an address as a part of a path.
func pathOfURL(address string) string { return strings.ReplaceAll(address, "/", "%2F") }
