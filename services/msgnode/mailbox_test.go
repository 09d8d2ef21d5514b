package msgnode

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"weak"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/story"
	"github.com/peerbus/peerbus/protocol/codec"
)

// TestMailboxStory plays testdata/mailbox.txt: what happens to the mailboxes, and
// below it which letters that gives, and what is left in each.
func TestMailboxStory(t *testing.T) {
	story.Play(t, "testdata/mailbox.txt", func(t *testing.T, text string) string {
		var got strings.Builder
		l := Limits{MailboxBytes: 1160, MailboxTotal: 1500, MailboxTime: time.Minute}
		b := newMailboxes(&l)
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case strings.HasPrefix(line, "  "):
			case line == "" || line[0] == '#':
				fmt.Fprintln(&got, line)
			default:
				result := play(t, b, strings.Fields(line))
				fmt.Fprintf(&got, "%s\n  %s; %s\n", line, result, contents(b))
			}
			checkBytes(t, b)
		}
		return got.String()
	})
}

// play does `verb [runtime] [size] [ids…] [at=time]`.
func play(t *testing.T, b *mailboxes, words []string) string {
	t.Helper()
	now := time.UnixMilli(0)
	if at, ok := strings.CutPrefix(words[len(words)-1], "at="); ok {
		d, err := time.ParseDuration(at)
		if err != nil {
			t.Fatal(err)
		}
		now, words = now.Add(d), words[:len(words)-1]
	}
	letters := func(size int, ids []string) (out []letter) {
		for _, id := range ids {
			out = append(out, letter{Carried: codec.Bare(&pb.Message{Id: id}), size: size})
		}
		return out
	}
	switch verb := words[0]; verb {
	case "put":
		size, err := strconv.Atoi(words[2])
		if err != nil {
			t.Fatal(err)
		}
		return "refused" + ids(b.put(words[1], now, letters(size, words[3:])...))
	case "take":
		return "given" + ids(b.take(words[1]))
	case "move":
		return "moving" + ids(b.move(words[1]))
	case "stay":
		b.stay(words[1])
		return "stays"
	case "back":
		left := letters(44, words[2:])
		for i := range left {
			left[i].kept = now.UnixMilli()
		}
		b.back(words[1], left)
		return "is back"
	case "overdue":
		return "refused" + ids(b.overdue(now))
	default:
		t.Fatalf("no event %q", verb)
		return ""
	}
}

func ids(letters []letter) string {
	if len(letters) == 0 {
		return " none"
	}
	var out strings.Builder
	for _, l := range letters {
		out.WriteString(" " + l.Message().Id)
	}
	return out.String()
}

func contents(b *mailboxes) string {
	var out []string
	for runtime, box := range b.boxes {
		text := runtime + " has" + ids(box.letters)
		if box.moving {
			text += ", others under way"
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "all are empty"
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// checkBytes adds up what is counted.
func checkBytes(t *testing.T, b *mailboxes) {
	t.Helper()
	all := 0
	for runtime, box := range b.boxes {
		sum := 0
		for _, l := range box.letters {
			sum += l.cost()
		}
		if sum != box.bytes || len(box.letters) == 0 && !box.moving {
			t.Errorf("%s: %d bytes counted, %d there", runtime, box.bytes, sum)
		}
		all += sum
	}
	if all != b.bytes {
		t.Errorf("%d bytes counted, %d there", b.bytes, all)
	}
}

// A letter that is kept keeps nothing of the frame that it came in, which its bounds do not
// count.
func TestAKeptLetterIsAlone(t *testing.T) {
	frame, err := codec.GRPC{}.Marshal(&pb.MessageNodeConnectRequest{Messages: []*pb.Message{
		{Id: "1", Type: "event", From: "a", To: "b", Body: make([]byte, 8<<10)},
		{Id: "2", Type: "event", From: "a", To: "b", Body: []byte("{}"), Flow: &pb.Flow{Runtime: "r", Sequence: 1}},
		{Id: "3", Type: "event", From: "a", To: "b", Body: []byte("{}")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var in codec.Messages
	if err := (codec.GRPC{}).Unmarshal(frame, &in); err != nil {
		t.Fatal(err)
	}
	l := DefaultLimits()
	b := newMailboxes(&l)
	text := strings.Clone(in[1].Message().String())
	b.put("r", time.UnixMilli(0), newLetter(in[1], ""), newLetter(codec.Bare(in[2].Message()), ""))
	large := weak.Make(&in[0].Message().Body[0])
	others := weak.Make(in[0].Message())
	clear(in)
	runtime.GC() // pools give up what they have with the second one
	if runtime.GC(); large.Value() != nil || others.Value() != nil {
		t.Errorf("its neighbour is there %t, with its bytes %t", others.Value() != nil, large.Value() != nil)
	}
	kept := b.take("r")
	if got := kept[0].Message().String(); got != text || len(kept[0].Encoded) != kept[0].size || kept[1].Encoded != nil || kept[1].Message().Id != "3" {
		t.Errorf("%s was kept of %s, and %s", got, text, kept[1].Message())
	}
}
