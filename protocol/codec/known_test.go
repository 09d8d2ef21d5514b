package codec

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// usualMessage is one as most are.
func usualMessage() *pb.Message {
	return &pb.Message{Id: `"1"`, Type: "create", From: "hyperty://a.example/1", To: "hyperty://b.example/2", Body: []byte(`{"value":1}`), Origin: []byte("origin"), Number: 7}
}

func encoded(t testing.TB, m *pb.Message) []byte {
	t.Helper()
	b, err := Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replaced is encoded bytes with others in place of some, once.
func replaced(encoded []byte, old, with string) []byte {
	return []byte(strings.Replace(string(encoded), old, with, 1))
}

// readers know what came before, and are asked for messages one after the other.
func readers() map[string]*known {
	return map[string]*known{"shares": {}, "copies": {arena: &arena{}, copies: true}}
}

// What is said again is the same memory, and so it is when other messages came between.
func TestWhatIsKnownIsShared(t *testing.T) {
	changed := usualMessage()
	changed.Type, changed.Origin = "delete", []byte("another")
	for name, k := range readers() {
		var all []*pb.Message
		for _, want := range []*pb.Message{usualMessage(), usualMessage(), changed} {
			var m pb.Message
			if err := readMessage(encoded(t, want), &m, k); err != nil || !proto.Equal(&m, want) {
				t.Fatalf("%s: %v\nread %v\nwant %v", name, err, &m, want)
			}
			all = append(all, &m)
		}
		same := func(a, b string) bool { return unsafe.StringData(a) == unsafe.StringData(b) }
		if a, b := all[0], all[1]; !same(a.Type, b.Type) || !same(a.From, b.From) || !same(a.To, b.To) || &a.Origin[0] != &b.Origin[0] || same(a.Id, b.Id) || &a.Body[0] == &b.Body[0] {
			t.Errorf("%s: of two messages that are alike not that is shared which should be", name)
		}
		if a, b := all[1], all[2]; same(a.Type, b.Type) || !same(a.From, b.From) || !same(a.To, b.To) {
			t.Errorf("%s: of two messages with the same addresses these should be shared", name)
		}
	}
}

// A heading that another one begins with is not that one: what follows it is known too.
func TestAHeadingThatGoesOn(t *testing.T) {
	more := usualMessage()
	more.Via = "hyperty-runtime://b.example/stub"
	for name, k := range readers() {
		var via [2]string
		for i, want := range []*pb.Message{usualMessage(), more, more} {
			var m pb.Message
			if err := readMessage(encoded(t, want), &m, k); err != nil || !proto.Equal(&m, want) {
				t.Fatalf("%s: %v\nread %v\nwant %v", name, err, &m, want)
			}
			via[i%2] = m.Via // the last two
		}
		if via[0] == "" || unsafe.StringData(via[0]) != unsafe.StringData(via[1]) {
			t.Errorf("%s: of two messages with a heading that begins as one before them the rest of it should be shared", name)
		}
	}
}

// A message keeps no long one with it for the texts that both have.
func TestWhatALongMessageSaysIsNotKnown(t *testing.T) {
	long := usualMessage()
	long.Body = make([]byte, 100<<10)
	var k known
	var before, m pb.Message
	for _, into := range []*pb.Message{&before, &m} {
		if err := readMessage(encoded(t, long), into, &k); err != nil {
			t.Fatal(err)
		}
	}
	if unsafe.StringData(before.From) == unsafe.StringData(m.From) {
		t.Error("two long messages share a text")
	}
}

// A heading is as long as it may be, and longer.
func TestLongHeadings(t *testing.T) {
	for name, k := range readers() {
		for _, n := range []int{10, maxHeading - 60, maxHeading, 10} {
			want := usualMessage()
			want.From = strings.Repeat("a", n)
			for range 2 {
				var m pb.Message
				if err := readMessage(encoded(t, want), &m, k); err != nil || !proto.Equal(&m, want) {
					t.Fatalf("%s: %v\nread %v\nwant %v", name, err, &m, want)
				}
			}
		}
	}
}

// Nothing of a message that is refused is taken for checked.
func TestARefusedTextIsNotKnown(t *testing.T) {
	for name, k := range readers() {
		good := encoded(t, usualMessage())
		bad := replaced(good, "b.example", "b.exam\xffle")
		for n, b := range [][]byte{good, bad, bad, good, bad} {
			var m pb.Message
			if err := readMessage(b, &m, k); (err == nil) != (n%3 == 0) {
				t.Errorf("%s: message %d: %v", name, n, err)
			}
		}
	}
}

// What is read of a message is what package proto reads, whatever was read before it, and
// stays so, whatever is read after it.
func FuzzKnown(f *testing.F) {
	full, _ := filled(&pb.Message{}).(*pb.Message)
	usual := encoded(f, usualMessage())
	other := usualMessage()
	other.To, other.P2P, other.Via, other.Id = "hyperty://b.example/3", true, "via", ""
	short := usualMessage()
	short.To = "" // its heading is the beginning of the usual one
	for _, two := range [][2][]byte{
		{usual, usual}, {usual, encoded(f, other)}, {usual, encoded(f, full)}, {usual, encoded(f, short)}, {encoded(f, full), nil},
		{usual, append(slices.Clone(usual), 0x12, 1, 'x')}, // the type comes again behind
		{usual, append([]byte{0x12, 1, 'x'}, usual...)},    // and in front of the id
		{usual, replaced(usual, "\x22", "\x2a")},           // via in place of to
		{usual, replaced(usual, "b.e", "\xff.e")},
		{usual, append([]byte{0x92, 0x00, 1, 'x'}, usual...)}, // a tag with a byte too many
		{usual, usual[:len(usual)-1]},
		{[]byte{0x12, 1, 'x', 0x38, 1, 0x3a, 0}, []byte{0x12, 0x81, 0x00, 'x', 0x38, 0}},
	} {
		f.Add(two[0], two[1])
	}
	f.Fuzz(func(t *testing.T, one, other []byte) {
		for _, k := range readers() {
			var all, wanted []*pb.Message
			for _, b := range [][]byte{one, other, one, one, other, other} {
				var got, want pb.Message
				wrong, err := proto.Unmarshal(b, &want), readMessage(slices.Clone(b), &got, k)
				if (err == nil) != (wrong == nil) {
					t.Fatalf("%v, want %v", err, wrong)
				}
				if err == nil {
					all, wanted = append(all, &got), append(wanted, &want)
				}
			}
			for i, got := range all {
				if !proto.Equal(got, wanted[i]) {
					t.Fatalf("read %v\nwant %v", got, wanted[i])
				}
			}
		}
	})
}
