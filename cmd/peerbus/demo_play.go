package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// result is one message that Bob has got.
type result struct {
	number  int
	latency time.Duration
	path    string
}

// Paths that a message can take.
const (
	relayed = "Message Node"
	direct  = "data channel"
)

// demoBody is the body of the demo's messages.
type demoBody struct {
	Number int   `json:"number"`
	Sent   int64 `json:"sent"` // Unix time in nanoseconds
}

// play posts a message a moment from Alice and takes them at Bob's, until the
// time is over and all have come or a while has passed.
func (st *stage) play(ctx context.Context, p *printer, s *demoSettings) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listening, err := pb.NewMessageBusClient(st.bob.Bus).Listen(ctx, &pb.ListenRequest{Addresses: []string{st.to}})
	if err != nil {
		return err
	}
	if _, err := listening.Header(); err != nil {
		return err
	}
	p.steps.start(st.alice.URL, st.bob.URL)
	results, live := make(chan result), make(chan time.Time, 1)
	go st.receive(listening, results)
	go st.watch(ctx, live)

	st.began = time.Now()
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	end := time.NewTimer(s.duration)
	defer end.Stop()
	const grace = 5 * time.Second // for the last messages
	var posting error
	st.post(ctx, &posting)
	for {
		select {
		case <-ticker.C:
			p.release()
			st.post(ctx, &posting)
		case r := <-results:
			st.results = append(st.results, r)
			p.say("message %d came over the %s in %.2f ms", r.number, r.path, milliseconds(r.latency))
		case st.live = <-live:
			p.say("Alice's connection to Bob is live.")
		case <-end.C:
			ticker.Stop()
			end.Reset(grace)
			if time.Since(st.began) > s.duration+grace {
				return posting
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if posting != nil || time.Since(st.began) >= s.duration && len(st.results) >= st.sent {
			return posting
		}
	}
}

func (st *stage) post(ctx context.Context, failed *error) {
	number := st.sent + 1
	_, err := pb.NewMessageBusClient(st.alice.Bus).Post(ctx, &pb.PostRequest{
		Wait: pb.Wait_WAIT_ACCEPTED,
		Message: &pb.Message{
			Type: "ping", From: st.from, To: st.to,
			Body: message.MarshalBody(map[string]any{"value": demoBody{Number: number, Sent: time.Now().UnixNano()}}),
		},
	})
	if err != nil {
		*failed = fmt.Errorf("posting message %d: %w", number, err)
		return
	}
	st.sent = number
}

// receive ends with the stream. The path of a message is in its `via`: the stub
// that it came in through.
func (st *stage) receive(listening grpc.ServerStreamingClient[pb.ListenResponse], results chan<- result) {
	for {
		resp, err := listening.Recv()
		if err != nil {
			return
		}
		now := time.Now()
		for _, d := range resp.Deliveries {
			var body struct{ Value demoBody }
			if json.Unmarshal(d.Message.Body, &body) != nil {
				continue
			}
			r := result{number: body.Value.Number, latency: now.Sub(time.Unix(0, body.Value.Sent)), path: pathOf(d.Message)}
			select {
			case results <- r:
			case <-listening.Context().Done():
				return
			}
		}
	}
}

// watch tells when Alice's connection has become live.
func (st *stage) watch(ctx context.Context, live chan<- time.Time) {
	stream, err := pb.NewRegistryClient(st.alice.Registry).WatchConnections(ctx, &pb.WatchConnectionsRequest{})
	if err != nil {
		return
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return
		}
		for _, c := range resp.Connections {
			if c.State == pb.ConnectionState_CONNECTION_STATE_LIVE && c.RemoteRuntimeUrl == st.bob.URL {
				live <- time.Now()
				return
			}
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// counts gives how many messages took each path, and how many did not come.
func (st *stage) counts() (over map[string]int, lost int) {
	over, seen := map[string]int{}, map[int]bool{}
	for _, r := range st.results {
		over[r.path]++
		seen[r.number] = true
	}
	return over, st.sent - len(seen)
}

// verdict says what of the main job did not happen.
func (st *stage) verdict() error {
	over, lost := st.counts()
	switch {
	case len(st.results) == 0:
		return fault.New(fault.Internal, "no message came")
	case st.results[0].path != relayed:
		return fault.New(fault.Internal, "the first message did not come over the Message Node")
	case st.live.IsZero():
		return fault.New(fault.Internal, "the connection did not become live")
	case over[direct] == 0:
		return fault.New(fault.Internal, "no message came over the data channel")
	case lost != 0:
		return fault.New(fault.Internal, "%d of %d messages were lost", lost, st.sent)
	case len(st.results) != st.sent:
		return fault.New(fault.Internal, "%d messages came twice", len(st.results)-st.sent)
	}
	return nil
}
