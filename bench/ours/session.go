package ours

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// SessionsRole is a crowd of runtimes' sessions with a Message Node, which do what a
// nodestub does.
const SessionsRole = "node-sessions"

// SessionsConfig says where the Message Node is.
type SessionsConfig struct{ Addr string }

// NewSessions is the Role.
func NewSessions(_ context.Context, cfg SessionsConfig) (worker.Ops, error) {
	return load.CrowdOps(func(n int) load.Session {
		return &session{addr: cfg.Addr, runtime: fmt.Sprintf("hyperty-runtime://%s/session-%d", domainName, n)}
	}), nil
}

// session is one of them.
type session struct {
	addr, runtime, token string
	conn                 *grpc.ClientConn
}

// Open opens the session, or opens it again with its token.
func (s *session) Open(context.Context) (err error) {
	if s.conn, err = rpc.Dial(s.addr, rpc.Security{}); err != nil {
		return err
	}
	stream, err := peerbusv1.NewMessageNodeClient(s.conn).Connect(context.Background()) // as long as the connection
	if err != nil {
		return err
	}
	m := &peerbusv1.Message{Id: message.NumberID(1), Type: "open", From: s.runtime, To: address.Session}
	if s.token != "" {
		m.Type, m.From = "re-open", s.runtime+"/"+s.token
	}
	m.Body = message.MarshalBody(map[string][]string{"flow": {message.FlowV1}})
	if err := stream.Send(&peerbusv1.MessageNodeConnectRequest{Messages: []*peerbusv1.Message{m}}); err != nil {
		return err
	}
	resp, err := stream.Recv()
	if err != nil {
		return err
	}
	return s.opened(resp.GetMessages())
}

// opened takes the answer.
func (s *session) opened(answers []*peerbusv1.Message) error {
	if len(answers) != 1 {
		return fault.New(fault.Internal, "a session was answered with %d messages", len(answers))
	}
	var body struct {
		Code         int
		RuntimeToken string
	}
	if err := json.Unmarshal(answers[0].GetBody(), &body); err != nil || body.Code != int(fault.OK) {
		return fault.New(fault.Internal, "a session was answered with %s", answers[0].GetBody())
	}
	if body.RuntimeToken != "" {
		s.token = body.RuntimeToken
	}
	return nil
}

// Cut closes the connection.
func (s *session) Cut() { _ = s.conn.Close() }
