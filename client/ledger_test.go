package client

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

// postTo makes a post with a body of so many bytes.
func postTo(to string, body int) *posting {
	return &posting{content: codec.Content{Message: &pb.Message{Type: "event", From: "me", To: to, Body: make([]byte, body)}}}
}

func measure(t testing.TB, l *ledger, p *posting) *posting {
	t.Helper()
	if err := l.measure(p); err != nil {
		t.Fatal(err)
	}
	return p
}

func add(t testing.TB, l *ledger, p *posting) {
	t.Helper()
	measure(t, l, p)
	if err := l.add(p); err != nil {
		t.Fatal(err)
	}
}

// taken gives the posts of the next frame, as a bus reads them that takes sequels.
func taken(t testing.TB, l *ledger) []*pb.Post {
	t.Helper()
	posts, _ := takenAt(t, l, true, time.Time{})
	return posts
}

// takenAt also gives the frame.
func takenAt(t testing.TB, l *ledger, sequels bool, now time.Time) ([]*pb.Post, *pb.AttachRequest) {
	t.Helper()
	w := writer{sequels: sequels}
	n := l.waiting
	f := newFrame(l.most(), &w)
	l.take(f, now)
	n -= l.waiting
	encoded := f.encoded()
	var req pb.AttachRequest
	if err := proto.Unmarshal(encoded.Parts.Materialize(), &req); err != nil {
		t.Fatal(err)
	}
	encoded.Parts.Free()
	posts := unrolled(&req)
	if len(posts) != n || w.held.Load() != 0 || !sequels && len(req.Posts) != n {
		t.Fatalf("%d posts in %d, not %d; %d bytes are held", len(posts), len(req.Posts), n, w.held.Load())
	}
	return posts, &req
}

// unrolled are the posts of a frame as such without sequels.
func unrolled(req *pb.AttachRequest) (all []*pb.Post) {
	for _, p := range req.Posts {
		sequels := p.Sequels
		p = proto.CloneOf(p)
		p.Sequels = nil
		all = append(all, p)
		for i, s := range sequels {
			m := proto.CloneOf(p.Message)
			m.Id, m.Body = s.Id, s.Body
			all = append(all, &pb.Post{Number: p.Number + 1 + uint64(i), Message: m}) // a place
		}
	}
	return all
}

// model is a ledger that keeps, as plain lists. Its bus takes sequels or not.
type model struct {
	sequels      bool
	number       uint64
	kept, queued []*modelPost // not gone; queued is the rest of kept that waits
}

type modelPost struct {
	*posting
	body    int
	written bool
}

func (p *modelPost) size() int { return p.content.Size() + codec.MaxPlainHead + recordCost }

func (m *model) without(list []*modelPost, over func(*modelPost) bool) []*modelPost {
	return slices.DeleteFunc(slices.Clone(list), over)
}

func (m *model) end(over func(*modelPost) bool) {
	m.kept, m.queued = m.without(m.kept, over), m.without(m.queued, over)
}

// frame is how many of those that wait go into the next frame, without sequels.
func (m *model) frame() (n int) {
	bytes := 0
	for _, p := range m.queued[:min(len(m.queued), codec.FrameMessages)] {
		size := p.size() - recordCost
		if bytes += size; n > 0 && bytes > codec.FrameLimit(size) {
			break
		}
		n++
	}
	return n
}

// longest is the size of the longest of so many that wait.
func (m *model) longest(n int) (size int) {
	for _, p := range m.queued[:n] {
		size = max(size, p.size())
	}
	return size
}

// step does one random thing to both, and tells what it was.
func (m *model) step(t *testing.T, l *ledger, r *rand.Rand) string {
	switch n := r.IntN(10); {
	case n < 4:
		body := []int{0, 10, 500, 8 << 10, 3 * frameBytes}[r.IntN(5)]
		p := postTo([]string{"a", "b", "c"}[r.IntN(3)], body)
		p.sequence = r.Uint64N(3)
		add(t, l, p)
		m.number++
		if p.number != m.number {
			t.Errorf("number %d, want %d", p.number, m.number)
		}
		one := &modelPost{p, body, false}
		m.kept, m.queued = append(m.kept, one), append(m.queued, one)
		return "add"
	case n < 6:
		want := m.frame()
		got, req := takenAt(t, l, m.sequels, time.Time{})
		if m.sequels && len(got) > want {
			want = len(got)
		}
		if longest := m.longest(want); len(got) != want || want > codec.FrameMessages || want > 1 && proto.Size(req) > codec.FrameLimit(longest)+want*codec.MaxHead {
			t.Fatalf("%d taken in %d bytes, want %d", len(got), proto.Size(req), want)
		}
		for i, p := range got {
			of := m.queued[i]
			if p.Number != of.number || p.Sequence != of.sequence || p.Again != of.written || p.Message.To != of.content.To() || p.Message.From != "me" || p.Message.Id == "" || len(p.Message.Body) != of.body {
				t.Errorf("taken %d, again %t, for %s, with %d bytes", p.Number, p.Again, p.Message.To, len(p.Message.Body))
			}
			of.written = true
		}
		m.queued = m.queued[want:]
		return "take"
	case n < 8:
		first := r.Uint64N(m.number + 2)
		last := first + r.Uint64N(8)
		l.settle(first, last)
		m.end(func(p *modelPost) bool { return p.written && p.number >= first && p.number <= last })
		return fmt.Sprint("settle ", first, " ", last)
	case n < 9:
		if len(m.kept) == 0 {
			return "nothing"
		}
		p := m.kept[r.IntN(len(m.kept))]
		if !l.has(p.number) {
			t.Fatalf("%d is not there", p.number)
		}
		if l.drop(p.number) == p.written {
			t.Errorf("%d, written %t: drop says %t", p.number, p.written, !p.written)
		}
		m.end(func(other *modelPost) bool { return other == p && !p.written })
		return "drop"
	default:
		for _, p := range m.kept {
			if p.number%3 == 0 {
				l.silence(p.number)
				p.sequence = 0
			}
		}
		l.rewind()
		m.queued = slices.Clone(m.kept)
		return "rewind"
	}
}

func (m *model) check(t *testing.T, l *ledger, after string) {
	held, queued, bytes, receivers := 0, 0, 0, map[string]int{}
	for _, p := range m.kept {
		held += p.size()
		receivers[p.content.To()] += p.size()
		bytes += p.size() - recordCost
	}
	for _, p := range m.queued {
		queued += p.size()
	}
	if last := l.receivers.last; last >= 0 {
		receivers[l.receivers.table.all[last].to] += 0
	}
	got := map[string]int{}
	for to, i := range l.receivers.places {
		got[to] = l.receivers.table.all[i].bytes
	}
	if l.held != held || l.queued != queued || l.waiting != len(m.queued) || !maps.Equal(got, receivers) {
		t.Fatalf("after %s: %d bytes held, %d of %d queued, for %v; want %d, %d of %d, %v",
			after, l.held, l.queued, l.waiting, got, held, queued, len(m.queued), receivers)
	}
	if len(l.blocks) > 2*len(m.kept)+2 {
		t.Fatalf("after %s: %d blocks for %d posts", after, len(l.blocks), len(m.kept))
	}
	memory := 0
	for _, b := range l.blocks {
		memory += cap(b.data)
	}
	if l.bytes != bytes || l.memory != memory || l.sparse() && strings.HasPrefix(after, "settle") {
		t.Fatalf("after %s: %d bytes in %d, want %d in %d", after, l.bytes, l.memory, bytes, memory)
	}
}

func TestLedgerIsLikeAModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		l, m := newLedger(true, 1<<20, time.Time{}), &model{sequels: seed%3 > 0}
		for range 400 {
			m.check(t, l, m.step(t, l, r))
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

// What a head has is what is left of the time when it is written, not when it is posted.
func TestAPostThatIsAwaited(t *testing.T) {
	now := time.Now()
	l := newLedger(true, 1<<20, now)
	p := postTo("a", 10)
	p.sequence, p.wait, p.deadline = 7, pb.Wait_WAIT_RESPONSE, now.Add(10*time.Second)
	add(t, l, p)
	for _, tc := range []struct {
		after time.Duration
		want  *pb.Post
	}{
		{time.Second, &pb.Post{Sequence: 7, Wait: pb.Wait_WAIT_RESPONSE, Timeout: durationpb.New(9 * time.Second)}},
		{time.Minute, &pb.Post{Sequence: 7, Wait: pb.Wait_WAIT_RESPONSE, Timeout: durationpb.New(time.Millisecond), Again: true}},
	} {
		got, _ := takenAt(t, l, true, now.Add(tc.after))
		if tc.want.Number = 1; len(got) != 1 || got[0].Message.To != "a" {
			t.Fatalf("taken %v", got)
		}
		if got[0].Message = nil; !proto.Equal(got[0], tc.want) {
			t.Errorf("taken %v, want %v", got[0], tc.want)
		}
		l.rewind()
	}
	if l.settle(1, 1); len(l.waits) != 0 {
		t.Errorf("%d heads are kept", len(l.waits))
	}
}

func TestALedgerThatDoesNotKeepForgetsWhatIsTaken(t *testing.T) {
	l := newLedger(false, 1, time.Time{})
	for range 3 {
		for range 100 {
			add(t, l, postTo("a", 100))
		}
		n := 0
		for frame := taken(t, l); len(frame) > 0; frame = taken(t, l) {
			n += len(frame)
		}
		l.rewind()
		if n != 100 || l.held != 0 || l.queued != 0 || len(l.blocks) > 3 || l.bytes != 0 {
			t.Errorf("%d taken, then %+v", n, l)
		}
	}
}

func TestRoomOfOneReceiver(t *testing.T) {
	one := newLedger(true, 0, time.Time{})
	add(t, one, postTo("a", 0))
	size := one.held
	for _, tc := range []struct {
		name           string
		retain, outbox int // in posts
		held           string
		to             string
		want           bool
	}{
		{"always one", 0, 0, "", "a", true},
		{"half of it for one", 8, 9, "aaa", "a", true},
		{"and no more", 8, 9, "aaaa", "a", false},
		{"but for another", 8, 9, "aaaa", "b", true},
		{"a third for two", 9, 9, "aaaab", "b", true},
		{"one post for each while there is any", 8, 9, "aaaabbc", "d", true},
		{"then none", 8, 9, "aaaabbcd", "e", false},
		{"not while the outbox is full", 8, 2, "ab", "c", false},
	} {
		l := newLedger(true, tc.retain*size, time.Time{})
		for _, to := range tc.held {
			add(t, l, postTo(string(to), 0))
		}
		if got := l.room(measure(t, l, postTo(tc.to, 0)), tc.outbox*size); got != tc.want {
			t.Errorf("%s: room is %t", tc.name, got)
		}
	}
}

// A post at the front that is never settled does not make the rest stay.
func TestAnOldPostHoldsUpNoMemory(t *testing.T) {
	l := newLedger(true, 1<<20, time.Time{})
	for range 20_000 {
		add(t, l, postTo("a", 100))
		taken(t, l)
		if l.number > 1 {
			l.settle(l.number, l.number)
		}
	}
	if len(l.blocks) > 4 || cap(l.blocks) > 16 || l.memory > 4*codec.FullFrame {
		t.Errorf("%d blocks of %d, and %d bytes, for one post", len(l.blocks), cap(l.blocks), l.memory)
	}
}

// Those that stay, among many that go, do not keep the memory of the others.
func TestManyOldPostsHoldUpLittleMemory(t *testing.T) {
	l := newLedger(true, 1<<30, time.Time{})
	const each = 50 // one of so many stays
	for n := range uint64(each * 1000) {
		add(t, l, postTo("a", 100+int(n)%7)) // small
		taken(t, l)
		if n%each != 0 {
			l.settle(n+1, n+1)
		}
	}
	if l.memory > 4*l.bytes {
		t.Errorf("%d bytes of memory for %d", l.memory, l.bytes)
	}
	l.rewind()
	n := uint64(0)
	for frame := taken(t, l); len(frame) > 0; frame = taken(t, l) {
		for _, p := range frame {
			if p.Number != n*each+1 || len(p.Message.Body) != 100+int(n*each)%7 { // small
				t.Fatalf("post %d has %d bytes", p.Number, len(p.Message.Body))
			}
			n++
		}
	}
	if n != 1000 {
		t.Errorf("%d posts are kept", n)
	}
}

func BenchmarkLedger(b *testing.B) {
	l := newLedger(true, 16<<20, time.Time{})
	m := &pb.Message{Type: "event", From: "hyperty://example.org/1", To: "hyperty://example.org/2", Body: make([]byte, 64)}
	now := time.Now()
	w := writer{sequels: true}
	b.ReportAllocs()
	for i := range b.N {
		p := posting{content: codec.Content{Message: m}}
		if err := l.measure(&p); err != nil {
			b.Fatal(err)
		}
		if !l.room(&p, 1<<20) {
			b.Fatal("no room")
		}
		if err := l.add(&p); err != nil {
			b.Fatal(err)
		}
		if i%32 == 31 {
			f := newFrame(l.most(), &w)
			l.take(f, now)
			f.encoded().Parts.Free()
			l.settle(l.number-31, l.number)
		}
	}
}
