package nodestub

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"weak"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

func testOutbox(l Limits) *outbox { return newOutbox(l.orDefaults(), newMetrics(nil)) }

func fill(t *testing.T, o *outbox, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := o.put(t.Context(), codec.Bare(numbered(i, alice, bob))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBatchesAreBounded(t *testing.T) {
	o := testOutbox(Limits{})
	fill(t, o, 0, message.MaxFrames+1)
	if b := o.batch(); b != nil {
		t.Fatalf("a held queue gave %d messages", len(b))
	}
	o.open()
	if b := o.batch(); len(b) != message.MaxFrames {
		t.Errorf("a batch of %d", len(b))
	}
	o.sent(message.MaxFrames)
	large := numbered(100, alice, bob)
	large.Body = make([]byte, 2*frameBytes)
	if err := o.put(t.Context(), codec.Bare(large)); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if b := o.batch(); len(b) != 1 {
			t.Errorf("batch %d has %d messages; a large one goes alone", i, len(b))
		}
		o.sent(1)
	}
	if o.batch() != nil || o.bytes != 0 {
		t.Errorf("%d bytes are left", o.bytes)
	}
}

func TestWhatWasNotSentComesAgainFirst(t *testing.T) {
	o := testOutbox(Limits{})
	o.open()
	fill(t, o, 0, 10)
	o.batch()
	o.sent(4)
	o.hold()
	fill(t, o, 10, 12)
	o.open()
	b := o.batch()
	if len(b) != 8 || b[0].Message().Id != "4" || b[7].Message().Id != "11" {
		t.Errorf("the batch is %v", b)
	}
}

func TestRefusedQueueSparesWhatIsInFlight(t *testing.T) {
	o := testOutbox(Limits{})
	o.open()
	fill(t, o, 0, 3)
	o.batch()
	fill(t, o, 3, 5)
	if drained := o.refuse(errStubClosed); len(drained) != 2 || drained[0].Message().Id != "3" {
		t.Errorf("drained %v", drained)
	}
	if rest := o.sent(2); len(rest) != 1 || rest[0].Message().Id != "2" {
		t.Errorf("after the writer %v is refused", rest)
	}
	if err := o.put(t.Context(), codec.Bare(numbered(9, alice, bob))); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("put gave %v", err)
	}
	if o.bytes != 0 || len(o.queue) != 0 {
		t.Errorf("%d bytes in %d messages are left", o.bytes, len(o.queue))
	}
}

func TestFullQueueHoldsBackWhileTheSessionIsUp(t *testing.T) {
	size := proto.Size(numbered(0, alice, bob))
	for name, limits := range map[string]Limits{"messages": {QueueMessages: 2}, "bytes": {QueueBytes: 2 * size}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := testOutbox(limits)
				o.open()
				fill(t, o, 0, 2)
				put := func(ctx context.Context) <-chan error {
					done := make(chan error, 1)
					go func() {
						done <- o.put(ctx, codec.Bare(&pb.Message{Id: "1", Type: "ping", From: alice, To: bob}))
					}()
					synctest.Wait()
					return done
				}
				waiting := put(t.Context())
				if len(waiting) > 0 {
					t.Fatalf("a full queue gave %v", <-waiting)
				}
				o.batch()
				o.sent(1)
				if err := <-waiting; err != nil {
					t.Errorf("with room again: %v", err)
				}
				waiting = put(t.Context())
				o.hold()
				if err := <-waiting; fault.CodeOf(err) != fault.TooMany {
					t.Errorf("when the session is lost: %v", err)
				}
				o.open()
				waiting = put(t.Context())
				o.refuse(errStubClosed)
				if err := <-waiting; fault.CodeOf(err) != fault.Unavailable {
					t.Errorf("when the stub closes: %v", err)
				}
			})
		})
	}
}

func TestLargestMessageFitsAnEmptyQueue(t *testing.T) {
	o := testOutbox(Limits{QueueBytes: 10})
	fill(t, o, 0, 1)
	if err := o.put(t.Context(), codec.Bare(numbered(1, alice, bob))); fault.CodeOf(err) != fault.TooMany {
		t.Errorf("a second one: %v", err)
	}
}

// What has left is not kept by the memory of the queue, which would be bound by nothing.
func TestWhatHasLeftIsNotKept(t *testing.T) {
	o := testOutbox(Limits{})
	o.open()
	put := func(m *pb.Message) weak.Pointer[pb.Message] {
		if err := o.put(t.Context(), codec.Bare(m)); err != nil {
			t.Fatal(err)
		}
		return weak.Make(m)
	}
	left := put(numbered(1, alice, bob))
	put(numbered(2, alice, bob))
	refused := put(numbered(3, alice, bob))
	o.batch()
	o.sent(1)
	if runtime.GC(); left.Value() != nil {
		t.Error("what was sent is still there")
	}
	o.inFlight = 1
	o.refuse(errStubClosed)
	if runtime.GC(); refused.Value() != nil {
		t.Error("what was refused is still there")
	}
	runtime.KeepAlive(o)
}
