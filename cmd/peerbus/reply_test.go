package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func question() *pb.Message {
	return &pb.Message{Id: `"1"`, Type: "read", From: "hyperty://a/1", To: "hyperty://b/1", Body: []byte(`{"n":1}`)}
}

func TestResponseTo(t *testing.T) {
	for _, tc := range []struct {
		body string
		err  error
		code fault.Code
		want string
	}{
		{`{"value":1}`, nil, 200, `{"code":200,"value":1}`},
		{`{"code":403,"description":"no"}`, nil, 403, `"description":"no"`},
		{`{"code":"no"}`, nil, 500, "no status code"},
		{`{"code":7}`, nil, 500, "no status code"},
		{`null`, nil, 500, "not a JSON object"},
		{`{} {}`, nil, 500, "not a JSON object"},
		{"", fault.New(fault.Timeout, "late"), 408, "late"},
		{"", errors.New("odd"), 500, "odd"},
	} {
		resp := responseTo(question(), func() ([]byte, error) { return []byte(tc.body), tc.err })
		code, _ := message.Result(resp)
		if code != tc.code || !strings.Contains(string(resp.Body), tc.want) || resp.To != "hyperty://a/1" {
			t.Errorf("%s, %v: %s", tc.body, tc.err, resp.Body)
		}
	}
}

func TestTemplates(t *testing.T) {
	for text, want := range map[string]string{
		`{"v":{{json .body}},"t":"{{.type}}"}`: `{"v":{"n":1},"t":"read"}`,
		`{"v":{{json .body.missing}}}`:         `{"v":null}`,
	} {
		answer, err := templateAnswer(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := answer(context.Background(), question()); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	if _, err := templateAnswer("{{"); fault.CodeOf(err) != fault.BadRequest {
		t.Error(err)
	}
	answer, err := templateAnswer(`{{index .body 1}}`)
	if err == nil {
		_, err = answer(context.Background(), question())
	}
	if fault.CodeOf(err) != fault.Internal {
		t.Error(err)
	}
}

func TestCommandsThatAnswer(t *testing.T) {
	for _, tc := range []struct {
		argv []string
		code fault.Code
		want string
	}{
		{[]string{"cat"}, fault.OK, `"body":{"n":1}`},
		{[]string{"sh", "-c", `echo "$MESSAGE_FROM $MESSAGE_TO $MESSAGE_ID"`}, fault.OK, `hyperty://a/1 hyperty://b/1 1` + "\n"},
		{[]string{"false"}, fault.Internal, "exit status 1"},
		{[]string{"sh", "-c", "exec cat /dev/zero"}, fault.TooLarge, "more than"},
	} {
		answer, err := commandAnswer(tc.argv, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		got, err := answer(context.Background(), question())
		if err != nil {
			got = []byte(err.Error())
		}
		if fault.CodeOf(err) != tc.code || !strings.Contains(string(got), tc.want) {
			t.Errorf("%v: %s, %v", tc.argv, got, err)
		}
	}
	if _, err := commandAnswer([]string{"there-is-no-such-command"}, time.Minute); fault.CodeOf(err) != fault.BadRequest {
		t.Error(err)
	}
}

func TestTailKeepsTheLastLine(t *testing.T) {
	for text, want := range map[string]string{"": "", "a": "a", "a\nb\n": "b", "a\nb \r\n\n": "b", strings.Repeat("x", 99) + "\nlast": "last"} {
		w := tail{most: 10}
		_, _ = w.Write([]byte(text))
		if got := w.lastLine(); got != want || len(w.data) > 10 {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// What is printed of the table: changes alone, also after the registry was away.
func TestConnectionLog(t *testing.T) {
	entry := func(id string, state pb.ConnectionState) *pb.Connection {
		return &pb.Connection{Id: id, RemoteRuntimeUrl: "hyperty-runtime://b/" + id, State: state}
	}
	const live, failed = pb.ConnectionState_CONNECTION_STATE_LIVE, pb.ConnectionState_CONNECTION_STATE_FAILED
	var w bytes.Buffer
	l := connectionLog{w: &w, known: map[string]string{}}
	for _, step := range []struct {
		first bool
		resp  *pb.WatchConnectionsResponse
	}{
		{true, &pb.WatchConnectionsResponse{Connections: []*pb.Connection{entry("1", live), entry("2", live)}}},
		{false, &pb.WatchConnectionsResponse{Connections: []*pb.Connection{entry("1", live)}}},
		{false, &pb.WatchConnectionsResponse{Connections: []*pb.Connection{entry("2", failed)}}},
		{true, &pb.WatchConnectionsResponse{Connections: []*pb.Connection{entry("2", failed), entry("3", live)}}},
		{false, &pb.WatchConnectionsResponse{Removed: []string{"2"}}},
	} {
		if err := l.take(step.resp, step.first, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	const at, is = "00:00:00.000  ", "  unspecified  "
	want := at + "1  hyperty-runtime://b/1" + is + "live  by unspecified  -\n" +
		at + "2  hyperty-runtime://b/2" + is + "live  by unspecified  -\n" +
		at + "2  hyperty-runtime://b/2" + is + "failed  by unspecified  -\n" +
		at + "3  hyperty-runtime://b/3" + is + "live  by unspecified  -\n" +
		at + "1  removed\n" + at + "2  removed\n"
	if w.String() != want {
		t.Errorf("got\n%swant\n%s", w.String(), want)
	}
}

func TestErrorText(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"post"}, "peerbus: post: "},
		{[]string{"post", "-o", "json"}, `{"code":400,"description":"post: accepts`},
		{[]string{"post", "x", "--wait", "long", "-o", "json"}, `"field":"wait"}`},
		{[]string{"status", "-o", "json", "--registry-addr", "127.0.0.1:1"}, `{"code":503,"description":"nothing answers at 127.0.0.1:1`},
		{[]string{"reply", "x", "-o", "json"}, `{"code":400,`},
		{[]string{"reply", "x", "--template", "{{", "-o", "json"}, `"field":"template"}`},
		{[]string{"completion", "xsh"}, `"xsh"`},
	} {
		if code, _, errs := command(t, nil, tc.args...); code == 0 || !strings.Contains(errs, tc.want) {
			t.Errorf("%v: exit %d, %s", tc.args, code, errs)
		}
	}
}
