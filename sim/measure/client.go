package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/coder/websocket"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/sim/sample"
)

// runtimeClient is a runtime's session with a Message Node, on a connection of its
// own. One goroutine uses it.
type runtimeClient struct {
	number int
	token  string
	send   func(batch ...*pb.Message) error
	read   func() ([]*pb.Message, error)
	close  func()
	ids    int64
	queued []*pb.Message
}

// dialGRPC connects as a nodestub does.
func dialGRPC(ctx context.Context, number int, addr string) (*runtimeClient, error) {
	conn, err := rpc.Dial(addr, rpc.Security{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &runtimeClient{number: number, close: func() { cancel(); _ = conn.Close() }}
	stream, err := pb.NewMessageNodeClient(conn).Connect(ctx, grpc.WaitForReady(true))
	if err != nil {
		c.close()
		return nil, err
	}
	c.send = func(batch ...*pb.Message) error {
		return stream.Send(&pb.MessageNodeConnectRequest{Messages: batch})
	}
	c.read = func() ([]*pb.Message, error) {
		resp, err := stream.Recv()
		return resp.GetMessages(), err
	}
	return c, nil
}

// dialWebSocket connects as an older peer does.
func dialWebSocket(ctx context.Context, number int, addr string) (*runtimeClient, error) {
	conn, _, err := websocket.Dial(ctx, "ws://"+addr+"/ws", nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1)
	c := &runtimeClient{number: number, close: func() { _ = conn.CloseNow() }}
	c.send = func(batch ...*pb.Message) error {
		for _, m := range batch {
			frame, err := message.AppendJSON(nil, m)
			if err != nil {
				return err
			}
			if err := conn.Write(ctx, websocket.MessageText, frame); err != nil {
				return err
			}
		}
		return nil
	}
	c.read = func() ([]*pb.Message, error) {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			return nil, err
		}
		m, err := message.ParseJSON(frame)
		return []*pb.Message{m}, err
	}
	return c, nil
}

// next message.
func (c *runtimeClient) next() (*pb.Message, error) {
	for len(c.queued) == 0 {
		var err error
		if c.queued, err = c.read(); err != nil {
			return nil, err
		}
	}
	m := c.queued[0]
	c.queued = c.queued[1:]
	return m, nil
}

// ask sends a request and waits for its answer, which must be a 200.
func (c *runtimeClient) ask(typ, from, to string, body any) (*pb.Message, error) {
	c.ids++
	m := &pb.Message{Id: message.NumberID(c.ids), Type: typ, From: from, To: to}
	if body != nil {
		m.Body = message.MarshalBody(body)
	}
	if err := c.send(m); err != nil {
		return nil, err
	}
	for {
		answer, err := c.next()
		if err != nil {
			return nil, err
		}
		if answer.Id != m.Id || !message.IsResponse(answer) {
			continue
		}
		var b struct{ Code int }
		if err := json.Unmarshal(answer.Body, &b); err != nil || b.Code != 200 {
			return nil, fault.New(fault.Internal, "%s %s: %s", typ, to, answer.Body)
		}
		return answer, nil
	}
}

// open opens the session, or re-opens it with its token.
func (c *runtimeClient) open() error {
	typ, from := "open", sample.URL(c.number)
	if c.token != "" {
		typ, from = "re-open", from+"/"+c.token
	}
	answer, err := c.ask(typ, from, address.Session, map[string][]string{"flow": {message.FlowV1}})
	if err != nil {
		return err
	}
	var body struct{ RuntimeToken string }
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		return err
	}
	if body.RuntimeToken != "" {
		c.token = body.RuntimeToken
	}
	return nil
}

func (c *runtimeClient) own(path string) string { return sample.URL(c.number) + path }

func (c *runtimeClient) subscribe(addresses ...string) error {
	_, err := c.ask(message.Subscribe, c.own("/sm"), address.SubscriptionManager(sample.Domain), map[string]any{"resources": addresses})
	return err
}

// registry asks the domain registry.
func (c *runtimeClient) registry(typ, resource string, value json.RawMessage) error {
	body := map[string]any{}
	if resource != "" {
		body["resource"] = resource
	}
	if value != nil {
		body["value"] = value
	}
	_, err := c.ask(typ, c.own("/registry"), address.DomainRegistry(sample.Domain), body)
	if err != nil {
		return fmt.Errorf("runtime %d: %w", c.number, err)
	}
	return nil
}
