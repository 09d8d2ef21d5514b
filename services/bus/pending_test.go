package bus

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestARequestGetsItsResponse(t *testing.T) {
	h := newHouse(t, Limits{})
	h.echo(h.app(), carol)
	a := h.app()
	for range 100 {
		m, err := a.Request(h.ctx, ping(alice, carol))
		if err != nil {
			t.Fatal(err)
		}
		if code, _ := message.Result(m); code != fault.OK || m.From != carol {
			t.Fatalf("response %v", m)
		}
	}
	if n := h.value("requests_total", "answered"); n != 100 {
		t.Errorf("counted %v", n)
	}
}

// Who answers writes the id in the form of its own language; it comes back as it was sent.
func TestAnIDInAnotherForm(t *testing.T) {
	h := newHouse(t, Limits{})
	b, forms := h.app(), map[string]string{`"é/1"`: `"\u00e9\/1"`, `"a<b"`: `"a\u003cb"`, `1.0`: `1`, `1e3`: `1000`, `"\u0041"`: `"A"`}
	_, err := b.Listen(h.ctx, carol, func(ctx context.Context, m *pb.Message) {
		for _, code := range []fault.Code{183, 200} {
			answer := message.Answer(m, code, nil)
			answer.Id = forms[m.Id]
			_ = b.Send(ctx, answer)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	a := h.app()
	provisional := h.listen(a, alice)
	for id, other := range forms {
		request := ping(alice, carol)
		request.Id = id
		if m, err := a.Request(h.ctx, request); err != nil || m.Id != id {
			t.Errorf("%s, answered as %s: %v, %v", id, other, m, err)
		}
		if m := h.next(provisional); m.Id != id {
			t.Errorf("%s, answered as %s: %v", id, other, m)
		}
	}
}

func TestARequestToARemoteGetsItsResponse(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, stubURL)
	stub := h.stub(pb.Component_COMPONENT_P2P_STUB)
	_, err := stub.Listen(h.ctx, stubURL, func(ctx context.Context, m *pb.Message) {
		answer := message.Answer(m, 200, nil)
		answer.Via = stubURL
		_ = stub.Send(ctx, answer, client.From(&pb.Ingress{RemoteRuntimeUrl: remote}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := h.app().Request(h.ctx, ping(alice, bob)); err != nil || m.From != bob {
		t.Errorf("%v, %v", m, err)
	}
	h.registry.with(func(r *registry) {
		if last := r.checked[len(r.checked)-1]; last.From != bob || last.RemoteRuntimeUrl != remote {
			t.Errorf("the response was not checked: %v", r.checked)
		}
	})
}

func TestARequestIsAlwaysAnswered(t *testing.T) {
	h := newHouse(t, Limits{RequestTime: 10 * time.Millisecond})
	h.bus.table.grow()
	r, a := h.raw(pb.Component_COMPONENT_APPLICATION), h.app()
	h.listen(a, carol) // never answers
	request := func(timeout *durationpb.Duration, to string) fault.Code {
		r.sequence++
		r.send(&pb.AttachRequest{Posts: []*pb.Post{{
			Sequence: r.sequence, Message: ping(alice, to), Wait: pb.Wait_WAIT_RESPONSE, Timeout: timeout,
		}}})
		return fault.Code(r.outcome().Code)
	}
	for name, timeout := range map[string]*durationpb.Duration{
		"default": nil, "own": durationpb.New(time.Millisecond), "over": durationpb.New(-time.Second),
	} {
		if code := request(timeout, carol); code != fault.Timeout {
			t.Errorf("%s: %d", name, code)
		}
	}
	if code := request(durationpb.New(10*time.Second), "hyperty://a.example/nobody"); code != fault.NotFound {
		t.Errorf("to nobody: %d", code)
	}
	if n := h.value("requests_open", ""); n != 0 {
		t.Errorf("%v requests are open", n)
	}
}

// The time runs also while the message waits for its route, and the message is
// not delivered afterwards.
func TestARequestTimesOutWhileItWaits(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.hold(bob)
	h.registry.set(bob, nodeURL)
	got := h.listen(h.stub(pb.Component_COMPONENT_NODE_STUB), nodeURL)
	c := pb.NewMessageBusClient(h.conn())
	_, err := c.Post(h.ctx, &pb.PostRequest{
		Message: ping("", bob), Wait: pb.Wait_WAIT_RESPONSE, Timeout: durationpb.New(time.Millisecond),
	})
	if fault.CodeOf(err) != fault.Timeout {
		t.Errorf("Post gave %v", err)
	}
	h.send(h.app(), 1, 2)
	h.until("the line", func() bool { return h.value("waiting_messages", "") == 2 })
	h.registry.release()
	h.expect(got, 1, 2)
}

func TestProvisionalResponsesDoNotEndARequest(t *testing.T) {
	h := newHouse(t, Limits{})
	c, a := h.app(), h.app()
	got := h.listen(a, alice)
	_, err := c.Listen(h.ctx, carol, func(ctx context.Context, m *pb.Message) {
		_ = c.Send(ctx, message.Answer(m, 183, map[string]int{"value": 50}))
		_ = c.Send(ctx, message.Answer(m, 200, nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{alice, "hyperty://a.example/deaf"} {
		m, err := a.Request(h.ctx, ping(from, carol))
		if err != nil {
			t.Fatal(err)
		}
		if code, _ := message.Result(m); code != fault.OK {
			t.Errorf("%s got %v", from, m)
		}
	}
	if code, _ := message.Result(h.next(got)); code != 183 || len(got) != 0 {
		t.Errorf("the listener got %d, and %d more", code, len(got))
	}
}

func TestTheSameRequestTwice(t *testing.T) {
	h := newHouse(t, Limits{Requests: 1})
	got := h.listen(h.app(), carol)
	a := h.app()
	first := make(chan error, 1)
	go func() {
		_, err := a.Request(h.ctx, numbered(alice, carol, 1))
		first <- err
	}()
	asked := h.next(got)
	if _, err := a.Request(h.ctx, numbered(alice, carol, 1)); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("the same one: %v", err)
	}
	if _, err := a.Request(h.ctx, numbered(alice, carol, 2)); fault.CodeOf(err) != fault.TooMany {
		t.Errorf("another one: %v", err)
	}
	if err := h.app().Post(h.ctx, message.Answer(asked, 200, nil)); err != nil {
		t.Error(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestAStreamLeavesNoRequests(t *testing.T) {
	h := newHouse(t, Limits{})
	got := h.listen(h.app(), carol)
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	r.send(&pb.AttachRequest{Posts: []*pb.Post{{Sequence: 1, Message: ping(alice, carol), Wait: pb.Wait_WAIT_RESPONSE}}})
	h.next(got)
	_ = r.call.CloseSend()
	h.until("the end of the request", func() bool { return h.value("requests_open", "") == 0 })
	if n := h.value("requests_total", "abandoned"); n != 1 {
		t.Errorf("counted %v", n)
	}
	if n := sumOf(t, h.bus, "abandoned", outNone, outLocal); n != 1 {
		t.Errorf("%v messages are counted as abandoned", n)
	}
}

func TestOnlyARequestWaits(t *testing.T) {
	h := newHouse(t, Limits{})
	c := pb.NewMessageBusClient(h.conn())
	m := message.Answer(numbered(alice, carol, 1), 200, nil)
	if _, err := c.Post(h.ctx, &pb.PostRequest{Message: m, Wait: pb.Wait_WAIT_RESPONSE}); fault.CodeOf(err) != fault.BadRequest {
		t.Errorf("a response that waits for one: %v", err)
	}
}
