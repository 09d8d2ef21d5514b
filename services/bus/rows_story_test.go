package bus

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/story"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/framing"
)

// TestRowsStory plays testdata/rows.txt: what happens, and below it each frame and each packet that
// comes of it, from the bus of the sender to the receiver.
func TestRowsStory(t *testing.T) {
	playInBubble(t, "testdata/rows.txt", func(t *testing.T, text string) string { return newPassage(t).play(text) })
}

// passage is two buses with a data channel between their stubs. Time stands still in it: nothing is sent
// again, and nothing acknowledged.
type passage struct {
	*strait
	enc       framing.Encoder
	dec       framing.Decoder
	busOfRows bool // the bus of the receiver takes rows
	out       *strings.Builder
}

func newPassage(t *testing.T) *passage {
	p := &passage{strait: newStrait(t, decided(Limits{}), 1<<20, 1), busOfRows: true, out: &strings.Builder{}}
	p.stubs[near][overDirect].rows = true
	p.listeners[0].stream.sequels = true
	p.channel(framing.Options{Rows: true, Sequels: true})
	return p
}

// channel is another data channel, to a peer that has announced so much. A packet has room for
// six messages of the story in a row.
func (p *passage) channel(o framing.Options) {
	o.Limits = framing.DefaultLimits()
	o.Limits.Packet = 200
	p.enc, p.dec = framing.New(framing.PeerBus, o)
}

func (p *passage) play(text string) string {
	story.Tell(text, p.out, func(event string) { p.do(strings.Fields(event)) })
	p.cutOff(p.sender.stream)
	p.endNear()
	p.endFar()
	return p.out.String()
}

func (p *passage) do(words []string) {
	p.t.Helper()
	switch event := strings.Join(words, " "); {
	case strings.HasPrefix(event, "alice posts"):
		n, err := strconv.Atoi(words[2])
		if err != nil {
			p.t.Fatal(err)
		}
		p.post(n, bob, strings.Repeat("x", 40))
		p.enqueue()
	case event == "the channel has room":
		p.cross()
	case event == "the peer takes no rows":
		p.channel(framing.Options{Sequels: true})
	case event == "the peer takes whole messages alone":
		p.channel(framing.Options{})
	case event == "the peer takes rows, and its bus none":
		p.channel(framing.Options{Rows: true, Sequels: true})
		p.busOfRows = false
	default:
		p.t.Fatalf("no event %q", event)
	}
}

// say tells what was said, of rows each with its first message whole and its sequels.
func (p *passage) say(what string, rows []string) {
	fmt.Fprintf(p.out, "  %s  %s\n", what, strings.Join(rows, ", "))
}

func rowText(m *pb.Message, sequels []*pb.Message) string {
	text := fmt.Sprintf("%s (number %d", m.Id, m.Number)
	if m.Flow != nil {
		text += fmt.Sprintf(", place %d", m.Flow.Sequence)
	}
	text += ")"
	for _, s := range sequels {
		text += " │ " + s.Id
	}
	return text
}

// enqueue has the sender's stub take what its bus has for it.
func (p *passage) enqueue() {
	for _, frame := range p.frames(p.stubs[near][overDirect], "bus to stub ") {
		got := codec.Received{Whole: true}
		if err := (codec.GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(frame)}, &got); err != nil {
			p.t.Fatal(err)
		}
		for _, d := range got.Deliveries {
			if err := p.enc.Carry(d.Carried); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

// cross has all packets sent, and what comes posted, by packet.
func (p *passage) cross() {
	for packet, ok := p.enc.Next(); ok; packet, ok = p.enc.Next() {
		var f pb.Frame
		if err := proto.Unmarshal(packet.Data, &f); err != nil {
			p.t.Fatal(err)
		}
		var rows []string
		for _, m := range f.Messages {
			rows = append(rows, rowText(m, nil))
		}
		for _, s := range f.Sequels {
			rows = append(rows, strings.Repeat("…", min(int(s.SameId), 1))+rowText(s.Message, nil))
		}
		for _, r := range f.Rows {
			rows = append(rows, rowText(r.Message, r.Sequels))
		}
		p.say("packet      ", rows)
		got, err := p.dec.Decode(packet)
		if err != nil {
			p.t.Fatal(err)
		}
		p.arrive(got.Messages)
	}
	for range p.frames(p.listeners[0].stream, "bus to bob  ") {
		continue
	}
}

// arrive has the receiver's stub post what came in a packet.
func (p *passage) arrive(all codec.Messages) {
	var posts []byte
	for _, c := range all {
		for one := range p.asTaken(c) {
			if one.Encoded == nil {
				encoded, err := codec.Append(nil, one.Message())
				if err != nil {
					p.t.Fatal(err)
				}
				one = codec.Whole(one.Message(), encoded)
			}
			posted := codec.NewCarried(one, shoreWays[overDirect], &pb.Ingress{RemoteRuntimeUrl: runtimeURL})
			var err error
			if posts, err = posted.Append(codec.AppendHead(posts, codec.Head{}, posted.Size())); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	var req pb.AttachRequest
	if err := proto.Unmarshal(posts, &req); err != nil {
		p.t.Fatal(err)
	}
	var rows []string
	for _, one := range req.Posts {
		rows = append(rows, rowText(one.Message, one.Sequels))
	}
	p.say("stub to bus ", rows)
	takeBytes(p.t, p.stubs[farther][overDirect], posts, true)
}

// asTaken is what the bus of the receiver takes: a row, or each of its messages.
func (p *passage) asTaken(c codec.Carried) iter.Seq[codec.Carried] {
	if p.busOfRows {
		return slices.Values([]codec.Carried{c})
	}
	return c.Each()
}

// frames are those that a bus has for somebody, which are said.
func (p *passage) frames(s *stream, what string) (all [][]byte) {
	s.frame.Leaves = &s.leaves
	for f, _ := s.take(); f != nil; f, _ = s.take() {
		parts, err := codec.GRPC{}.Marshal(f)
		if err != nil {
			p.t.Fatal(err)
		}
		var resp pb.AttachResponse
		b := parts.Materialize()
		if err := proto.Unmarshal(b, &resp); err != nil {
			p.t.Fatal(err)
		}
		parts.Free()
		var rows []string
		for _, d := range resp.Deliveries {
			rows = append(rows, rowText(d.Message, d.Sequels))
		}
		if len(rows) > 0 {
			p.say(what, rows)
		}
		all = append(all, b)
	}
	return all
}
