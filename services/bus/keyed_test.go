package bus

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func keyedRequest(to string, wait pb.Wait) *pb.PostRequest {
	return &pb.PostRequest{Message: numbered(alice, to, 1), Wait: wait, IdempotencyKey: "k"}
}

func TestAKeyIsTakenOnce(t *testing.T) {
	h := newHouse(t, Limits{})
	bus := pb.NewMessageBusClient(h.conn())
	got := h.listen(h.app(), carol)
	for range 3 {
		if _, err := bus.Post(h.ctx, keyedRequest(carol, pb.Wait_WAIT_ACCEPTED)); err != nil {
			t.Fatal(err)
		}
	}
	if m := h.next(got); string(m.Origin) != "k" || m.Number != 1 {
		t.Errorf("%v came", m)
	}
	h.end()
	if len(got) != 0 {
		t.Error("it came again")
	}
}

// Nobody gets the outcome of a message that is not the same.
func TestAKeyIsOfOneMessage(t *testing.T) {
	h := newHouse(t, Limits{})
	bus := pb.NewMessageBusClient(h.conn())
	h.echo(h.app(), carol)
	if _, err := bus.Post(h.ctx, keyedRequest(carol, pb.Wait_WAIT_RESPONSE)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*pb.PostRequest){
		"from": func(r *pb.PostRequest) { r.Message.From = carol },
		"body": func(r *pb.PostRequest) { r.Message.Body = []byte(`{}`) },
		"wait": func(r *pb.PostRequest) { r.Wait = pb.Wait_WAIT_ACCEPTED },
	} {
		req := keyedRequest(carol, pb.Wait_WAIT_RESPONSE)
		change(req)
		if _, err := bus.Post(h.ctx, req); fault.CodeOf(err) != fault.Conflict {
			t.Errorf("with another %s: %v", name, err)
		}
	}
	traced := keyedRequest(carol, pb.Wait_WAIT_RESPONSE)
	traced.Message.Trace = &pb.Trace{Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	if _, err := bus.Post(h.ctx, traced); err != nil {
		t.Errorf("in another trace: %v", err)
	}
}

func TestARefusedKeyMayBeTriedAgain(t *testing.T) {
	h := newHouse(t, Limits{})
	bus := pb.NewMessageBusClient(h.conn())
	req := keyedRequest(carol, pb.Wait_WAIT_ACCEPTED)
	h.registry.with(func(r *registry) { r.refused[alice] = true })
	if _, err := bus.Post(h.ctx, req); fault.CodeOf(err) != fault.Forbidden {
		t.Fatalf("%v", err)
	}
	h.registry.with(func(r *registry) { r.refused = map[string]bool{} })
	got := h.listen(h.app(), carol)
	if _, err := bus.Post(h.ctx, req); err != nil {
		t.Fatal(err)
	}
	h.next(got)
}

// A caller that has left may come for the response; a large one is not kept.
func TestAResponseWaitsForItsCaller(t *testing.T) {
	for name, tc := range map[string]struct {
		size int
		code fault.Code
	}{"small": {10, fault.OK}, "large": {keptResponse, fault.Unavailable}} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, Limits{})
			bus := pb.NewMessageBusClient(h.conn())
			app := h.app()
			got := h.listen(app, carol)
			ctx, leave := context.WithCancel(h.ctx)
			left := make(chan error)
			go func() {
				_, err := bus.Post(ctx, keyedRequest(carol, pb.Wait_WAIT_RESPONSE))
				left <- err
			}()
			m := h.next(got)
			leave()
			if err := <-left; err == nil {
				t.Fatal("it did not leave")
			}
			answer := message.Answer(m, fault.OK, nil)
			answer.Resource = &pb.Resource{MimeType: "text/plain", Content: []byte(strings.Repeat("x", tc.size))}
			if err := app.Post(h.ctx, answer); err != nil {
				t.Fatal(err)
			}
			resp, err := bus.Post(h.ctx, keyedRequest(carol, pb.Wait_WAIT_RESPONSE))
			if fault.CodeOf(err) != tc.code || tc.code == fault.OK && resp.Response == nil {
				t.Errorf("%v, %v", resp, err)
			}
			h.bus.keyed.mu.Lock()
			defer h.bus.keyed.mu.Unlock()
			if c, _ := h.bus.keyed.calls.get("k"); proto.Size(c.outcome) > keptResponse+1000 {
				t.Errorf("%d bytes are kept", proto.Size(c.outcome))
			}
		})
	}
}

func TestTwoWithOneKeyAtTheSameTime(t *testing.T) {
	k := newKeyed(8)
	first, mine, _ := k.begin(keyedRequest(carol, pb.Wait_WAIT_ACCEPTED))
	second, yours, _ := k.begin(keyedRequest(carol, pb.Wait_WAIT_ACCEPTED))
	if !mine || yours || first != second {
		t.Fatalf("%t, %t, %p, %p", mine, yours, first, second)
	}
	first.end(&pb.Outcome{Code: 200})
	first.end(&pb.Outcome{Code: 500}) // the first one counts
	if _, err := second.await(t.Context(), pb.Wait_WAIT_ACCEPTED); err != nil {
		t.Error(err)
	}
}
