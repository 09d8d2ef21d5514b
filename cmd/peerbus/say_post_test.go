package main

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// posting is a post.
type posting struct {
	to, from, kind, id, key string
	body                    string
	resource                []byte
	wait, timeout           string
}

// wrongPost makes a post, in which the mistake is made.
func wrongPost(mistake func(*posting)) posting {
	p := posting{to: "hyperty://example.org/anyone", kind: "create", id: "7", body: `{"value":1}`}
	mistake(&p)
	return p
}

func (p posting) grpc(ctx context.Context, d doors) error {
	req := &pb.PostRequest{
		Message:        &pb.Message{Id: message.StringID(p.id), Type: p.kind, From: p.from, To: p.to, Body: []byte(p.body)},
		IdempotencyKey: p.key, Wait: pb.Wait_WAIT_ACCEPTED,
	}
	if p.resource != nil {
		req.Message.Resource = &pb.Resource{Content: p.resource, MimeType: "application/octet-stream"}
	}
	if p.wait != "" {
		var err error
		if req.Wait, err = message.ParseWait(p.wait); err != nil {
			req.Wait = 99 // gRPC has no other way to say so
		}
	}
	if p.timeout != "" {
		req.Timeout = protoDuration(p.timeout)
	}
	return resultOf(d.bus.Post(ctx, req))
}

// protoDuration is a duration, or one that is none.
func protoDuration(text string) *durationpb.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return &durationpb.Duration{Seconds: 1, Nanos: -1}
	}
	return durationpb.New(d)
}

func (p posting) rest(doors) (method, path, contentType, body string) {
	q := url.Values{}
	for name, value := range map[string]string{"wait": p.wait, "timeout": p.timeout, "idempotency_key": p.key} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if p.resource != nil {
		for name, value := range map[string]string{"to": p.to, "from": p.from, "type": p.kind, "id": p.id} {
			q.Set(name, value)
		}
		return "POST", "/v1/messages?" + q.Encode(), "application/octet-stream", string(p.resource)
	}
	m := map[string]any{"id": p.id, "type": p.kind, "to": p.to}
	if p.from != "" {
		m["from"] = p.from
	}
	if p.body != "" {
		m["body"] = json.RawMessage(p.body)
	}
	text, _ := json.Marshal(m)
	return "POST", "/v1/messages?" + q.Encode(), "application/json", string(text)
}

func (p posting) cli(t *testing.T, d doors) []string {
	args := []string{
		"post", "--bus-addr=" + d.runtime.BusAddr, "--registry-addr=" + d.runtime.RegistryAddr,
		"--type=" + p.kind, "--id=" + p.id, "--from=" + p.from, "--key=" + p.key,
	}
	if p.wait != "" {
		args = append(args, "--wait="+p.wait)
	}
	if p.timeout != "" {
		args = append(args, "--timeout="+p.timeout)
	}
	if p.resource != nil {
		args = append(args, "--resource="+fileWith(t, p.resource))
	}
	args = append(args, p.to)
	switch {
	case p.resource != nil || p.body == "":
		return args
	case len(p.body) > 64<<10:
		return append(args, "@"+fileWith(t, []byte(p.body)))
	}
	return append(args, p.body)
}

func fileWith(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// listening is a wish to have what comes for an address.
type listening struct{ address string }

func (l listening) grpc(ctx context.Context, d doors) error {
	stream, err := d.bus.Listen(ctx, &pb.ListenRequest{Addresses: []string{l.address}})
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

func (l listening) rest(doors) (method, path, contentType, body string) {
	return "GET", "/v1/messages?" + url.Values{"address": {l.address}}.Encode(), "", ""
}

func (l listening) cli(_ *testing.T, d doors) []string {
	return []string{"listen", l.address, "--bus-addr=" + d.runtime.BusAddr}
}
