package bus

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/codec"
)

// couple is a sender and a listener at a bus without gRPC. Its posts go through batches
// where they can, or never.
type couple struct {
	*alone
	t        *testing.T
	batches  bool
	sequels  bool // the listener takes them
	sender   *stream
	listener *stream
	window   uint32
	posted   uint64 // the last number
	open     []*pb.Post
}

func newCouple(t *testing.T, l Limits, window uint32, batches, sequels bool) *couple {
	p := &couple{alone: newAlone(t, l), t: t, batches: batches, sequels: sequels, window: window}
	p.approve(alice)
	p.bus.table.grow()
	p.sender = p.begin(t, "sender")
	p.listen()
	return p
}

func (p *couple) listen() {
	p.listener = p.listenAs(p.t, "listener", carol, p.window)
	p.listener.sequels = p.sequels
}

// frame has the sender post a frame.
func (p *couple) frame(posts []*pb.Post) { takeFrame(p.t, p.sender, posts, p.batches) }

// takeFrame has a stream take a frame of posts, with or without batches. Its bytes are not
// there any more then.
func takeFrame(t *testing.T, s *stream, posts []*pb.Post, batches bool) {
	takeBytes(t, s, asPosted(t, posts), batches)
}

// takeBytes is takeFrame of one that is encoded.
func takeBytes(t *testing.T, s *stream, b []byte, batches bool) {
	req := &codec.Request{Room: 64}
	parts := mem.BufferSlice{mem.SliceBuffer(b)}
	if half := len(b) / 2; len(b) > 16<<10 { // as gRPC reads it
		parts = mem.BufferSlice{mem.SliceBuffer(b[:half]), mem.SliceBuffer(b[half:])}
	}
	if err := (codec.GRPC{}).Unmarshal(parts, req); err != nil {
		t.Fatal(err)
	}
	if batches {
		s.takeRequest(req)
	} else {
		takeOneByOne(s, req)
	}
	req.Clear()
	clear(b) // gRPC uses it again
}

// asPosted encodes a frame as a client does: one of an even number of posts with sequels.
func asPosted(t *testing.T, posts []*pb.Post) (b []byte) {
	if len(posts)%2 == 0 {
		posts = rolled(posts)
	}
	for _, p := range posts {
		if len(p.Sequels) > 0 {
			more, err := proto.Marshal(&pb.AttachRequest{Posts: []*pb.Post{p}})
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, more...)
			continue
		}
		content := codec.Content{Message: p.Message}
		content.Measure(&codec.Usual{})
		var err error
		h := codec.Head{Sequence: p.Sequence, Wait: p.Wait, Number: p.Number, Again: p.Again}
		if b, err = content.Append(codec.AppendHead(b, h, content.Size())); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// rolled are posts of which those that may be are sequels.
func rolled(posts []*pb.Post) (all []*pb.Post) {
	var last *pb.Post
	for _, p := range posts {
		m := p.Message
		if !proto.Equal(p, &pb.Post{Number: p.Number, Message: m}) || p.Number == 0 ||
			!proto.Equal(m, &pb.Message{Id: m.Id, Type: m.Type, From: m.From, To: m.To, Body: m.Body}) || m.Id == "" || m.Type == "" || m.From == "" || m.To == "" {
			all, last = append(all, p), nil
			continue
		}
		if last != nil && last.Number+uint64(len(last.Sequels))+1 == p.Number &&
			last.Message.Type == m.Type && last.Message.From == m.From && last.Message.To == m.To {
			last.Sequels = append(last.Sequels, &pb.Message{Id: m.Id, Body: m.Body})
			continue
		}
		last = &pb.Post{Number: p.Number, Message: m}
		all = append(all, last)
	}
	return all
}

// unrolled are deliveries as such without sequels.
func unrolled(deliveries []*pb.Delivery) (all []*pb.Delivery) {
	for _, d := range deliveries {
		sequels := d.Sequels
		d.Sequels = nil
		all = append(all, d)
		for i, s := range sequels {
			m := proto.CloneOf(d.Message)
			m.Id, m.Body, m.Number = s.Id, s.Body, m.Number+1+uint64(i) // a place
			if m.Flow != nil {
				m.Flow.Sequence, m.Flow.After = m.Flow.Sequence+1+uint64(i), 0 // likewise
			}
			all = append(all, &pb.Delivery{Listener: d.Listener, Message: m})
		}
	}
	return all
}

func takeOneByOne(s *stream, req *codec.Request) {
	s.burst.begin()
	defer s.burst.end()
	next := 0
	for _, run := range req.Runs {
		for ; next < run.Before; next++ {
			s.post(req.Posts[next], req.Encoded[next])
		}
		for i := range run.Len() {
			s.post(req.Open(&run, i))
		}
	}
	for ; next < len(req.Posts); next++ {
		s.post(req.Posts[next], req.Encoded[next])
	}
}

// post has n messages posted in a frame, of which some may be wrong.
func (p *couple) post(n int, wrong bool) {
	p.postLong(wrong, make([]int, n)...)
}

// postLong is post of messages with so many bytes more each.
func (p *couple) postLong(wrong bool, sizes ...int) {
	var posts []*pb.Post
	for _, more := range sizes {
		p.posted++
		m := &pb.Message{Id: fmt.Sprint(p.posted), Type: "event", From: alice, To: carol, Body: fmt.Appendf(nil, `{"value":%d}%*s`, p.posted, more, "")}
		if wrong && p.posted%3 == 0 {
			m.Body = []byte("{")
		}
		posts = append(posts, &pb.Post{Number: p.posted, Message: m})
	}
	p.open = append(p.open, posts...)
	p.frame(posts)
}

// again attaches the sender anew, which posts again what it has not been told of.
func (p *couple) again() {
	p.cutOff(p.sender)
	p.sender = p.begin(p.t, "sender")
	for i := range p.open {
		p.open[i].Again = true
	}
	p.frame(p.open)
}

// seen is what sender and listener have seen, and what the bus says of itself.
type seen struct {
	Came, Refused      []string
	Settled            []uint64
	Kept, Held         int
	Bytes, Messages    int
	UnderWay, Given    int
	Outside, Unsettled int
}

func (p *couple) look() (s seen) {
	synctest.Wait() // for timers
	s.Came = p.took()
	for f, _ := p.sender.take(); f != nil; f, _ = p.sender.take() {
		for _, r := range f.Settled {
			for n := r.First; n <= r.Last; n++ {
				s.Settled = append(s.Settled, n)
			}
		}
	}
	slices.Sort(s.Settled)
	p.open = slices.DeleteFunc(p.open, func(q *pb.Post) bool { return slices.Contains(s.Settled, q.Number) })
	s.Kept, s.Held = p.bus.kept(), int(p.sender.held.Load())
	p.listener.mu.Lock()
	if in := p.listener.inboxes[carol]; in != nil {
		s.Bytes, s.Messages, s.UnderWay, s.Given, s.Outside = in.bytes, in.messages, in.underWay, in.given, in.outside
	}
	p.listener.mu.Unlock()
	o := p.sender.origin
	o.mu.Lock()
	defer o.mu.Unlock()
	for n := range p.posted {
		if _, is := o.failed.get(n + 1); is {
			s.Refused = append(s.Refused, fmt.Sprint(n+1))
		}
		if o.open.get(n+1) != nil || o.batches.get(n+1) != nil {
			s.Unsettled++
		}
	}
	return s
}

// framesOf are the frames that a stream's writer sends now, as its client reads them, without
// sequels.
func framesOf(t *testing.T, s *stream) (frames []*pb.AttachResponse) {
	t.Helper()
	s.frame.Leaves = &s.leaves
	for f, _ := s.take(); f != nil; f, _ = s.take() {
		parts, err := codec.GRPC{}.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		var resp pb.AttachResponse
		if err := proto.Unmarshal(parts.Materialize(), &resp); err != nil {
			t.Fatal(err)
		}
		if parts.Free(); s.leaves.Load() != 0 {
			t.Errorf("%d bytes have not been let go of", s.leaves.Load())
		}
		checkFrame(t, s, &resp)
		resp.Deliveries = unrolled(resp.Deliveries)
		frames = append(frames, &resp)
	}
	return frames
}

// Short messages share frames as sequels, up to a bound that whole ones do not reach.
func TestAFrameOfSequels(t *testing.T) {
	for _, sequels := range []bool{true, false} {
		p := newCouple(t, Limits{}, 0, true, sequels)
		p.frame(manyPosts(carol, codec.FrameMessages+10, false))
		frames := framesOf(t, p.listener)
		if first := len(frames[0].Deliveries); (first == codec.FrameMessages) != sequels {
			t.Errorf("sequels: %t: %d messages in the first frame", sequels, first)
		}
		if len(frames) != 2 && sequels {
			t.Errorf("%d frames", len(frames))
		}
		p.finish()
	}
}

// checkFrame checks that a frame is not longer than it may be, and has sequels only for who
// takes them.
func checkFrame(t *testing.T, s *stream, resp *pb.AttachResponse) {
	t.Helper()
	longest, n := 0, len(resp.Outcomes)
	for _, d := range resp.Deliveries {
		longest = max(longest, proto.Size(d.Message))
		if n += 1 + len(d.Sequels); len(d.Sequels) > 0 && !s.sequels && (!s.rows || d.Message.Flow == nil) {
			t.Errorf("%d sequels for who takes none", len(d.Sequels))
		}
	}
	if size := proto.Size(resp); n > 1 && size > codec.FrameLimit(longest)+longestSettled+longest {
		t.Errorf("a frame of %d has %d bytes, and one of them %d", n, size, longest)
	}
}

// longestSettled is more than what a frame says of posts that are settled.
const longestSettled = 4 << 10

// took is what the listener gets now: each message as it goes on.
func (p *couple) took() (came []string) {
	for _, resp := range framesOf(p.t, p.listener) {
		if len(resp.Deliveries) > codec.FrameMessages {
			p.t.Errorf("%d messages in a frame", len(resp.Deliveries))
		}
		for _, d := range resp.Deliveries {
			m := d.Message
			came = append(came, fmt.Sprint(m.Id, " ", d.Listener, m.Type, m.From, m.To, string(m.Body), string(m.Origin), m.Number))
		}
	}
	return came
}

func (p *couple) end() {
	p.cutOff(p.sender)
	p.cutOff(p.listener)
	p.bus.origins.end()
}

// act is something that happens to a couple.
type act struct {
	name    string
	repeats bool // what has come may come again
	does    func(p *couple)
}

func (a act) String() string { return a.name }

func anyAct(t *rapid.T) act {
	n := rapid.IntRange(1, 70).Draw(t, "n")
	switch rapid.IntRange(0, 9).Draw(t, "act") {
	case 0, 1, 2:
		return act{name: fmt.Sprint("post ", n), does: func(p *couple) { p.post(n, false) }}
	case 3:
		return act{name: fmt.Sprint("post wrong ones ", n), does: func(p *couple) { p.post(n, true) }}
	case 8:
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 0, 1 << 10, 3 << 10, 15 << 10, 18 << 10}), 1, 4).Draw(t, "sizes")
		return act{name: fmt.Sprint("post some with ", sizes), does: func(p *couple) { p.postLong(n%4 == 0, sizes...) }}
	case 4, 5:
		return act{name: fmt.Sprint("credit ", 37*n), does: func(p *couple) { p.listener.credit(&pb.Credit{Listener: carol, Bytes: uint32(37 * n)}) }} // small
	case 6:
		return act{name: "the listener comes again", repeats: true, does: func(p *couple) {
			p.cutOff(p.listener)
			p.listen()
		}}
	case 7:
		return act{name: "the sender comes again", does: (*couple).again}
	}
	if n < 35 {
		return act{name: "time", does: func(*couple) {
			time.Sleep(2 * time.Second)
		}}
	}
	return act{name: "the listener leaves", does: func(p *couple) {
		if err := p.bus.removeListener(p.listener, carol, ""); err != nil {
			p.t.Error(err)
		}
		if err := p.bus.addListener(p.listener, &pb.ListenerChange{Address: carol, Window: p.window}); err != nil {
			p.t.Error(err)
		}
	}}
}

// Whether posts are taken in batches cannot be seen, whatever happens to them, while there
// is room for them.
func TestBatchesAreLikePosts(t *testing.T) {
	check(t, Limits{FullTime: 5 * time.Second, Refusals: 10_000}, compare)
}

// compare tells where it makes a difference that there are batches.
func compare(t *testing.T, l Limits, window uint32, sequels bool, acts []act) (differs string) {
	one, other := newCouple(t, l, window, true, sequels), newCouple(t, l, window, false, sequels)
	for i, a := range acts {
		a.does(one)
		a.does(other)
		if got, want := one.look(), other.look(); !reflect.DeepEqual(got, want) {
			differs = fmt.Sprintf("after %v:\nin batches %+v\none by one %+v", acts[:i+1], got, want)
			break
		}
	}
	one.end() // not deferred: with a panic somebody may hold a lock
	other.end()
	return differs
}

// In a queue that is too small for them nothing is lost either: each comes, in its turn,
// or is refused, and nothing is left of it.
func TestBatchesInASmallQueue(t *testing.T) {
	for _, l := range []Limits{{QueueMessages: 3}, {QueueMessages: 70}, {QueueBytes: 2000}, {QueueBytes: 20_000, QueueMessages: 100}} {
		l.FullTime, l.Refusals = 5*time.Second, 10_000
		check(t, l, account)
	}
}

func account(t *testing.T, l Limits, window uint32, sequels bool, acts []act) (wrong string) {
	c := newCouple(t, l, window, true, sequels)
	fates := map[string]int{}
	var came []string
	note := func() seen {
		s := c.look()
		came = append(came, s.Came...)
		for _, m := range slices.Concat(s.Came, s.Refused) {
			fates[idOf(m)]++
		}
		return s
	}
	for _, a := range acts {
		a.does(c)
		note()
	}
	var s seen
	for range c.posted + 1 {
		c.listener.credit(&pb.Credit{Listener: carol, Bytes: 1 << 20})
		if s = note(); s.Unsettled == 0 {
			break
		}
	}
	c.end()
	queued := c.listener.queued
	s.Came, s.Refused, s.Settled, s.Kept, s.UnderWay, s.Given = nil, nil, nil, 0, 0, 0 // answers to the sender, who does not listen, are kept
	if !reflect.DeepEqual(s, seen{}) || queued != 0 {
		return fmt.Sprintf("after %v: what is left is %+v, %d bytes", acts, s, queued)
	}
	for n := range c.posted {
		if fates[fmt.Sprint(n+1)] == 0 {
			return fmt.Sprintf("after %v: %d neither came nor was refused", acts, n+1)
		}
	}
	if again := slices.ContainsFunc(acts, func(a act) bool { return a.repeats }); !again && !slices.IsSortedFunc(came, byID) {
		return fmt.Sprintf("after %v: %v came", acts, came)
	}
	return ""
}

var leadingID = regexp.MustCompile(`^[0-9]+`)

func idOf(m string) string { return leadingID.FindString(m) }

func byID(a, b string) int {
	n, _ := strconv.Atoi(idOf(a))
	m, _ := strconv.Atoi(idOf(b))
	return n - m
}

// check has something told that is wrong after some acts.
func check(t *testing.T, l Limits, tells func(*testing.T, Limits, uint32, bool, []act) string) {
	t.Helper()
	rapid.Check(t, func(r *rapid.T) {
		window := rapid.SampledFrom([]uint32{1, 500, 5000, 50_000}).Draw(r, "window")
		sequels := rapid.Bool().Draw(r, "sequels")
		acts := rapid.SliceOfN(rapid.Custom(anyAct), 1, 30).Draw(r, "acts")
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = tells(t, l, window, sequels, acts) })
		if wrong != "" {
			r.Fatal(wrong)
		}
	})
}
