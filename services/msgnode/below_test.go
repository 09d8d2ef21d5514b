package msgnode

import (
	"fmt"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func TestAround(t *testing.T) {
	d := newDirectory()
	for _, runtime := range []string{"hyperty-runtime://d/r", "hyperty-runtime://d/own", "hyperty-runtime://d/r1", "runtime://d/r", "hyperty-runtime://e/r"} {
		d.sessions[runtime] = Session{Runtime: runtime, Token: "t", Flow: true}
	}
	d.sessions["hyperty-runtime://d/plain"] = Session{Runtime: "hyperty-runtime://d/plain", Token: "t"}
	for to, want := range map[string]string{
		"hyperty-runtime://d/r/x":                "hyperty-runtime://d/r",
		"hyperty-runtime://d/r/x/y":              "hyperty-runtime://d/r",
		"hyperty-runtime://d/r1/x":               "hyperty-runtime://d/r1",
		"runtime://d/r/x":                        "runtime://d/r",
		"hyperty-runtime://d/r":                  "",
		"hyperty-runtime://d/r12/x":              "", // no runtime with a session
		"hyperty-runtime://d/rx":                 "",
		"hyperty-runtime://d/plain/x":            "", // has not announced flows
		"hyperty-runtime://d/r/p2phandler/1":     "",
		"hyperty-runtime://d/r/p2prequester/1/x": "",
		"hyperty-runtime://d/r/p2pconnection/1":  "",
		"hyperty-runtime://d/r/protostub/e":      "",
		"hyperty://d/r/x":                        "",
		"hyperty-runtime://d/own/x":              "", // it comes from there
		"publisher":                              "",
		"":                                       "",
		strings.Repeat("x", 3000):                "",
	} {
		var got string
		for _, s := range d.around(nil, to, "hyperty-runtime://d/own") {
			got += s.Runtime
		}
		if got != want {
			t.Errorf("%s is around %q, want %q", got, to, want)
		}
	}
}

// What nobody has subscribed below the URL of a runtime that knows flows comes to it in a
// flow, and as a response; a request of a peer that knows none gets the 404 of the wire
// contract.
func TestWhatIsBelowARuntime(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		p, q := dial(t).openFlow(), dial(t).openFlow()
		to := q.runtime + "/x"
		t.Run("of a flow", func(t *testing.T) {
			p.send(flowFrame("1", "response", p.runtime+"/y", to, p.runtime, 9))
			p.send(flowFrame("2", "ping", p.runtime+"/y", to, p.runtime, 10))
			for _, want := range []string{"9", "10"} {
				if m := q.receive(); m.To != to || m.Flow["sequence"] != want {
					t.Errorf("%+v", m)
				}
			}
		})
		t.Run("a response", func(t *testing.T) {
			plain := dial(t).open()
			plain.send(frame("3", "response", plain.runtime+"/y", to, ""))
			if m := q.receive(); m.To != to || string(m.ID) != "3" {
				t.Errorf("%+v", m)
			}
		})
		t.Run("no request without a flow", func(t *testing.T) {
			p.must(404, "ping", p.runtime+"/y", to, "")
			q.nothing()
		})
		t.Run("nothing for a runtime that has not announced flows", func(t *testing.T) {
			plain := dial(t).open()
			p.send(flowFrame("4", "ping", p.runtime+"/y", plain.runtime+"/x", p.runtime, 11))
			if m := p.receive(); m.code() != 404 || m.Flow["refused"] != true {
				t.Errorf("%+v", m)
			}
			p.send(frame("5", "response", p.runtime+"/y", plain.runtime+"/x", ""))
			p.nothing()
			plain.nothing()
		})
		t.Run("nothing for a runtime whose session is closed", func(t *testing.T) {
			gone := dial(t).openFlow()
			gone.must(200, "close", gone.runtime, "mn:/session", "")
			p.send(flowFrame("6", "ping", p.runtime+"/y", gone.runtime+"/x", p.runtime, 12))
			if m := p.receive(); m.code() != 404 || m.Flow["refused"] != true {
				t.Errorf("%+v", m)
			}
		})
		t.Run("who has subscribed it has it alone", func(t *testing.T) {
			late := newRuntime()
			p.subscribe(late + "/x") // nobody has that runtime yet
			r := dial(t).openWith(late, `{"flow":["peerbus.v1"]}`)
			q.send(flowFrame("7", "ping", q.runtime+"/y", late+"/x", q.runtime, 13))
			if m := p.receive(); m.To != late+"/x" {
				t.Errorf("%+v", m)
			}
			r.nothing()
			q.must(403, "subscribe", q.runtime+"/ua", sm, fmt.Sprintf(`{"resources":[%q]}`, late+"/y"))
		})
		t.Run("it is kept while the session is lost", func(t *testing.T) {
			r := dial(t).openFlow()
			b.away(t, r)
			p.send(flowFrame("8", "response", p.runtime+"/y", r.runtime+"/x", p.runtime, 14))
			p.nothing()
			back := dial(t).openWith(r.runtime, `{"flow":["peerbus.v1"]}`)
			if m := back.receive(); m.To != r.runtime+"/x" || m.Flow["sequence"] != "14" {
				t.Errorf("%+v", m)
			}
		})
	})
}

// A request and a response that come in one frame go different ways.
func TestAFrameToWhatIsBelowARuntime(t *testing.T) {
	b, rt := start(t), newRuntime()
	q := b.dial(t, "websocket").openFlow()
	stream := rawStream(t, b, frame("0", "open", rt, "mn:/session", ""))
	m := func(id, typ string) *pb.Message {
		return &pb.Message{Id: id, Type: typ, From: rt + "/y", To: q.runtime + "/x"}
	}
	in := []*pb.Message{m("1", "ping"), m("2", "response"), m("3", "response"), m("4", "ping")}
	if err := stream.Send(&pb.MessageNodeConnectRequest{Messages: in}); err != nil {
		t.Fatal(err)
	}
	if s := answers(t, stream, 3); s != "0 200, 1 404, 4 404" {
		t.Error(s)
	}
	for _, want := range []string{"2", "3"} {
		if m := q.receive(); string(m.ID) != want {
			t.Errorf("%+v, want %s", m, want)
		}
	}
}

// The session may be at another replica.
func TestWhatIsBelowARuntimeElsewhere(t *testing.T) {
	e := openEngine(t, "")
	defer e.Close()
	one, two := startOn(t, e), startOn(t, e)
	defer one.stop()
	defer two.stop()
	p, q := one.dial(t, "grpc").openFlow(), two.dial(t, "grpc").openFlow()
	p.send(flowFrame("1", "response", p.runtime+"/y", q.runtime+"/x", p.runtime, 9))
	if m := q.receive(); m.To != q.runtime+"/x" || m.Flow["sequence"] != "9" {
		t.Errorf("%+v", m)
	}
}
