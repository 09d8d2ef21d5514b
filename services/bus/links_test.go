package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/protocol/message"
)

// lone is a link of a replica to one that is not there; it takes what is told.
func lone(t *testing.T, l Limits) *link {
	c := newCluster(t, l, 1)
	one := newLink(c.all[0].bus.mesh, c.roster.seat("bus-99").self)
	one.up.Store(true)
	return one
}

// However much has gathered, the other replica takes each frame: a larger one than
// rpc.MaxFrame would break the link.
func TestTheFramesOfALinkAreNoLargerThanOneMayBe(t *testing.T) {
	l := lone(t, Limits{})
	long := strings.Repeat("x", 2000)
	const n = 2000
	for i := range n {
		asked := ping(long, long)
		asked.Id = fmt.Sprint(i)
		l.await(&request{key: message.KeyOf(asked), post: newPost(itself{}, asked)})
		l.tell(&pb.ReplicaChange{Address: fmt.Sprint(long, i)})
		l.mu.Lock()
		l.credits = append(l.credits, &pb.Credit{Listener: long, Queue: uint64(i), Bytes: 1})
		l.mu.Unlock()
	}
	large := ping(alice, carol)
	large.Resource = &pb.Resource{Content: make([]byte, message.MaxSize-1000)}
	l.pass(newPost(itself{}, large), large, passedMessage)
	var credits, awaited, changes, posts int
	for req := l.next(); req != nil; req = l.next() {
		if size := proto.Size(req); size > rpc.MaxFrame {
			t.Fatalf("a frame has %d bytes, more than %d", size, rpc.MaxFrame)
		}
		if changes += len(req.Changes); changes > 0 && credits+len(req.Credits) < n {
			t.Fatal("a change comes before a credit")
		}
		credits, awaited, posts = credits+len(req.Credits), awaited+len(req.Awaited), posts+len(req.Posts)
	}
	if credits != n || awaited != n || changes != n || posts != 1 {
		t.Errorf("%d credits, %d awaited, %d changes and %d posts came", credits, awaited, changes, posts)
	}
	if l.bytes != 0 {
		t.Errorf("%d bytes of posts are left", l.bytes)
	}
}

// What comes for a listener that goes and is back before it is offered is the other
// replica's to send again: else the one that is back gets it twice.
func TestADeliveryForAListenerThatHasGoneIsLeftToItsReplica(t *testing.T) {
	l := lone(t, Limits{})
	l.tell(&pb.ReplicaChange{Address: carol})
	d := &pb.Delivery{Listener: carol, Message: numbered(alice, carol, 1), From: &pb.FromQueue{Queue: 1, LeadsTo: carol}}
	f, offered := l.enqueue(d, false)
	if f == nil || !offered {
		t.Fatal("it is not taken")
	}
	l.tell(&pb.ReplicaChange{Address: carol, Remove: true, Returning: true})
	l.tell(&pb.ReplicaChange{Address: carol})
	if l.offer(f); len(l.queues) != 0 || f.queue.idle != 0 {
		t.Errorf("it is kept in %d queues", len(l.queues))
	}
}

// Credit that has not left when the next delivery comes and is refused goes before that:
// the other replica takes it for the first.
func TestCreditGoesInOrder(t *testing.T) {
	l := lone(t, Limits{})
	l.tell(&pb.ReplicaChange{Address: carol})
	take := func(n int) *fromReplica {
		d := &pb.Delivery{Listener: carol, Message: numbered(alice, carol, n), From: &pb.FromQueue{Queue: 1, LeadsTo: carol}}
		f, _ := l.enqueue(d, false)
		return f
	}
	take(1).settled(nil, nil)
	take(2).settled(nil, nobodyListens(carol))
	credits := l.next().GetCredits()
	if len(credits) != 2 || credits[0].Refused != nil || credits[1].Refused.GetCode() != 404 {
		t.Errorf("%v", credits)
	}
	if len(l.queues) != 0 {
		t.Errorf("%d queues are kept", len(l.queues))
	}
}

// As many clients as there may be do not keep the replicas apart.
func TestReplicasAreLinkedHoweverManyClientsThereAre(t *testing.T) {
	c := newCluster(t, Limits{Streams: 1}, 1)
	app := c.all[0].app()
	b := c.add()
	got := b.listen(b.app(), carol)
	if err := app.Send(b.ctx, numbered(alice, carol, 1)); err != nil {
		t.Fatal(err)
	}
	b.next(got)
}

// A replica that takes no changes is told all anew, before they fill the memory.
func TestALinkEndsWhenItsChangesAreNotTaken(t *testing.T) {
	l := lone(t, Limits{Listeners: 10, Origins: 10})
	ended := false
	l.end = func() { ended = true }
	for i := range 2 * l.most() {
		l.tell(&pb.ReplicaChange{Address: carol, Remove: i%2 == 1})
		if ended {
			break
		}
	}
	if n := l.unacked.len(); !ended || n > l.most()+1 {
		t.Errorf("%d changes are kept, and the link has ended: %t", n, ended)
	}
	for range 2 * l.most() {
		l.confirm(newConfirmation(func() {}, time.Millisecond))
	}
	if n := l.confirms.len(); n > l.most() {
		t.Errorf("%d wait for the changes to be taken", n)
	}
}

// A client's word about its listeners that waits for another replica counts as what is
// kept for it.
func TestWhatWaitsForReplicasIsBounded(t *testing.T) {
	c := newCluster(t, Limits{HeldBytes: 10_000, JoinTime: time.Minute}, 1)
	h := c.all[0]
	stuck := newLink(h.bus.mesh, c.roster.seat("bus-99").self)
	h.bus.mesh.links.Store(&[]*link{stuck})
	r := h.raw(pb.Component_COMPONENT_APPLICATION)
	go func() {
		for i := range 10_000 {
			if r.call.Send(&pb.AttachRequest{Listeners: []*pb.ListenerChange{{Address: carol, Sequence: uint64(i)}}}) != nil {
				return
			}
		}
	}()
	h.until("its stream is not read any more", func() bool { return h.value("holds_total", "") > 0 })
	stuck.reset()
}

// What the reader of a stream that has ended still gets is not noted: nobody would
// forget it.
func TestAStreamThatHasEndedTellsNothing(t *testing.T) {
	c := newCluster(t, Limits{}, 2)
	h := c.all[0]
	s := h.bus.mesh.streams()[0]
	s.cancel(errReplaced)
	<-s.gone
	s.takeReplica(&pb.AttachRequest{Changes: []*pb.ReplicaChange{
		{Sequence: 1, Client: []byte("some client"), Attachment: 7}, {Sequence: 2, Address: carol},
	}})
	h.bus.table.mu.RLock()
	defer h.bus.table.mu.RUnlock()
	if n := len(h.bus.table.clients) + len(h.bus.table.places); n != 0 {
		t.Errorf("%d clients and listeners are noted", n)
	}
}
