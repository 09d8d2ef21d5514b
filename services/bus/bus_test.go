package bus

import (
	"context"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestPostReachesTheListener(t *testing.T) {
	h := newHouse(t, Limits{})
	a, c := h.app(), h.app()
	got := h.listen(c, carol)
	m := ping(alice, carol)
	m.Body = []byte(`{ "x" : 1.50 }`)
	if err := a.Post(h.ctx, m); err != nil {
		t.Fatal(err)
	}
	if in := h.next(got); string(in.Body) != `{ "x" : 1.50 }` || in.From != alice || in.Id == "" {
		t.Errorf("came as %v", in)
	}
	if n := h.value("delivered_total", "application"); n != 1 {
		t.Errorf("counted %v deliveries", n)
	}
}

func TestAllListenersOfAnAddressGetIt(t *testing.T) {
	h := newHouse(t, Limits{})
	var got []chan *pb.Message
	for range 3 {
		got = append(got, h.listen(h.app(), carol))
	}
	if err := h.app().Post(h.ctx, ping(alice, carol)); err != nil {
		t.Fatal(err)
	}
	for _, g := range got {
		h.next(g)
	}
}

func TestRefusals(t *testing.T) {
	h := newHouse(t, Limits{})
	h.bus.table.grow()
	h.registry.with(func(r *registry) {
		r.routes["hyperty://nowhere.example/x"] = &pb.Route{Code: 404, Description: "no such domain"}
		r.refused["hyperty://b.example/mallory"] = true
	})
	a := h.app()
	h.listen(a, carol)
	for name, tc := range map[string]struct {
		m      *pb.Message
		code   fault.Code
		reason string
	}{
		"type":    {&pb.Message{From: alice, To: carol}, fault.BadRequest, reasonInvalid},
		"to":      {&pb.Message{Type: "ping", From: alice}, fault.BadRequest, reasonInvalid},
		"body":    {&pb.Message{Type: "ping", From: alice, To: carol, Body: []byte("[]")}, fault.BadRequest, reasonInvalid},
		"local":   {ping(alice, "hyperty://a.example/nobody"), fault.NotFound, reasonNoListener},
		"domain":  {ping(alice, "hyperty://nowhere.example/x"), fault.NotFound, reasonNoRoute},
		"sources": {ping("hyperty://b.example/mallory", carol), fault.Forbidden, reasonSource},
	} {
		t.Run(name, func(t *testing.T) {
			before := h.value("refused_total", tc.reason)
			if err := a.Post(h.ctx, tc.m); fault.CodeOf(err) != tc.code {
				t.Errorf("Post gave %v, want %d", err, tc.code)
			}
			if n := h.value("refused_total", tc.reason); n != before+1 {
				t.Errorf("%s counted %v times", tc.reason, n-before)
			}
		})
	}
}

func TestATooLargeMessage(t *testing.T) {
	h := newHouse(t, Limits{})
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	r.sequence = 1
	m := ping(alice, carol)
	m.Resource = &pb.Resource{Content: make([]byte, message.MaxSize)}
	r.send(&pb.AttachRequest{Posts: []*pb.Post{{Sequence: 1, Message: m}}})
	if o := r.outcome(); fault.Code(o.Code) != fault.TooLarge {
		t.Errorf("outcome %v", o)
	}
	r.listen(carol, 0) // the stream goes on
}

func TestRefusalComesAsAResponse(t *testing.T) {
	h := newHouse(t, Limits{})
	h.bus.table.grow()
	a := h.app()
	got := h.listen(a, alice)
	m := numbered(alice, "hyperty://a.example/nobody", 7)
	if err := a.Send(h.ctx, m); err != nil {
		t.Fatal(err)
	}
	in := h.next(got)
	if code, _ := message.Result(in); code != fault.NotFound || in.Id != "7" || in.From != m.To {
		t.Errorf("came as %v", in)
	}
	if !strings.Contains(string(in.Body), `"desc"`) || !strings.Contains(string(in.Body), `"description"`) {
		t.Errorf("body %s", in.Body)
	}
}

func TestAResponseIsNeverAnswered(t *testing.T) {
	h := newHouse(t, Limits{})
	h.bus.table.grow()
	a := h.app()
	got := h.listen(a, alice)
	if err := a.Send(h.ctx, message.Answer(ping("hyperty://a.example/nobody", alice), 200, nil)); err != nil {
		t.Fatal(err)
	}
	if err := a.Post(h.ctx, numbered(carol, alice, 1)); err != nil {
		t.Fatal(err)
	}
	h.until("the refusal", func() bool { return h.value("refused_total", reasonNoListener) == 1 })
	if in := h.next(got); in.Id != "1" {
		t.Errorf("the response was answered: %v", in)
	}
}

// A refusal before the approval of the source does not reach the one whose
// address was used.
func TestAForgedMessageDisturbsNobody(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.with(func(r *registry) { r.refused[alice] = true })
	victim, stub := h.app(), h.stub(pb.Component_COMPONENT_P2P_STUB)
	got, back := h.listen(victim, alice), h.listen(stub, stubURL)
	forged := numbered(alice, carol, 9)
	forged.Via = stubURL
	if err := stub.Send(h.ctx, forged, client.From(&pb.Ingress{RemoteRuntimeUrl: remote})); err != nil {
		t.Fatal(err)
	}
	m := h.next(back)
	if code, _ := message.Result(m); code != fault.Forbidden || m.To != alice || m.Source != remote {
		t.Errorf("the stub got %v", m)
	}
	if len(got) > 0 {
		t.Errorf("the victim got %v", <-got)
	}
}

func (h *house) stub(component pb.Component) *client.Bus {
	c, _ := h.attach(component)
	return c
}

func TestUnaryPost(t *testing.T) {
	h := newHouse(t, Limits{})
	h.bus.table.grow()
	h.echo(h.app(), carol)
	c := pb.NewMessageBusClient(h.conn())
	resp, err := c.Post(h.ctx, &pb.PostRequest{Message: &pb.Message{Type: "read", To: carol}, Wait: pb.Wait_WAIT_RESPONSE})
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := message.Result(resp.Response); code != fault.OK || resp.Response.To != runtimeURL+"/bus" {
		t.Errorf("response %v", resp.Response)
	}
	if _, err := c.Post(h.ctx, &pb.PostRequest{Message: &pb.Message{Type: "read", To: carol}}); err != nil {
		t.Error(err)
	}
	_, err = c.Post(h.ctx, &pb.PostRequest{Message: &pb.Message{Type: "read", To: alice}})
	if status.Code(err) != codes.NotFound {
		t.Errorf("to nobody: %v", err)
	}
	if _, err = c.Post(h.ctx, &pb.PostRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without a message: %v", err)
	}
}

func TestListen(t *testing.T) {
	h := newHouse(t, Limits{})
	c := pb.NewMessageBusClient(h.conn())
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	l, err := c.Listen(ctx, &pb.ListenRequest{Addresses: []string{carol, alice}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Header(); err != nil {
		t.Fatal(err)
	}
	if err := h.app().Post(h.ctx, ping(alice, carol)); err != nil {
		t.Fatal(err)
	}
	resp, err := l.Recv()
	if err != nil || resp.Deliveries[0].Listener != carol {
		t.Errorf("%v, %v", resp, err)
	}
	cancel()
	h.until("the end of the listeners", func() bool { return h.value("listeners", "") == 0 })
	l, err = c.Listen(h.ctx, &pb.ListenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without an address: %v", err)
	}
}

func TestHelloComesFirst(t *testing.T) {
	h := newHouse(t, Limits{})
	call, err := pb.NewMessageBusClient(h.conn()).Attach(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Send(&pb.AttachRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("attached without a hello: %v", err)
	}
}

// Run ends also those streams whose clients take nothing.
func TestRunEndsStuckStreams(t *testing.T) {
	h := newHouse(t, Limits{})
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	r.listen(carol, 16<<20)
	l, err := pb.NewMessageBusClient(h.conn()).Listen(h.ctx, &pb.ListenRequest{Addresses: []string{carol}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Header(); err != nil {
		t.Fatal(err)
	}
	a := h.app()
	m := ping(alice, carol)
	m.Resource = &pb.Resource{Content: make([]byte, message.MaxSize/2)}
	ctx, cancel := context.WithCancel(h.ctx)
	var posting sync.WaitGroup
	posting.Go(func() {
		for a.Send(ctx, m) == nil { // more than gRPC buffers
		}
	})
	h.until("the poster being held", func() bool { return h.value("holds_total", "") > 0 })
	cancel()
	posting.Wait()
	h.end()
	if _, err := pb.NewMessageBusClient(h.conn()).Post(h.ctx, &pb.PostRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("after the end: %v", err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	h := newHouse(t, Limits{Streams: 1})
	h.app()
	call, err := pb.NewMessageBusClient(h.conn()).Attach(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = call.Send(&pb.AttachRequest{Hello: &pb.Hello{}})
	if _, err := call.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a second stream: %v", err)
	}
}

func TestNewRefusesABadConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"runtime":  {RuntimeURL: "r1"},
		"registry": {RuntimeURL: runtimeURL},
	} {
		if _, err := New(cfg); fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}
