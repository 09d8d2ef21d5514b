package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// lines are connections of a client, which can be cut; gRPC reads them into memory that is
// spoiled when it is given back.
type lines struct {
	mu   sync.Mutex
	open []net.Conn
}

func (l *lines) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		_ = c.Close()
	}
	l.open = nil
}

// over attaches an application over lines.
func (h *house) over(l *lines) *client.Bus {
	conn, err := grpc.NewClient("passthrough:///door",
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			c, err := h.busDoor.dial(ctx, addr)
			if err == nil {
				l.mu.Lock()
				l.open = append(l.open, c)
				l.mu.Unlock()
			}
			return c, err
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()), experimental.WithBufferPool(codec.Buffers),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(rpc.MaxFrame), grpc.MaxCallSendMsgSize(rpc.MaxFrame)))
	if err != nil {
		h.t.Fatal(err)
	}
	c, err := client.New(client.Config{Conn: conn, Name: "test", Log: quiet()})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx)
	}()
	h.t.Cleanup(func() {
		cancel()
		<-done
		_ = conn.Close()
	})
	return c
}

// sealed is the body of a message that can be checked.
type sealed struct {
	From, Fill string
	N          int
	Sum        uint32
}

func seal(from string, n, fill int) *pb.Message {
	s := sealed{From: from, N: n, Fill: strings.Repeat(string(rune('a'+n%26)), fill)}
	s.Sum = crc32.ChecksumIEEE(fmt.Append(nil, s.From, s.N, s.Fill))
	body, _ := json.Marshal(s)
	return &pb.Message{Type: "event", From: from, To: carol, Body: body}
}

// broken tells what is wrong with a sealed message.
func broken(m *pb.Message) (s sealed, err error) {
	if err := json.Unmarshal(m.Body, &s); err != nil {
		return s, err
	}
	if m.To == carol && s.From != m.From || s.Sum != crc32.ChecksumIEEE(fmt.Append(nil, s.From, s.N, s.Fill)) || m.Type != "event" || len(m.Id) == 0 {
		return s, errors.New("it is not as it was sent")
	}
	return s, nil
}

// Of messages of all sizes, each comes once and in its turn, with the bytes that were sent,
// though memory is used again everywhere and streams break.
func TestMessagesAreWholeWhateverMemoryTheyAreIn(t *testing.T) {
	for name, keeps := range map[string]bool{"lent": false, "kept": true} {
		t.Run(name, func(t *testing.T) { sendInAnyMemory(t, keeps) })
	}
}

func sendInAnyMemory(t *testing.T, keeps bool) {
	h := newHouse(t, Limits{FullTime: time.Minute}) // a slow machine refuses nothing
	const each = 400
	var there lines
	receiver := h.over(&there)
	var mu sync.Mutex
	last := map[string]int{}
	var kept, copies []*pb.Message
	came := make(chan struct{}, 2*each)
	handle := func(ctx context.Context, m *pb.Message) {
		if message.IsResponse(m) { // to what was sent on, at the end
			return
		}
		s, err := broken(m)
		if err != nil {
			t.Errorf("%.200v: %v", m, err)
			return
		}
		mu.Lock()
		if s.N <= last[s.From] {
			t.Errorf("%d came after %d", s.N, last[s.From])
		}
		last[s.From] = s.N
		if keeps && len(kept) < 500 {
			kept, copies = append(kept, m), append(copies, proto.CloneOf(m))
		}
		mu.Unlock()
		on := proto.CloneOf(m)
		on.To, on.From, on.Origin, on.Number, on.Id = alice, carol, nil, 0, ""
		if s.N%5 == 0 {
			on.Body = m.Body // sent from what is lent
			if err := receiver.Send(ctx, on); err != nil {
				t.Error(err)
			}
		}
		came <- struct{}{}
	}
	senders := []string{alice + "/1", alice + "/2"}
	ends := []*lines{{}, {}}
	if _, err := h.over(&lines{}).Listen(h.ctx, alice, func(_ context.Context, m *pb.Message) {
		if _, err := broken(m); err != nil {
			t.Errorf("sent on: %.200v: %v", m, err)
		}
	}, client.Borrowed()); err != nil {
		t.Fatal(err)
	}
	var opts []client.ListenOption
	if !keeps {
		opts = append(opts, client.Borrowed())
	}
	if _, err := receiver.Listen(h.ctx, carol, handle, opts...); err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	for i, from := range senders {
		a := h.over(ends[i])
		sending.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			sizes := []int{10, 60, 300, 3000, 14_000, 17_000, 40_000, 200_000, 260_000}
			for n := 1; n <= each; n++ {
				fill := sizes[0]
				if k := r.IntN(40); k < len(sizes) {
					fill = sizes[k]
				}
				if err := a.Send(h.ctx, seal(from, n, fill)); err != nil {
					t.Error(err)
					return
				}
				if r.IntN(300) == 0 {
					ends[i].cut()
				}
				if r.IntN(300) == 0 {
					there.cut()
				}
			}
		})
	}
	for n := range 2 * each {
		select {
		case <-came:
		case <-h.ctx.Done():
			t.Fatalf("%d came", n)
		}
	}
	sending.Wait()
	for i := range kept {
		if !proto.Equal(kept[i], copies[i]) {
			t.Fatalf("%.200v was not kept", kept[i])
		}
	}
}

// The listener of an address is another one again and again, to which messages are lent or
// not. What is handled is whole and in its turn; what was for one that is gone is refused.
func TestListenersThatBorrowComeAndGo(t *testing.T) {
	h := newHouse(t, Limits{})
	receiver, sender := h.over(&lines{}), h.over(&lines{})
	var mu sync.Mutex
	var kept, copies []*pb.Message
	listen := func(keeps bool) (l *client.Listener, took chan struct{}) {
		var opts []client.ListenOption
		if !keeps {
			opts = append(opts, client.Borrowed())
		}
		took, last := make(chan struct{}, 1), 0
		l, err := receiver.Listen(h.ctx, carol, func(_ context.Context, m *pb.Message) {
			s, err := broken(m)
			if err != nil || s.N <= last {
				t.Errorf("behind %d came %.200v: %v", last, m, err)
			}
			last = s.N
			mu.Lock()
			defer mu.Unlock()
			if keeps && len(kept) < 1000 {
				kept, copies = append(kept, m), append(copies, proto.CloneOf(m))
			}
			select {
			case took <- struct{}{}:
			default:
			}
		}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return l, took
	}
	stop, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			fill := []int{10, 10, 10, 10, 10, 10, 10, 3000, 20_000, 10, 100_000}[n%11]
			if err := sender.Send(h.ctx, seal(alice, n, fill)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for n := range 30 {
		l, took := listen(n%2 == 0)
		for range n % 7 {
			select {
			case <-took:
			case <-h.ctx.Done():
				t.Fatal("nothing came")
			}
		}
		if err := l.Close(h.ctx); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-over
	mu.Lock()
	defer mu.Unlock()
	for i := range kept {
		if !proto.Equal(kept[i], copies[i]) {
			t.Fatalf("%.200v was not kept", kept[i])
		}
	}
}

// What gRPC has to send stays as it is until that is done, whatever happens meanwhile to the
// messages: they are settled, become posts, are posted again.
func TestFramesStayUntilTheyAreSent(t *testing.T) {
	check(t, Limits{FullTime: 5 * time.Second, Refusals: 10_000}, func(t *testing.T, l Limits, window uint32, sequels bool, acts []act) string {
		c := newCouple(t, l, window, true, sequels)
		defer c.end()
		var sending []mem.BufferSlice
		var want [][]byte
		for i, a := range acts {
			a.does(c)
			synctest.Wait() // for timers
			for f, _ := c.sender.take(); f != nil; f, _ = c.sender.take() {
				continue
			}
			c.listener.frame.Leaves = &c.listener.leaves
			for f, _ := c.listener.take(); f != nil; f, _ = c.listener.take() {
				parts, err := codec.GRPC{}.Marshal(f)
				if err != nil {
					t.Fatal(err)
				}
				sending, want = append(sending, parts), append(want, parts.Materialize())
			}
			for len(sending) > 0 && (len(sending) > 10 || i == len(acts)-1) {
				if got := sending[0].Materialize(); string(got) != string(want[0]) {
					return fmt.Sprintf("after %v: a frame was changed while it was sent", acts[:i+1])
				}
				sending[0].Free()
				sending, want = sending[1:], want[1:]
			}
		}
		if n := c.listener.leaves.Load(); n != 0 {
			return fmt.Sprintf("after %v: %d bytes have not been let go of", acts, n)
		}
		return ""
	})
}
