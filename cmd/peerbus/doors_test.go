package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/protocol/message"
)

// said is something that one may ask of a runtime, rightly or wrongly, and how to
// say it at each door.
type said interface {
	grpc(ctx context.Context, d doors) error
	rest(d doors) (method, path, contentType, body string)
	cli(t *testing.T, d doors) []string
}

// doors are those of one runtime.
type doors struct {
	runtime  *local.Runtime
	bus      pb.MessageBusClient
	registry pb.RegistryClient
}

func doorsOf(r *local.Runtime) doors {
	return doors{r, pb.NewMessageBusClient(r.Bus), pb.NewRegistryClient(r.Registry)}
}

// answer is what a door says of a mistake.
type answer struct {
	Code        int    `json:"code"`
	Description string `json:"description"`
	Field       string `json:"field"`
}

// atEach makes a mistake at each door.
func (d doors) atEach(t *testing.T, s said) (grpc, rest, cli answer) {
	t.Helper()
	f := fault.From(s.grpc(testContext(t), d))
	if f == nil {
		t.Fatal("gRPC takes it")
	}
	return answer{int(f.Code), f.Description, f.Field}, d.overHTTP(t, s), d.commanded(t, s)
}

// overHTTP reads the answer out of the error's body, or out of the response that was
// waited for; the status says its code as well.
func (d doors) overHTTP(t *testing.T, s said) (a answer) {
	t.Helper()
	method, path, kind, body := s.rest(d)
	req, err := http.NewRequestWithContext(testContext(t), method, "http://"+d.runtime.HTTPAddr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 400 {
		t.Fatalf("REST takes it: %s", resp.Status)
	}
	text, err := io.ReadAll(resp.Body)
	if err == nil && strings.Contains(string(text), `"type":"response"`) {
		var m struct{ Body answer }
		err = json.Unmarshal(text, &m)
		a = m.Body
	} else if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil || a.Code != resp.StatusCode {
		t.Errorf("REST answers %s with %s", resp.Status, text)
	}
	return a
}

// commanded runs the command. Its exit code tells a wrong call from what went wrong.
func (d doors) commanded(t *testing.T, s said) (a answer) {
	t.Helper()
	args := append(s.cli(t, d), "-o", "json")
	code, out, errs := command(t, nil, args...)
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &a); err != nil {
		t.Fatalf("%v: exit %d, %s%s", args, code, out, errs)
	}
	want := exitFailed
	if a.Code == 400 {
		want = exitUsage
	}
	if code != want {
		t.Errorf("exit %d of %v, want %d", code, args, want)
	}
	return a
}

// resultOf is the error of a response that was waited for.
func resultOf(resp *pb.PostResponse, err error) error {
	if err == nil && resp.Response != nil {
		_, err = message.Result(resp.Response)
	}
	return err
}
