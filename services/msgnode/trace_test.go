package msgnode

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

// The node writes down that it relayed a message or refused it, over both transports,
// and its answer goes on with the trace.
func TestHopsOfTheNode(t *testing.T) {
	both(t, func(t *testing.T, _ *bed, dial func(*testing.T) *peer) {
		p, q := dial(t).open(), dial(t).open()
		send := func(to string) {
			p.send(fmt.Sprintf(`{"id":1,"type":"ping","from":%q,"to":%q,"trace":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","record":true,"hops":[{"service":"x","at":"y","event":"posted","time":"7"}]}}`, p.runtime+"/x", to))
		}
		send(q.runtime + "/sm")
		if m := q.receive(); m.hops() != "x at y posted, msgnode at "+domain+" relayed" || m.Trace["traceparent"] == nil {
			t.Errorf("%+v", m)
		}
		send("hyperty://" + domain + "/nobody")
		if m := p.receive(); m.code() != 404 || m.hops() != "x at y posted, msgnode at "+domain+" refused" {
			t.Errorf("%+v", m)
		}
		p.post("ping", p.runtime+"/x", q.runtime+"/sm", "")
		if m := q.receive(); m.Trace != nil {
			t.Errorf("%+v", m)
		}
	})
}

func (m msg) hops() string {
	list, _ := m.Trace["hops"].([]any)
	var way []string
	for _, one := range list {
		h, _ := one.(map[string]any)
		way = append(way, fmt.Sprint(h["service"], " at ", h["at"], " ", h["event"]))
	}
	return strings.Join(way, ", ")
}

// order is a transport and a log: it keeps which of the two was first.
type order struct {
	slog.Handler
	got []string
}

func (o *order) Enabled(context.Context, slog.Level) bool { return true }

func (o *order) Handle(_ context.Context, line slog.Record) error {
	o.got = append(o.got, line.Message)
	return nil
}

func (o *order) name() string { return "fake" }

func (o *order) receive(context.Context) ([]received, error) { return nil, errGone }

func (o *order) send(_ context.Context, batch codec.Messages) error {
	for _, c := range batch {
		o.got = append(o.got, "sent "+c.Head().Type)
	}
	return nil
}

// A client acts on a message at once, and has lines of its own behind that of the node.
// What the node says for itself is not relayed.
func TestRelayedIsWrittenBeforeTheClientHasIt(t *testing.T) {
	o := &order{}
	limits := DefaultLimits()
	n := &Node{log: slog.New(o), life: t.Context(), limits: limits, metrics: newMetrics()}
	s := &socket{transport: o, queue: newQueue(&limits, func() {})}
	s.queue.offer(&pb.Message{Type: "response"})
	for _, kind := range []string{"a", "b"} {
		l := newLetter(codec.Bare(&pb.Message{Type: kind}), "")
		if over, why := s.queue.push([]letter{l}, Session{}); len(over) > 0 {
			t.Fatal(why)
		}
	}
	s.queue.goLive()
	n.running.Add(1)
	n.write(t.Context(), s)
	if got := fmt.Sprint(o.got); got != "[relayed relayed sent response sent a sent b]" {
		t.Error(got)
	}
}
