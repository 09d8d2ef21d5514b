package codec

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// crowd makes a frame of so many deliveries that are alike.
func crowd(n, body int) *pb.AttachResponse {
	resp := &pb.AttachResponse{}
	for i := range n {
		resp.Deliveries = append(resp.Deliveries, &pb.Delivery{Listener: "listener", Message: &pb.Message{
			Id: fmt.Sprint(i), Type: "create", From: "from", To: "to", Via: "via", P2P: true,
			Body: []byte(strings.Repeat("x", body+i)), Origin: []byte("origin"), Number: uint64(100 + 2*i), // not negative
		}})
	}
	return resp
}

// given reads a frame in a buffer that is overwritten when it is given back.
func given(t *testing.T, m *Received, resp *pb.AttachResponse) (back func() bool) {
	t.Helper()
	b, err := proto.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	pool := &overwrites{}
	data := mem.BufferSlice{mem.NewBuffer(&b, pool)}
	if err := (GRPC{}).Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	data.Free()
	return func() bool { return pool.back }
}

type overwrites struct{ back bool }

func (*overwrites) Get(size int) *[]byte { b := make([]byte, size); return &b }

func (o *overwrites) Put(b *[]byte) {
	o.back = true
	clear((*b)[:cap(*b)])
}

// The messages of a lot are those of the frame, which is kept until the lot is freed. What
// may be kept stays when it has been given back.
func TestLot(t *testing.T) {
	for _, lends := range []bool{false, true} {
		var m Received
		resp := crowd(30, 40)
		back := given(t, &m, resp)
		if len(m.Deliveries) > 0 || len(m.Groups) != 1 || m.Groups[0].Lot == nil || m.Groups[0].Listener != "listener" || m.Groups[0].Length != 30 {
			t.Fatalf("groups are %v", m.Groups)
		}
		lot, opener := m.Groups[0].Lot, Opener{Lends: lends}
		var all []*pb.Message
		for i, d := range resp.Deliveries {
			got := opener.Message(lot, i)
			if !proto.Equal(got, d.Message) || lot.Size(i) != proto.Size(d.Message) || lot.Number(i) != d.Message.Number {
				t.Fatalf("lends %t: message %d is %v", lends, i, got)
			}
			all = append(all, got)
		}
		if back() {
			t.Fatal("the frame was given back before the lot was")
		}
		if lot.Free(); !back() {
			t.Fatal("the frame was not given back")
		}
		for i, got := range all {
			if !lends && !proto.Equal(got, resp.Deliveries[i].Message) {
				t.Fatalf("message %d was not kept: %v", i, got)
			}
			if lends && got != all[0] {
				t.Fatal("what is lent is not used again")
			}
		}
	}
}

// A lot follows a message whose heading is the beginning of its own.
func TestALotWhoseHeadingGoesOn(t *testing.T) {
	var m Received
	brief := crowd(1, 40)
	brief.Deliveries[0].Message.Via, brief.Deliveries[0].Message.P2P = "", false
	given(t, &m, brief)
	resp := crowd(30, 40)
	given(t, &m, resp)
	if len(m.Groups) != 1 || m.Groups[0].Lot == nil || m.Groups[0].Length != 30 {
		t.Fatalf("groups are %v", m.Groups)
	}
	if got := (&Opener{}).Message(m.Groups[0].Lot, 1); !proto.Equal(got, resp.Deliveries[1].Message) {
		t.Errorf("read %v", got)
	}
}

// Of a message that is taken out there is nothing, but its size.
func TestDropFromALot(t *testing.T) {
	var m Received
	given(t, &m, crowd(30, 40))
	lot := m.Groups[0].Lot
	lot.Drop(3)
	for _, o := range []Opener{{}, {Lends: true}} {
		if o.Message(lot, 3) != nil || o.Message(lot, 4) == nil || lot.Size(3) == 0 {
			t.Error("the wrong one was taken out")
		}
	}
}

// What is few or little, beside much in the frame, does not keep it; and a lot ends where
// something else comes.
func TestWhatIsNoLot(t *testing.T) {
	few := crowd(2, 40)
	beside := crowd(4, 0)
	for n := range 60 {
		beside.Deliveries = append(beside.Deliveries, &pb.Delivery{Listener: fmt.Sprint(n), Message: &pb.Message{Id: "1", Body: make([]byte, 200)}})
	}
	traced := crowd(40, 40)
	for i, d := range traced.Deliveries {
		if i%3 == 2 {
			d.Message.Trace = &pb.Trace{}
		}
	}
	for name, tc := range map[string]struct {
		resp  *pb.AttachResponse
		whole bool
	}{"few": {resp: few}, "beside others": {resp: beside}, "with traces": {resp: traced}, "passed on": {crowd(40, 40), true}} {
		m := Received{Whole: tc.whole}
		back := given(t, &m, tc.resp)
		for _, g := range m.Groups {
			if g.Lot != nil {
				t.Errorf("%s: there is a lot of %d", name, g.Length)
			}
		}
		if got, want := asResponse(&m), knownOf(tc.resp); !proto.Equal(got, want) {
			t.Errorf("%s: read %v\nwant %v", name, got, want)
		}
		if !back() && len(m.Deliveries) != 2 { // so few are in no buffer of a pool
			t.Errorf("%s: the frame was not given back", name)
		}
	}
}

// One long message is lent to who borrows it, in memory that is given back, and is in
// memory of its own for anybody else.
func TestALongMessageIsLent(t *testing.T) {
	for _, lends := range []bool{false, true} {
		m := Received{Lends: func(listener string) bool { return lends && listener == "listener" }}
		resp := crowd(1, 20<<10)
		receive(t, &m, resp)
		if lot := m.Groups[0].Lot; (lot != nil) != lends {
			t.Errorf("lends %t: groups are %v", lends, m.Groups)
		}
		if got, want := asResponse(&m), knownOf(resp); !proto.Equal(got, want) {
			t.Errorf("lends %t: another message came", lends)
		}
	}
}

// A via that a stub has put in front is not that of a message that says another one in its
// place, even none.
func TestAViaInFrontOfAnother(t *testing.T) {
	for _, via := range []string{"", "other"} {
		var m Received
		one := "\x2a\x05first\x0a\x01i\x12\x04type\x2a" + string(rune(len(via))) + via
		one = "\x0a\x01l\x12" + string(rune(len(one))) + one
		b := []byte(strings.Repeat("\x1a"+string(rune(len(one)))+one, 30))
		if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &m); err != nil {
			t.Fatal(err)
		}
		for _, d := range asResponse(&m).Deliveries {
			if d.Message.Via != via {
				t.Fatalf("via is %q, want %q", d.Message.Via, via)
			}
		}
	}
}

// A listener whose name is not UTF-8 is refused, whatever comes behind it.
func TestReceivedChecksListeners(t *testing.T) {
	for _, n := range []int{1, 30} {
		b, err := proto.Marshal(crowd(n, 40))
		if err != nil {
			t.Fatal(err)
		}
		b = []byte(strings.ReplaceAll(string(b), "listener", "listene\xff"))
		var m Received
		if err := (GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &m); err == nil {
			t.Errorf("read %v", m.Groups)
		}
	}
}

// However long its messages are, a lot is not a small part of the memory that it keeps: what
// is under way to a listener is counted by its messages.
func TestALotKeepsNoMuchLargerFrame(t *testing.T) {
	for small, large := range map[int]int{3 << 10: 900 << 10, 8 << 10: 50 << 10, 2 << 10: 17 << 10} {
		keepsNoMuchLargerFrame(t, small, large)
	}
}

// keepsNoMuchLargerFrame reads a message of so many bytes in front of a larger one.
func keepsNoMuchLargerFrame(t *testing.T, small, large int) {
	t.Helper()
	m := Received{Lends: func(string) bool { return true }}
	resp := crowd(1, small)
	resp.Deliveries = append(resp.Deliveries, &pb.Delivery{Listener: "other", Message: &pb.Message{Id: "1", To: "other", Body: make([]byte, large)}})
	want := knownOf(resp)
	receive(t, &m, resp)
	for _, g := range m.Groups {
		if g.Lot == nil {
			continue
		}
		sum := 0
		for i := range g.Length {
			sum += g.Lot.Size(i)
		}
		if kept := g.Lot.memory.Len(); kept > lotShare*sum && kept > usualFrame {
			t.Errorf("%d messages of %d bytes for %s keep %d", g.Length, sum, g.Listener, kept)
		}
	}
	if got := asResponse(&m); !proto.Equal(got, want) {
		t.Error("other messages came")
	}
}
