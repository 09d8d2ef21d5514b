package p2pstub

import (
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/datasync"
)

func TestWhereChangesGo(t *testing.T) {
	const stub, changes = "the stub", "the changes"
	ours, older := datasync.Connection{Runtime: "r", AtStub: true}, datasync.Connection{Runtime: "r"}
	change := func() *pb.Message { return &pb.Message{To: changes} }
	for name, c := range map[string]struct {
		tell func(f *followers) []*pb.Message
		due  int // of two that wait
		to   string
	}{
		"nobody has said anything":  {func(*followers) []*pb.Message { return nil }, 0, ""},
		"an object without data":    {func(f *followers) []*pb.Message { return f.meet(datasync.Connection{}, stub) }, 0, ""},
		"a peer of ours":            {func(f *followers) []*pb.Message { return f.meet(ours, stub) }, 2, stub},
		"an older one":              {func(f *followers) []*pb.Message { return f.meet(older, stub) }, 2, changes},
		"one that has subscribed":   {func(f *followers) []*pb.Message { f.subscribed(); return f.meet(older, stub) }, 0, changes},
		"ours, and a late follower": {func(f *followers) []*pb.Message { due := f.meet(ours, stub); f.subscribed(); return due }, 2, stub},
	} {
		t.Run(name, func(t *testing.T) {
			f := &followers{}
			for range 2 {
				if m := f.take(change()); m != nil {
					t.Fatalf("%v does not wait", m)
				}
			}
			due := c.tell(f)
			if len(due) != c.due {
				t.Errorf("%d of what waited are sent, want %d", len(due), c.due)
			}
			for _, m := range append(due, change()) {
				if got := f.take(m); got.GetTo() != c.to {
					t.Errorf("goes to %q, want %q", got.GetTo(), c.to)
				}
			}
		})
	}
}
