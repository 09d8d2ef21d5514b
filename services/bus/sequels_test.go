package bus

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// stranger is a client of another make, which takes sequels or not.
func (h *house) stranger(origin string, sequels bool) *raw {
	call, err := pb.NewMessageBusClient(h.conn()).Attach(h.ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	r := &raw{h: h, call: call}
	r.send(&pb.AttachRequest{Hello: &pb.Hello{Name: origin, Origin: []byte(origin), Attachment: 1, Sequels: sequels}})
	if !r.recv().GetWelcome().GetSequels() {
		h.t.Fatal("the bus takes no sequels")
	}
	return r
}

// manyPosts are so many posts to an address, as sequels if they go so.
func manyPosts(to string, n int, sequels bool) (posts []*pb.Post) {
	for i := range n {
		posts = append(posts, &pb.Post{Number: uint64(i) + 1, Message: numbered(alice, to, i)}) // not negative
	}
	if sequels {
		return rolled(posts)
	}
	return posts
}

// came takes n messages to an address, and tells how many of them were sequels. It gives
// credit for all.
func (r *raw) came(origin, to string, n int) (sequels int) {
	r.h.t.Helper()
	for next := 0; next < n; {
		for _, d := range r.recv().Deliveries {
			sequels += len(d.Sequels)
			size := 0
			for _, d := range unrolled([]*pb.Delivery{d}) {
				want := numbered(alice, to, next)
				want.Origin, want.Number = []byte(origin), uint64(next)+1 // not negative
				if !proto.Equal(d.Message, want) || d.Listener != to {
					r.h.t.Fatalf("%v came, want %v", d, want)
				}
				next++
				size += proto.Size(d.Message)
			}
			r.send(&pb.AttachRequest{Credits: []*pb.Credit{{Listener: to, Bytes: uint32(size)}}}) // small
		}
	}
	return sequels
}

// settled waits until the bus has said that so many posts are.
func (r *raw) settled(n uint64) {
	r.h.t.Helper()
	for n > 0 {
		for _, s := range r.recv().Settled {
			n -= s.Last - s.First + 1
		}
	}
}

// Whoever posts sequels or whole messages, each listener gets what it takes, and credit for it
// settles all.
func TestSequelsBetweenStrangers(t *testing.T) {
	const n = 300
	for _, posts := range []bool{false, true} {
		for _, takes := range []bool{false, true} {
			h := newHouse(t, Limits{})
			by, to := h.stranger("sender", false), h.stranger("listener", takes)
			to.listen(carol, 0)
			a := h.app() // has the source approved
			if err := a.Post(h.ctx, ping(alice, carol)); err != nil {
				t.Fatal(err)
			}
			to.recv()
			to.send(&pb.AttachRequest{Credits: []*pb.Credit{{Listener: carol, Bytes: 1 << 20}}})
			by.send(&pb.AttachRequest{Posts: manyPosts(carol, n, posts)})
			if sequels := to.came("sender", carol, n); (sequels > n/2) != takes || !takes && sequels > 0 {
				t.Errorf("posted as sequels: %t, taken: %t: %d sequels came", posts, takes, sequels)
			}
			by.settled(n)
		}
	}
}

// What comes as sequels and cannot go as one goes one by one: to several listeners, or in a trace.
func TestSequelsToSeveral(t *testing.T) {
	h := newHouse(t, Limits{})
	by := h.stranger("sender", false)
	a, b := h.listen(h.app(), carol), h.listen(h.app(), carol)
	by.send(&pb.AttachRequest{Posts: manyPosts(carol, 100, true)})
	for i := range 100 {
		for _, got := range []chan *pb.Message{a, b} {
			if m := h.next(got); m.Id != fmt.Sprint(i) || m.Number != uint64(i)+1 || m.To != carol || m.From != alice {
				t.Fatalf("%v came, want %d", m, i)
			}
		}
	}
	by.settled(100)
}

// A wrong body among sequels is refused by itself.
func TestAWrongSequel(t *testing.T) {
	h := newHouse(t, Limits{})
	by, got := h.stranger("sender", false), h.listen(h.app(), carol)
	by.listen(alice, 0)
	posts := manyPosts(carol, 10, true)
	posts[0].Sequels[4].Body = []byte("{")
	by.send(&pb.AttachRequest{Posts: posts})
	for i := range 10 {
		if i == 5 {
			continue
		}
		if m := h.next(got); m.Id != fmt.Sprint(i) {
			t.Fatalf("%v came, want %d", m, i)
		}
	}
	refusal := by.recv()
	for len(refusal.Deliveries) == 0 { // what is settled may be told before
		refusal = by.recv()
	}
	if m := refusal.Deliveries[0].Message; m.Type != "response" || m.Id != "5" {
		t.Errorf("refused %v", m)
	}
}

// Sequels that are not as they may be end the stream, as any frame that cannot be read.
func TestSequelsOfAnotherForm(t *testing.T) {
	h := newHouse(t, Limits{})
	by := h.stranger("sender", false)
	posts := manyPosts(carol, 10, true)
	posts[0].Sequels[4].To = "another"
	by.send(&pb.AttachRequest{Posts: posts})
	if _, err := by.call.Recv(); status.Code(err) != codes.Internal {
		t.Errorf("the stream ended with %v", err)
	}
}
