package datasync_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/story"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/message"
)

// world is one object with its reporter and its observer, and the messages
// that are under way.
type world struct {
	reporter *datasync.Reporter
	observer *datasync.Observer
	now      time.Time
	last     *pb.Message
}

func (w *world) tick() time.Time {
	w.now = w.now.Add(time.Second)
	return w.now
}

// TestStories plays testdata/*.txt: a line that begins with `>` is an event,
// what follows is its trace.
func TestStories(t *testing.T) {
	story.Play(t, "testdata/*.txt", func(_ *testing.T, s string) string { return play(s) })
}

func play(story string) string {
	w := &world{now: time.Unix(0, 0)}
	var out strings.Builder
	for line := range strings.Lines(story) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&out, line)
			for _, l := range w.event(strings.TrimPrefix(line, "> ")) {
				fmt.Fprintln(&out, "  "+l)
			}
		case !strings.HasPrefix(line, "  "):
			fmt.Fprintln(&out, line)
		}
	}
	return out.String()
}

func (w *world) event(text string) []string {
	name, rest, _ := strings.Cut(text, " ")
	switch name {
	case "report":
		var err error
		w.reporter, err = datasync.NewReporter(datasync.Object{
			URL: "connection://a/1", Name: datasync.ConnectionName, Schema: datasync.ConnectionSchema("a"),
			Reporter: "hyperty-runtime://a/1/p2prequester/1", Runtime: "hyperty-runtime://a/1",
		}, json.RawMessage(rest), w.now)
		return failed(err)
	case "invite":
		return w.show(w.reporter.Invite("hyperty-runtime://b/1/p2phandler/1"), nil)
	case "set", "append":
		attribute, value, _ := strings.Cut(rest, " ")
		change := w.reporter.Set
		if name == "append" {
			change = w.reporter.Append
		}
		return w.show(change(attribute, json.RawMessage(value), w.tick()))
	case "answer":
		var data any
		if rest != "" {
			data = json.RawMessage(rest)
		}
		return w.show(w.reporter.Answer(w.last, data))
	case "delete":
		return w.show(w.reporter.Delete(rest), nil)
	default:
		return w.observe(name, rest)
	}
}

func (w *world) observe(name, rest string) []string {
	switch name {
	case "invited":
		m := w.last
		if rest != "" {
			m = &pb.Message{Id: "1", Type: "create", From: "connection://a/1/subscription", To: "h", Body: []byte(rest)}
		}
		inv, err := datasync.ParseInvitation(m)
		if err != nil {
			return failed(err)
		}
		w.observer = datasync.NewObserver(inv)
		return append([]string{"from " + inv.Source}, w.state()...)
	case "subscribe":
		return w.show(w.observer.Subscribe("hyperty-runtime://b/1/sm", "hyperty-runtime://b/1/p2phandler/1", nil), nil)
	case "read":
		return w.show(w.observer.Read("hyperty-runtime://b/1/sm"), nil)
	case "reset":
		m := w.last
		if rest != "" {
			m = &pb.Message{Body: []byte(rest)}
		}
		gap, err := w.observer.Reset(m)
		return append([]string{fmt.Sprintf("gap %v", gap)}, append(failed(err), w.state()...)...)
	case "update":
		m := w.last
		if rest != "" {
			m = &pb.Message{Body: []byte(rest)}
		}
		outcome, err := w.observer.Update(m)
		return append([]string{outcome.String()}, append(failed(err), w.state()...)...)
	default:
		return []string{"no such event"}
	}
}

func (w *world) state() []string {
	o := w.observer.Object()
	c := o.Connection()
	raw, _ := json.Marshal(o.Data)
	description := "no description"
	if c.Description != nil {
		description = c.Description.Type + " " + c.Description.SDP
	}
	return []string{fmt.Sprintf("version %d, %s, %d candidates, data %s", o.Version, description, len(c.Candidates), raw)}
}

func (w *world) show(m *pb.Message, err error) []string {
	if err != nil {
		return failed(err)
	}
	m.Id = "7"
	w.last = m
	text, err := message.JSON(m)
	if err != nil {
		return failed(err)
	}
	return []string{string(text)}
}

func failed(err error) []string {
	if err == nil {
		return nil
	}
	return []string{"error " + err.Error()}
}
