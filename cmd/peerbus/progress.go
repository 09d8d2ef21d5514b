package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/rpc"
)

// Bounds of the progress bar.
const (
	meteredFrom = 256 << 10 // bytes of a message that is worth a bar
	meterWidth  = 30        // columns
	meterEvery  = 100 * time.Millisecond
)

// meter shows how much of a large message the bus has taken, while it does. It
// counts the bytes that the connection has written.
type meter struct {
	w       io.Writer // nil for none
	total   int64
	written atomic.Int64
}

// newMeter makes a meter for a message; one that shows nothing, unless the message
// is large and somebody looks on.
func newMeter(w io.Writer, m *pb.Message) *meter {
	t := &meter{total: int64(proto.Size(m))}
	if f, ok := w.(*os.File); ok && t.total >= meteredFrom && term.IsTerminal(int(f.Fd())) {
		t.w = w
	}
	return t
}

func (t *meter) dialOptions() []grpc.DialOption {
	if t.w == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := rpc.DialAddr(ctx, addr)
		return meteredConn{conn, &t.written}, err
	})}
}

// meteredConn counts what is written.
type meteredConn struct {
	net.Conn
	written *atomic.Int64
}

func (c meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// show draws until what it returns is called, which wipes the line.
func (t *meter) show(ctx context.Context, wait pb.Wait) (end func()) {
	if t.w == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var drawing sync.WaitGroup
	drawing.Go(func() {
		tick := time.NewTicker(meterEvery)
		defer tick.Stop()
		for {
			_, _ = fmt.Fprint(t.w, wipe, t.fitting(meterLine(t.written.Load(), t.total, wait)))
			select {
			case <-tick.C:
			case <-ctx.Done():
				_, _ = fmt.Fprint(t.w, wipe)
				return
			}
		}
	})
	return func() {
		cancel()
		drawing.Wait()
	}
}

// fitting is what of a line a narrow terminal has room for: what goes on in its next line
// would not be wiped. Its last column stays empty, as some begin a new line behind it.
func (t *meter) fitting(line string) string {
	f, ok := t.w.(*os.File)
	if !ok {
		return line
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || len(line) < width {
		return line
	}
	return line[:width-1]
}

// wipe goes back to the beginning of a terminal's line and empties it.
const wipe = "\r\x1b[K"

// waitText says what a post that has left waits for.
var waitText = map[pb.Wait]string{
	pb.Wait_WAIT_ACCEPTED:  "waiting to be accepted",
	pb.Wait_WAIT_DELIVERED: "waiting for delivery",
	pb.Wait_WAIT_RESPONSE:  "waiting for the response",
}

// meterLine is the bar, or what is waited for once all has been written.
func meterLine(written, total int64, wait pb.Wait) string {
	if written >= total {
		return fmt.Sprintf("%s sent, %s", mebibytes(total), waitText[wait])
	}
	full := int(written * meterWidth / total)
	return fmt.Sprintf("[%s%s] %3d%%  %s of %s", strings.Repeat("#", full), strings.Repeat(" ", meterWidth-full),
		written*100/total, mebibytes(written), mebibytes(total))
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
