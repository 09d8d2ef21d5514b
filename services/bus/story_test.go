package bus

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/story"
	"github.com/peerbus/peerbus/protocol/codec"
)

// TestReplicasStory plays testdata/replicas.txt: what happens, and below it what is said
// on the streams, those of one speaker to one listener in order.
func TestReplicasStory(t *testing.T) {
	playInBubble(t, "testdata/replicas.txt", func(t *testing.T, text string) string { return newTale(t).play(text) })
}

// playInBubble plays a story where time is virtual.
func playInBubble(t *testing.T, file string, play func(t *testing.T, text string) string) {
	story.Play(t, file, func(t *testing.T, text string) (told string) {
		synctest.Test(t, func(t *testing.T) { told = play(t, text) })
		return told
	})
}

// tale is three replicas, and the clients alice and carol.
type tale struct {
	t     *testing.T
	c     *cluster
	alice *roamer
	carol *roamer
	gate  chan struct{} // has a token unless carol keeps what comes

	mu    sync.Mutex
	lines map[string][]string // by who says it to whom
}

func newTale(t *testing.T) *tale {
	ta := &tale{t: t, lines: map[string][]string{}, gate: make(chan struct{}, 1)}
	ta.gate <- struct{}{}
	ta.c = newCluster(t, Limits{}, 0)
	ta.c.tap = func(replica string, b *Bus) pb.MessageBusServer { return tap{server{bus: b}, replica, ta} }
	for range 3 {
		ta.c.add()
	}
	ta.said()
	return ta
}

func (ta *tale) play(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "  "):
		case line == "\n" || line[0] == '#':
			out.WriteString(line)
		default:
			out.WriteString(line)
			ta.do(strings.Fields(line))
			for _, said := range ta.said() {
				fmt.Fprintf(&out, "  %s\n", said)
			}
		}
	}
	return out.String()
}

// said gives what was said since the last time, once all is quiet.
func (ta *tale) said() (all []string) {
	time.Sleep(100 * time.Millisecond) // of the test's own clock
	synctest.Wait()
	ta.mu.Lock()
	defer ta.mu.Unlock()
	for who := range ta.lines {
		all = append(all, who)
	}
	slices.Sort(all)
	for i, who := range all {
		all[i] = strings.Join(slices.Compact(ta.lines[who]), "\n  ") // of credits there are one or more
	}
	ta.lines = map[string][]string{}
	return all
}

func (ta *tale) note(from, to, format string, args ...any) {
	ta.mu.Lock()
	defer ta.mu.Unlock()
	who := from + " to " + to
	ta.lines[who] = append(ta.lines[who], who+": "+fmt.Sprintf(format, args...))
}

func (ta *tale) do(words []string) {
	ta.t.Helper()
	switch event := strings.Join(words[1:], " "); {
	case strings.HasPrefix(event, "attaches to"):
		ta.attach(words[0], ta.at(words[3]))
	case event == "listens":
		_, err := ta.carol.Listen(ta.t.Context(), carol, func(_ context.Context, m *pb.Message) {
			ta.note("carol", "herself", "%s came", m.Id)
			<-ta.gate
			ta.gate <- struct{}{}
		})
		ta.must(err)
	case strings.HasPrefix(event, "posts"):
		n, err := strconv.Atoi(words[2])
		ta.must(err)
		_, err = ta.alice.Start(ta.t.Context(), numbered(alice, carol, n), pb.Wait_WAIT_DELIVERED, time.Minute)
		ta.must(err)
	case event == "keeps what comes":
		<-ta.gate
	case event == "goes on":
		ta.gate <- struct{}{}
	case event == "is killed":
		ta.c.kill(slices.Index(ta.c.all, ta.at(words[0])))
	default:
		ta.t.Fatalf("no event %q", words)
	}
}

func (ta *tale) must(err error) {
	ta.t.Helper()
	if err != nil {
		ta.t.Fatal(err)
	}
}

func (ta *tale) at(replica string) *replicaHouse {
	ta.t.Helper()
	i := slices.IndexFunc(ta.c.all, func(h *replicaHouse) bool { return h.seat.self.ID == replica })
	if i < 0 {
		ta.t.Fatalf("there is no replica %q", replica)
	}
	return ta.c.all[i]
}

// attach attaches a client; one that is there already goes to another replica.
func (ta *tale) attach(name string, h *replicaHouse) {
	r := map[string]**roamer{"alice": &ta.alice, "carol": &ta.carol}[name]
	if *r == nil {
		*r = ta.c.roamAs(name, h)
	} else {
		(*r).move(h)
	}
}

// tap is a replica, and notes what is said on its streams.
type tap struct {
	server
	replica string
	tale    *tale
}

func (tp tap) Attach(call pb.MessageBus_AttachServer) error {
	return tp.server.Attach(&tapped{MessageBus_AttachServer: call, tap: tp})
}

// tapped is one stream. who is the other side, which its hello says.
type tapped struct {
	pb.MessageBus_AttachServer
	tap
	who string
}

func (s *tapped) RecvMsg(m any) error {
	if err := s.MessageBus_AttachServer.RecvMsg(m); err != nil {
		return err
	}
	req := m.(*codec.Request)
	if h := req.GetHello(); h != nil {
		s.who = h.GetName()
		if h.GetReplica() != "" {
			s.who = h.GetReplica()
		}
		s.says("hello")
	}
	for _, c := range req.GetListeners() {
		s.says("listen to %s", short(c.GetAddress()))
	}
	for _, c := range req.GetChanges() {
		s.says("%s", changeText(c))
	}
	for _, c := range req.GetCredits() {
		s.says("credit of %s", short(c.GetListener()))
	}
	for _, p := range req.GetPosts() {
		again := ""
		if p.GetAgain() {
			again = " again"
		}
		s.says("post %s%s", p.GetMessage().GetId(), again)
	}
	return nil
}

func (s *tapped) SendMsg(m any) error {
	resp := m.(*codec.Response)
	for _, o := range resp.GetOutcomes() {
		if s.who == "alice" {
			s.hears("outcome %d of post %d", o.GetCode(), o.GetSequence()) // she does nothing else
		}
	}
	for _, d := range resp.GetDeliveries() {
		s.hears("%s for %s", d.GetMessage().GetId(), short(d.GetListener()))
	}
	for _, r := range resp.GetSettled() {
		for n := r.GetFirst(); n <= r.GetLast(); n++ {
			s.hears("post %d is settled", n)
		}
	}
	return s.MessageBus_AttachServer.SendMsg(resp)
}

func (s *tapped) says(format string, args ...any)  { s.tale.note(s.who, s.replica, format, args...) }
func (s *tapped) hears(format string, args ...any) { s.tale.note(s.replica, s.who, format, args...) }

func changeText(c *pb.ReplicaChange) string {
	switch {
	case c.GetComplete():
		return "that is all"
	case c.GetAddress() == "" && c.GetRemove():
		return "a client has left"
	case c.GetAddress() == "":
		return "a client has attached"
	case c.GetRemove() && c.GetReturning():
		return "listener " + short(c.GetAddress()) + " was cut off"
	case c.GetRemove():
		return "listener " + short(c.GetAddress()) + " has gone"
	}
	return "listener " + short(c.GetAddress())
}

// short is an address without what all have.
func short(address string) string { return address[strings.LastIndexByte(address, '/')+1:] }
