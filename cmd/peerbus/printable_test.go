package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"hyperty://a/ü 日本":        "hyperty://a/ü 日本",
		"a\nb\r\tc":               `a\u000ab\u000d\u0009c`,
		"\x1b[31mred\u009b0m\x7f": `\u001b[31mred\u009b0m\u007f`,
		"\u202eback\u2028next":    `\u202eback\u2028next`,
		"\xff":                    "\uFFFD",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// What others have sent stays within its line, and does nothing to the terminal.
func TestWhatOthersSendIsOneLine(t *testing.T) {
	m := &pb.Message{
		Id: `"1"`, Type: "read\n\x1b[2J", From: "hyperty://a/1\u009b31m", To: "hyperty://b/1",
		Body:     []byte("{\"n\":\r\n\n1,\"text\":\"\u202e\u009b\"}"),
		Resource: &pb.Resource{Content: []byte("x"), MimeType: "text/x\nforged"},
	}
	resp := responseTo(m, func() ([]byte, error) { return nil, fault.New(fault.Internal, "no\n\x1b[31mforged") })
	for _, asJSON := range []bool{false, true} {
		var listened, replied, responded bytes.Buffer
		(&messagePrinter{w: &listened, json: asJSON, enough: func() {}}).print(context.Background(), m)
		(&replyPrinter{w: &replied, json: asJSON}).print(m, resp, nil)
		_ = printResponse(&responded, resp, bodyOf)
		for name, text := range map[string]string{
			"listen": listened.String(), "reply": replied.String(), "request": responded.String(),
			"error": errorText(fault.New(fault.BadRequest, "no\n\x1b[31mforged"), asJSON) + "\n",
		} {
			line, ended := strings.CutSuffix(text, "\n")
			if !ended || line == "" || printable(line) != line {
				t.Errorf("%s, JSON %v: %q", name, asJSON, text)
			}
			if asJSON && !json.Valid([]byte(line)) {
				t.Errorf("%s is no JSON: %s", name, line)
			}
		}
	}
	var w bytes.Buffer
	if err := table(&w, []string{"A", "B"}, [][]string{{"1\t2\n3", "4"}}); err != nil || strings.Count(w.String(), "\n") != 2 || strings.Contains(w.String(), "1\t") {
		t.Errorf("%q, %v", w.String(), err)
	}
}
