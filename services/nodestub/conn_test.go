package nodestub

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// webSocketTo connects to a handler's WebSocket.
func webSocketTo(t *testing.T, limits Limits, h func(context.Context, *websocket.Conn)) conn {
	t.Helper()
	var handlers sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		h(ctx, c)
	}))
	t.Cleanup(func() {
		cancel()
		handlers.Wait()
		srv.Close()
	})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s := &Stub{cfg: Config{HTTPClient: &http.Client{Transport: transport}, Limits: limits}.orDefaults()}
	c, err := s.dialWebSocket(within(t), "ws"+strings.TrimPrefix(srv.URL, "http"), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestWebSocketThatDoesNotAnswerPingsIsDead(t *testing.T) {
	c := webSocketTo(t, Limits{PingTime: time.Millisecond, PingTimeout: 200 * time.Millisecond},
		func(ctx context.Context, _ *websocket.Conn) { <-ctx.Done() }) // never reads
	if _, err := c.Receive(within(t)); err == nil || !strings.Contains(err.Error(), "did not answer a ping") {
		t.Errorf("Receive gave %v", err)
	}
}

func TestWebSocketThatIsNotReadIsNotDead(t *testing.T) {
	c := webSocketTo(t, Limits{PingTime: time.Hour, PingTimeout: 100 * time.Millisecond},
		func(ctx context.Context, node *websocket.Conn) { // answers pings
			for ctx.Err() == nil {
				if _, _, err := node.Read(ctx); err != nil {
					return
				}
			}
		})
	ws := c.(*webSocketConn)
	if !ws.answers(within(t)) {
		t.Error("it is taken for dead while nobody reads from it")
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.Receive(t.Context())
		done <- err
	}()
	for ws.reads.Load() == 0 {
		runtime.Gosched()
	}
	if !ws.answers(within(t)) {
		t.Error("it is taken for dead though it answers")
	}
	c.Close()
	if err := receive(t, done, "end of Receive"); err == nil {
		t.Error("Receive gave a message")
	}
}

func TestWebSocketFramesThatAreNoMessages(t *testing.T) {
	c := webSocketTo(t, Limits{}, func(ctx context.Context, node *websocket.Conn) {
		for _, f := range []struct {
			typ  websocket.MessageType
			text string
		}{
			{websocket.MessageBinary, `{"id":1,"type":"ping","from":"a","to":"b"}`},
			{websocket.MessageText, `rubbish`},
			{websocket.MessageText, `{"id":1,"type":"ping","from":"a","to":"b","body":7}`},
			{websocket.MessageText, `{"id":9,"type":"ping","from":"a","to":"b"}`},
		} {
			_ = node.Write(ctx, f.typ, []byte(f.text))
		}
		_ = node.Close(websocket.StatusNormalClosure, "bye")
	})
	for i := range 4 {
		got, err := c.Receive(within(t))
		if err != nil || len(got) != 1 || (got[0].Message() != nil) != (i == 3) {
			t.Errorf("frame %d: %v, %v", i, got, err)
		}
	}
	if _, err := c.Receive(within(t)); err == nil || !strings.Contains(err.Error(), "bye") {
		t.Errorf("at the end: %v", err)
	}
}

func TestWebSocketFrameOverTheLimitEndsTheConnection(t *testing.T) {
	c := webSocketTo(t, Limits{Frame: 100}, func(ctx context.Context, node *websocket.Conn) {
		_ = node.Write(ctx, websocket.MessageText, make([]byte, 101))
		<-ctx.Done()
	})
	if _, err := c.Receive(within(t)); err == nil {
		t.Error("it was taken")
	}
}

func TestWebSocketDialErrorTellsTheStatus(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s := &Stub{cfg: Config{HTTPClient: &http.Client{Transport: transport}}.orDefaults()}
	_, err := s.dialWebSocket(within(t), "ws"+strings.TrimPrefix(srv.URL, "http"), patience)
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
}

// stuckNode takes nothing.
type stuckNode struct {
	pb.UnimplementedMessageNodeServer
}

func (stuckNode) Connect(stream grpc.BidiStreamingServer[pb.MessageNodeConnectRequest, pb.MessageNodeConnectResponse]) error {
	<-stream.Context().Done()
	return nil
}

func TestGRPCNodeThatTakesNothingIsGivenUp(t *testing.T) {
	lis := serveMemory(t, func(r grpc.ServiceRegistrar) { pb.RegisterMessageNodeServer(r, stuckNode{}) })
	s := &Stub{cfg: Config{
		Dial:   func(string, string) (grpc.ClientConnInterface, error) { return lis.Dial() },
		Limits: Limits{SendTimeout: 20 * time.Millisecond},
	}.orDefaults()}
	c, err := s.dialGRPC(within(t), endpoint{grpc: "node"}, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := numbered(1, alice, bob)
	m.Body = make([]byte, message.MaxSize/2)
	for err == nil {
		_, err = c.Send(within(t), codec.Messages{codec.Bare(m)})
	}
	if _, err := c.Receive(within(t)); err == nil || !strings.Contains(err.Error(), "took nothing") {
		t.Errorf("Receive gave %v", err)
	}
}

func TestGRPCNodeThatIsNotThere(t *testing.T) {
	s := &Stub{cfg: Config{}.orDefaults()}
	if _, err := s.dialGRPC(within(t), endpoint{grpc: "127.0.0.1:1"}, patience); err == nil {
		t.Error("it is connected")
	}
	s.cfg.Dial = func(string, string) (grpc.ClientConnInterface, error) {
		return grpc.NewClient("passthrough:///nowhere", grpc.WithTransportCredentials(insecureCredentials()),
			grpc.WithContextDialer(neverConnects))
	}
	if _, err := s.dialGRPC(within(t), endpoint{grpc: "x"}, 10*time.Millisecond); err == nil || !strings.Contains(err.Error(), "no connection within") {
		t.Errorf("%v", err)
	}
}
