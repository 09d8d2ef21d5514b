package engine

import (
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/fault"
)

func TestURLs(t *testing.T) {
	for urls, want := range map[string]string{
		"":                               "",
		"nats://n:4222":                  "",
		"nats://a:4222, tls://b,wss://c": "",
		"n:4222":                         "",
		"n":                              "",
		"nats://user:secret@n:4222":      "",
		",":                              "no server",
		"natz://n:4222":                  "natz://",
		"nats://a,http://b":              "http://b",
		"nats://:4222":                   "no host",
		"nats://n:x":                     "not a URL",
		"natz://user:secret@n":           "natz://user:xxxxx@n",
		"natz://secret@n":                "natz://xxxxx@n",
	} {
		err := CheckURL(urls)
		if want == "" && err == nil {
			continue
		}
		if fault.CodeOf(err) != fault.BadRequest || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", urls, err, want)
		}
	}
}

func TestNoPasswordIsShown(t *testing.T) {
	for urls, want := range map[string]string{
		"nats://user:secret@a:1, b:2": "nats://user:xxxxx@a:1,b:2",
		"user:secret@a:1":             "nats://user:xxxxx@a:1",
		"nats://token@a:1,token@b":    "nats://xxxxx@a:1,nats://xxxxx@b",
	} {
		if got := redacted(urls); got != want {
			t.Errorf("%s is shown as %s", urls, got)
		}
	}
}
