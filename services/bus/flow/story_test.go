package flow

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/story"
)

// TestStories plays testdata/*.txt. A line that begins with `>` is an event, and
// what follows is what comes of it. `+ 20ms` lets time pass. Of a sender it is
// said what it sends and settles, of a receiver what it hands over and
// acknowledges, and of both when they are to be called again.
func TestStories(t *testing.T) { story.Play(t, "testdata/*.txt", play) }

func play(t *testing.T, text string) string {
	s := &stage{t: t, start: time.Unix(1_000_000, 0)}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue
		}
		fmt.Fprintln(&s.out, line)
		if event, ok := strings.CutPrefix(line, "> "); ok {
			s.play(strings.Fields(event))
		}
	}
	return s.out.String()
}

// stage is where a story plays.
type stage struct {
	t          *testing.T
	out        strings.Builder
	start, now time.Time
	limits     Limits
	sender     *Sender
	receiver   *Receiver
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(&s.out, "  "+format+"\n", args...) }

func (s *stage) play(words []string) {
	verb, words := words[0], words[1:]
	switch verb {
	case "limits":
		s.limits = s.readLimits(words)
		return
	case "sender":
		s.now, s.receiver, s.sender = s.start, nil, NewSender(ID{1, 1}, s.limits)
	case "receiver":
		s.now, s.sender, s.receiver = s.start, nil, NewReceiver(s.number(words[0]), s.limits)
	case "+":
		d, err := time.ParseDuration(words[0])
		if err != nil {
			s.t.Fatal(err)
		}
		s.pass(d)
	default:
		if s.sender != nil {
			s.playSender(verb, words)
		} else {
			s.playReceiver(verb, words)
		}
	}
	s.after()
}

// pass lets time pass, and stops where the machine wants to be called.
func (s *stage) pass(d time.Duration) {
	end := s.now.Add(d)
	for s.sender != nil {
		at, ok := s.sender.Deadline()
		if !ok || at.After(end) {
			break
		}
		if at.After(s.now) {
			s.now = at
		}
		s.say("at %v", s.now.Sub(s.start).Round(time.Millisecond))
		s.settled(s.sender.Tick(s.now))
		s.send()
	}
	s.now = end
}

func (s *stage) after() {
	if s.sender != nil {
		s.send()
		if at, ok := s.sender.Deadline(); ok {
			s.say("until %v", at.Sub(s.start).Round(time.Millisecond))
		}
		return
	}
	if at, ok := s.receiver.AckDue(); ok && at.After(s.now) {
		s.say("acknowledge at %v", at.Sub(s.start))
	} else if ok {
		s.acknowledge()
	}
}

// playSender reads
//
//	post ADDRESS[/LANE] SIZE...
//	together ADDRESS[/LANE] SIZE...
//	paths [direct] [relay] [doubt]
//	ack RECEIVER received SEQUENCE [RANGE...] dealt SEQUENCE [RANGE...] [refused SEQUENCE CODE]
//	refused SEQUENCE CODE
//	full SEQUENCE[-SEQUENCE] PATH | ready PATH
//	announced | plain
func (s *stage) playSender(verb string, words []string) {
	switch verb {
	case "post":
		s.post(words[0], words[1:])
	case "together":
		s.postTogether(words[0], words[1:])
	case "paths":
		all := " " + strings.Join(words, " ") + " "
		s.sender.SetPaths(s.now, Paths{strings.Contains(all, " direct "), strings.Contains(all, " relay "), strings.Contains(all, " doubt ")})
	case "ack":
		before := s.sender.RTT()
		s.settled(s.sender.Acked(s.now, s.readAck(words)))
		if after := s.sender.RTT(); after != before {
			s.say("round trip %v", after)
		}
	case "refused":
		s.settled(s.sender.Refused(s.now, s.number(words[0]), int32(s.number(words[1])), "not relayed"))
	case "full":
		first, last, _ := strings.Cut(words[0]+"-"+words[0], "-")
		last, _, _ = strings.Cut(last, "-")
		s.sender.Unsent(s.number(first), int(s.number(last)-s.number(first))+1, path(words[1])) // small
	case "ready":
		s.sender.Ready(path(words[0]))
	case "announced":
		s.sender.Announce(s.now)
	case "plain":
		s.settled(s.sender.Plain(s.now))
	default:
		s.t.Fatalf("a sender does not know %q", verb)
	}
}

func path(word string) Path {
	return map[string]Path{"direct": Direct, "relay": Relay, "both": Both}[word]
}

func (s *stage) post(to string, sizes []string) {
	address, lane, _ := strings.Cut(to, "/")
	for _, size := range sizes {
		if !s.sender.Post(s.now, Item{Address: address, Lane: lane, Size: int(s.number(size)), Value: "body"}) {
			s.say("no room for %s", address)
		}
	}
}

// together are messages of these sizes.
type together []int

func (t together) Len() int { return len(t) }

func (t together) Size(from, to int) (sum int) {
	for _, n := range t[from:to] {
		sum += n
	}
	return sum
}

func (s *stage) postTogether(to string, sizes []string) {
	address, lane, _ := strings.Cut(to, "/")
	var all together
	for _, size := range sizes {
		all = append(all, int(s.number(size))) // small
	}
	if n := s.sender.PostSeveral(s.now, Item{Address: address, Lane: lane, Value: all}, 0, len(all)); n < len(all) {
		s.say("room for %d to %s", n, address)
	}
}

// span names messages that have sequences behind each other.
func span(sequence uint64, count int) string {
	if count < 2 {
		return strconv.FormatUint(sequence, 10)
	}
	return fmt.Sprintf("%d to %d", sequence, sequence+uint64(count)-1) // not negative
}

func (s *stage) send() {
	for t, ok := s.sender.Next(s.now); ok; t, ok = s.sender.Next(s.now) {
		text := "send " + span(t.Sequence, t.Count)
		if t.Value == nil {
			text = "ask"
			if t.Sequence > 0 {
				text = fmt.Sprintf("tell that nothing comes before %d", t.Sequence)
			}
		}
		text += " " + t.Path.String() + fmt.Sprintf(", base %d", t.Base)
		if t.After > 0 {
			text += fmt.Sprintf(", after %d", t.After)
		}
		if t.Again {
			text += ", again"
		}
		s.say("%s", text)
	}
}

func (s *stage) settled(all []Settled) {
	for _, m := range all {
		name := span(m.Sequence, m.Count)
		switch {
		case m.Sequence == 0 && m.Count > 1:
			name = fmt.Sprintf("%d that were never sent: each", m.Count)
		case m.Sequence == 0:
			name = "one that was never sent"
		case m.Count > 1:
			name += ": each"
		}
		switch {
		case m.Plain && m.Unsent:
			s.say("%s is to go plain", name)
		case m.Plain:
			s.say("%s has gone plain", name)
		case m.Code == 0:
			s.say("%s is dealt with", name)
		default:
			s.say("%s is refused: %d %s", name, m.Code, m.Description)
		}
	}
}

// playReceiver reads
//
//	SEQUENCE [base SEQUENCE] [after SEQUENCE] [size BYTES]
//	told SEQUENCE [base SEQUENCE] [after SEQUENCE]
//	dealt SEQUENCE [CODE]
func (s *stage) playReceiver(verb string, words []string) {
	switch verb {
	case "dealt":
		var code int32
		if len(words) > 1 {
			code = int32(s.number(words[1]))
		}
		s.receiver.Dealt(s.now, s.number(words[0]), code, "unwanted")
	case "told":
		p, _ := s.readPlace(words[0], words[1:])
		turn, _ := s.receiver.Receive(s.now, p, 0, nil)
		s.handOver(turn, true)
	default:
		p, size := s.readPlace(verb, words)
		turn, taken := s.receiver.Receive(s.now, p, size, "body")
		s.handOver(turn, taken)
		if taken && len(turn) == 0 {
			s.say("keep")
		}
	}
}

func (s *stage) handOver(turn []Delivery, taken bool) {
	for _, d := range turn {
		s.say("hand over %d", d.Sequence)
	}
	if !taken && len(turn) == 0 {
		s.say("not taken")
	}
}

func (s *stage) acknowledge() {
	a := s.receiver.Ack(s.now)
	s.say("acknowledge as %d: received %d%s, dealt %d%s", a.Receiver, a.Received, ranges(a.ReceivedBeyond), a.Dealt, ranges(a.DealtBeyond))
	for _, r := range a.Refusals {
		s.say("  refused %d: %d %s", r.Sequence, r.Code, r.Description)
	}
	if at, ok := s.receiver.AckDue(); ok {
		s.say("acknowledge at %v", at.Sub(s.start))
	}
}

func ranges(rs []*pb.Range) string {
	text := ""
	for _, r := range rs {
		text += fmt.Sprintf(" %d-%d", r.First, r.Last)
	}
	return text
}

func (s *stage) readPlace(sequence string, words []string) (p Place, size int) {
	p.Sequence, p.Base = s.number(sequence), 1
	for i := 0; i+1 < len(words); i += 2 {
		switch n := s.number(words[i+1]); words[i] {
		case "base":
			p.Base = n
		case "after":
			p.After = n
		case "size":
			size = int(n)
		}
	}
	return p, size
}

func (s *stage) readAck(words []string) *pb.FlowAck {
	a := &pb.FlowAck{Epoch: 1, Id: 1, Receiver: s.number(words[0])}
	what := ""
	for i := 1; i < len(words); i++ {
		first, last, isRange := strings.Cut(words[i], "-")
		switch w := words[i]; {
		case w == "received" || w == "dealt" || w == "refused":
			what = w
		case what == "refused":
			a.Refusals = append(a.Refusals, &pb.FlowRefusal{Sequence: s.number(w), Code: int32(s.number(words[i+1])), Description: "unwanted"})
			i++
		case isRange && what == "received":
			a.ReceivedBeyond = append(a.ReceivedBeyond, &pb.Range{First: s.number(first), Last: s.number(last)})
		case isRange:
			a.DealtBeyond = append(a.DealtBeyond, &pb.Range{First: s.number(first), Last: s.number(last)})
		case what == "received":
			a.Received = s.number(w)
		default:
			a.Dealt = s.number(w)
		}
	}
	return a
}

func (s *stage) readLimits(words []string) (l Limits) {
	for i := 0; i+1 < len(words); i += 2 {
		n := int(s.number(words[i+1]))
		*map[string]*int{
			"bytes": &l.Bytes, "first": &l.First, "underway": &l.UnderWay, "least": &l.Least,
			"ahead": &l.Ahead, "short": &l.Short, "ranges": &l.Ranges, "ackbytes": &l.AckBytes,
		}[words[i]] = n
	}
	return l
}

func (s *stage) number(word string) uint64 {
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		s.t.Fatalf("%q is no number", word)
	}
	return n
}
