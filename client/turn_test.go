package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
)

// written is a stream that takes what is written.
type written struct {
	grpc.ClientStream
	t      *testing.T
	frames []*pb.AttachRequest
	keeps  bool // as gRPC does until it has written a frame
	broken bool
	during func() // while it is written
}

func (w *written) SendMsg(m any) error {
	if w.broken {
		return errors.New("the stream is broken")
	}
	var req pb.AttachRequest
	encoded, ok := m.(*codec.Encoded)
	if !ok {
		w.t.Fatalf("written is %T", m)
	}
	if err := proto.Unmarshal(encoded.Parts.Materialize(), &req); err != nil {
		w.t.Error(err)
	}
	if !w.keeps {
		encoded.Parts.Free()
	}
	w.frames = append(w.frames, &req)
	if w.during != nil {
		w.during()
	}
	return nil
}

// woken tells whether the writer has something to do, and takes its token.
func (o *outbox) woken() bool {
	select {
	case <-o.wake:
		o.told = false
		return true
	default:
		return false
	}
}

// opened gives an outbox with a stream.
func opened(t *testing.T) (*outbox, *written, *writer) {
	o := newOutbox(DefaultLimits(), newLedger(true, 1<<20, time.Now()))
	s := &written{t: t}
	w := &writer{stream: s}
	o.open(w)
	time.Sleep(time.Second) // of synctest
	return o, s, w
}

func postNow(t *testing.T, o *outbox, body int) {
	t.Helper()
	if err := o.post(t.Context(), postTo("a", body)); err != nil {
		t.Error(err)
	}
}

func TestALonePostIsWrittenByItsPoster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s, _ := opened(t)
		for n := range 3 {
			time.Sleep(calm)
			postNow(t, o, 10)
			if len(s.frames) != n+1 || len(s.frames[n].Posts) != 1 || o.woken() {
				t.Fatalf("after %d posts, %d frames are written", n+1, len(s.frames))
			}
		}
	})
}

func TestThePosterLeavesItToTheWriter(t *testing.T) {
	for name, prepare := range map[string]func(*outbox, *written, *writer){
		"soon after another one":       func(o *outbox, _ *written, _ *writer) { postNow(t, o, 10) },
		"while gRPC has not written":   func(_ *outbox, _ *written, w *writer) { w.held.Add(1) },
		"while somebody writes":        func(o *outbox, _ *written, w *writer) { o.turn.taken = true },
		"while there is no stream":     func(o *outbox, _ *written, w *writer) { o.ended(w) },
		"when the stream has broken":   func(o *outbox, s *written, _ *writer) { s.broken = true; postNow(t, o, 10); time.Sleep(calm) },
		"when there is more to write":  func(o *outbox, _ *written, w *writer) { w.held.Add(1); postNow(t, o, frameBytes); w.held.Add(-1) },
		"when the frame would be long": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, s, w := opened(t)
				body := 10
				if prepare != nil {
					prepare(o, s, w)
				} else {
					body = frameBytes
				}
				o.woken()
				before := len(s.frames)
				postNow(t, o, body)
				if len(s.frames) != before || !o.woken() {
					t.Errorf("%d frames are written, and the writer sleeps", len(s.frames)-before)
				}
			})
		})
	}
}

// A writer that has been told, or is writing, is not told again before it has found nothing.
func TestTheWriterIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, w := opened(t)
		w.held.Add(1)
		postNow(t, o, 10)
		<-o.wake
		postNow(t, o, 10)
		for _, want := range []bool{true, true, false} {
			if len(o.wake) > 0 {
				t.Fatal("it is told again")
			}
			frame := o.take(w)
			if (frame != nil) != want {
				t.Fatalf("it has found something: %t", !want)
			}
			if o.posts.number == 2 {
				postNow(t, o, 10)
			}
			if want {
				o.write(w, frame)
			}
		}
		postNow(t, o, 10)
		if len(o.wake) == 0 {
			t.Error("it is not told")
		}
	})
}

// What is posted while somebody writes is the writer's, who is woken at the end.
func TestTheTurnIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s, w := opened(t)
		s.during = func() {
			s.during = nil
			postNow(t, o, 10)
			<-o.wake
			if o.take(w) != nil || o.shut() {
				t.Error("two write at the same time")
			}
			if o.woken() {
				t.Error("the writer is woken before it is its turn")
			}
		}
		postNow(t, o, 10)
		if !o.woken() {
			t.Fatal("the writer is not woken")
		}
		frame := o.take(w)
		if frame == nil || o.shut() {
			t.Fatal("it is not the writer's turn")
		}
		o.write(w, frame)
		if len(s.frames) != 2 || s.frames[1].Posts[0].Number != 2 {
			t.Errorf("written are %v", s.frames)
		}
		if !o.shut() {
			t.Error("there is more to write")
		}
		time.Sleep(calm)
		postNow(t, o, 10)
		if len(s.frames) != 2 {
			t.Error("a poster writes to a stream that is closed")
		}
	})
}

// Many changes are several frames, and what was posted after them is behind all of them.
func TestManyListenerChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s, w := opened(t)
		const n = 2*listenersAFrame + 1
		for range n {
			o.change(&pb.ListenerChange{})
		}
		postNow(t, o, 10)
		for f := o.take(w); f != nil; f = o.take(w) {
			o.write(w, f)
		}
		changes := 0
		for i, f := range s.frames {
			if changes += len(f.Listeners); len(f.Listeners) > listenersAFrame || len(f.Posts) > 0 && changes < n {
				t.Errorf("frame %d has %d changes and %d posts", i, len(f.Listeners), len(f.Posts))
			}
		}
		if last := s.frames[len(s.frames)-1]; changes != n || len(last.Posts) != 1 {
			t.Errorf("%d changes, and %d posts at the end", changes, len(last.Posts))
		}
	})
}

// As long as gRPC has a frame, its bytes are counted.
func TestAFrameIsCountedUntilItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, body := range []int{10, codec.FullFrame, 2 * frameBytes} {
			o, s, w := opened(t)
			s.keeps = true
			postNow(t, o, body)
			if frame := o.take(w); frame != nil { // it is long, so it is not the poster's
				o.write(w, frame)
			}
			if held := w.held.Load(); len(s.frames) != 1 || held < int64(body) {
				t.Errorf("with %d bytes, %d are held of %d frames", body, held, len(s.frames))
			}
		}
	})
}

// Who waits for room is woken once there is room for many, not for each frame.
func TestRoomForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, w := opened(t)
		w.held.Add(1) // all is the writer's
		o.posts.retain = 4 * o.max
		const body = 1 << 10
		for o.posts.queued+2*body < o.max {
			postNow(t, o, body)
		}
		posted := false
		go func() {
			postNow(t, o, 2*body)
			posted = true
		}()
		synctest.Wait()
		for !posted && o.posts.queued > o.max/2 {
			o.write(w, o.take(w))
			synctest.Wait()
		}
		if left := o.posts.queued - 3*body; left > o.max/2 { // but for what was posted then
			t.Errorf("there is room while %d of %d bytes wait", left, o.max)
		}
		if !posted {
			t.Error("there is no room for who waits")
		}
	})
}

func TestListenerChangesGoWithPosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s, w := opened(t)
		o.change(&pb.ListenerChange{Sequence: 1, Address: "x"})
		o.change(&pb.ListenerChange{Sequence: 2, Address: "y"})
		postNow(t, o, 10)
		if len(s.frames) != 1 || len(s.frames[0].Listeners) != 2 || len(s.frames[0].Posts) != 1 || w.held.Load() != 0 {
			t.Errorf("written are %v", s.frames)
		}
	})
}

func lateCredit(o *outbox, bytes uint32, later bool) {
	wait := uint32(0)
	if later {
		wait = 100
	}
	of := &owed{listener: "x"}
	if len(o.credits.all) > 0 {
		of = o.credits.all[0]
	}
	o.credit(o.epoch, of, bytes, wait)
}

func TestCreditGoesAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s, _ := opened(t)
		lateCredit(o, 10, true)
		lateCredit(o, 5, true)
		time.Sleep(o.linger / 2)
		if len(s.frames) != 0 || o.woken() {
			t.Error("credit that may wait does not")
		}
		postNow(t, o, 10)
		if len(s.frames) != 1 || len(s.frames[0].Credits) != 1 || s.frames[0].Credits[0].Bytes != 15 || len(s.frames[0].Posts) != 1 {
			t.Fatalf("written are %v", s.frames)
		}
		time.Sleep(time.Second)
		if o.woken() {
			t.Error("the writer is woken for credit that has been given")
		}
	})
}

func TestCreditWaitsNoLongerThanLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s, w := opened(t)
		lateCredit(o, 10, true)
		time.Sleep(o.linger / 2)
		postNow(t, o, 10) // takes it along; the timer runs on
		lateCredit(o, 20, true)
		time.Sleep(o.linger - time.Nanosecond)
		if o.woken() {
			t.Error("the second credit does not wait")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !o.woken() {
			t.Fatal("the second credit waits on")
		}
		o.write(w, o.take(w))
		if last := s.frames[len(s.frames)-1]; len(last.Credits) != 1 || last.Credits[0].Bytes != 20 {
			t.Errorf("written is %v", last)
		}
	})
}

// Credit that waits is never much of a window.
func TestCreditThatIsTooMuchToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s, _ := opened(t)
		for range 3 {
			if lateCredit(o, 40, true); len(s.frames) > 0 {
				break
			}
		}
		if len(s.frames) != 1 || s.frames[0].Credits[0].Bytes != 120 {
			t.Errorf("written are %v", s.frames)
		}
	})
}

func TestCreditThatMayNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s, _ := opened(t)
		lateCredit(o, 10, true)
		lateCredit(o, 5, false)
		if len(s.frames) != 1 || s.frames[0].Credits[0].Bytes != 15 {
			t.Errorf("written are %v", s.frames)
		}
		lateCredit(o, 1, true)
		if o.shut() || !o.woken() {
			t.Error("the stream is closed before all credit is given")
		}
		o.renew()
		time.Sleep(time.Second)
		if o.due() {
			t.Error("credit of an earlier stream is due")
		}
		o.close()
	})
}

// unused is a connection that nobody uses.
type unused struct{ grpc.ClientConnInterface }

func TestARequestHasATimeOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Config{Conn: unused{}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 2 { // the second arms the timer again
			began = time.Now()
			_, err = b.Request(t.Context(), &pb.Message{Type: "read", From: "a", To: "b"})
			if fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("Request: %v", err)
			}
		}
		limit := b.cfg.Limits.RequestTimeout
		if took := time.Since(began); took < limit || took > limit+limit/16 {
			t.Errorf("it took %v", took)
		}
		synctest.Wait()
		if len(b.calls) != 0 || b.out.posts.held != 0 {
			t.Errorf("%d calls wait, %d bytes are kept", len(b.calls), b.out.posts.held)
		}
		b.end()
	})
}

func TestSendMakesNoGarbage(t *testing.T) {
	b, err := New(Config{Conn: unused{}, Limits: Limits{Outbox: 1 << 30, Retain: 1 << 30}})
	if err != nil {
		t.Fatal(err)
	}
	body, ctx := make([]byte, 64), context.Background()
	if n := testing.AllocsPerRun(10_000, func() {
		if err := b.Send(ctx, &pb.Message{Type: "create", From: "hyperty://example.org/a", To: "hyperty://example.org/b", Body: body}); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
