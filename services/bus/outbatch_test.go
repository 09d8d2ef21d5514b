package bus

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// abroadAct is something that happens to an abroad.
type abroadAct struct {
	name    string
	repeats bool // what has come may come again
	loses   bool // what was sent in a flow may have been plain, and is lost
	does    func(a *abroad)
}

func (a abroadAct) String() string { return a.name }

func anyAbroadAct(t *rapid.T) abroadAct {
	n, way := rapid.IntRange(1, 70).Draw(t, "n"), rapid.IntRange(0, 1).Draw(t, "way")
	to := rapid.SampledFrom([]string{bob, bob, dave, frank}).Draw(t, "to")
	is := func(name string, does func(*abroad)) abroadAct { return abroadAct{name: name, does: does} }
	again := func(name string, does func(*abroad)) abroadAct {
		return abroadAct{name: name, repeats: true, does: does}
	}
	switch rapid.IntRange(0, 19).Draw(t, "act") {
	case 0, 1, 2, 3:
		text := strings.Repeat("x", rapid.OneOf(rapid.IntRange(0, 400), rapid.Just(2000)).Draw(t, "length"))
		asks := rapid.IntRange(0, 5).Draw(t, "asks") == 0
		return is(fmt.Sprintf("%d of %d to %s (asks: %v)", n, len(text), to, asks), func(a *abroad) {
			a.post(a.sender, n, to, text, asks)
		})
	case 4, 5, 6:
		lost := rapid.SampledFrom([]int{0, 0, 0, 3, 40}).Draw(t, "lost")
		return is(fmt.Sprintf("%scarries all, but of %d one", way_(way), lost), func(a *abroad) { a.carry(way, lost) })
	case 7, 8:
		return is(fmt.Sprintf("%sgives credit of %d", way_(way), 997*n), func(a *abroad) {
			a.stubs[way].credit(&pb.Credit{Listener: a.names[way], Bytes: uint32(997 * n)}) // small
		})
	case 9, 10:
		refuses := rapid.IntRange(0, 3).Draw(t, "refuses") == 0
		return is(fmt.Sprintf("%s deals with %d (refuses: %v)", to, n, refuses), func(a *abroad) { a.deal(to, n, refuses) })
	case 11, 12:
		return is("they ack", (*abroad).ack)
	case 13:
		code := rapid.SampledFrom([]fault.Code{403, 404, 429, 503}).Draw(t, "code")
		return is(fmt.Sprintf("each %d. is refused with %d", n, code), func(a *abroad) { a.refuse(n, code) })
	case 14:
		return is(fmt.Sprintf("direct: %v, doubt: %v", n > 20, n > 50), func(a *abroad) { a.routes(n > 20, n > 50) })
	case 15:
		return is(way_(way)+"goes and comes", func(a *abroad) {
			a.leaves(way)
			a.post(a.sender, n, to, "", false)
			a.comes(way)
		})
	case 16:
		return again("the sender comes again", func(a *abroad) { a.again(a.sender) })
	case 17:
		return again("they start anew", (*abroad).restart)
	case 18:
		switch way {
		case 0:
			return is("the log tells all, or no more", func(a *abroad) { a.level.Set(slog.LevelDebug - a.level.Level()) })
		default:
			use := rapid.SampledFrom([]pb.FlowUse{pb.FlowUse_FLOW_USE_ANNOUNCED, pb.FlowUse_FLOW_USE_UNSPECIFIED}).Draw(t, "use")
			known := is(fmt.Sprint("the runtime of the third is known: ", use), func(a *abroad) { a.route(frank, use, false, false) })
			known.loses = use == pb.FlowUse_FLOW_USE_UNSPECIFIED
			return known
		}
	}
	return is(fmt.Sprintf("%d ms", n*n), func(*abroad) { time.Sleep(time.Duration(n*n) * time.Millisecond) })
}

func checkAbroad(t *testing.T, tells func(make func(batches bool) *abroad, acts []abroadAct) string, all ...Limits) {
	rapid.Check(t, func(r *rapid.T) {
		window := rapid.SampledFrom([]uint32{1, 5000, 50_000, 1 << 20}).Draw(r, "window")
		direct := rapid.SampledFrom([]string{connURL, connURL, connURL + strings.Repeat("1", longestName)}).Draw(r, "direct") // too long for batches
		l := rapid.SampledFrom(all).Draw(r, "limits")
		acts := rapid.SliceOfN(rapid.Custom(anyAbroadAct), 1, 40).Draw(r, "acts")
		l.FullTime, l.Refusals = 4700*time.Millisecond, 10_000 // not when a flow gives something up
		var wrong string
		synctest.Test(t, func(t *testing.T) {
			wrong = tells(func(batches bool) *abroad { return newAbroad(t, l, window, direct, batches) }, acts)
		})
		if wrong != "" {
			r.Fatal(wrong)
		}
	})
}

// Whether posts go into a flow in batches cannot be seen: neither by their poster, nor by
// stubs, nor in the other runtime, nor in what is counted. Of two timers that end at one
// instant any is the first, and its flow has the room that is left: a story that differs is
// told again, and only one that differs each time is wrong.
func TestNobodyAbroadSeesBatches(t *testing.T) {
	checkAbroad(t, func(abroad func(bool) *abroad, acts []abroadAct) (differs string) {
		for range 20 {
			if differs = differAbroad(abroad(true), abroad(false), acts); differs == "" {
				break
			}
		}
		return differs
	}, Limits{}, Limits{Flow: flow.Limits{Bytes: 20_000}}, Limits{Flow: flow.Limits{First: 2000, Least: 500, Short: 600}})
}

// differAbroad tells in what two differ to whom the same happens, and ends them.
func differAbroad(one, other *abroad, acts []abroadAct) (differs string) {
	defer other.end()
	defer one.end()
	for i, act := range acts {
		act.does(one)
		act.does(other)
		if differs = unlike(one.look(), other.look()); differs != "" {
			return fmt.Sprintf("after %v:%s", acts[:i+1], differs)
		}
	}
	return ""
}

// unlike tells in what two looks at the same thing differ: with batches, and without.
func unlike(batches, single any) (differs string) {
	got, want := reflect.ValueOf(batches), reflect.ValueOf(single)
	for f := range got.NumField() {
		if a, b := fmt.Sprint(got.Field(f)), fmt.Sprint(want.Field(f)); a != b {
			a, b = around(a, b), around(b, a)
			differs += fmt.Sprintf("\n%s in batches %s\none by one %s", got.Type().Field(f).Name, a, b)
		}
	}
	return differs
}

// around is the part of a text where another one begins to differ.
func around(text, other string) string {
	i := 0
	for i < min(len(text), len(other)) && text[i] == other[i] {
		i++
	}
	return text[max(i-200, 0):min(i+200, len(text))]
}

// With queues and flows that are too small none is lost, and none comes twice or out of turn
// where nobody comes again.
func TestSmallQueuesAbroad(t *testing.T) {
	checkAbroad(t, func(abroad func(bool) *abroad, acts []abroadAct) (wrong string) {
		a := abroad(true)
		acts = slices.DeleteFunc(acts, func(a abroadAct) bool { return a.loses })
		settled, refused := map[uint64]bool{}, map[uint64]bool{}
		note := func() {
			s := a.look().Crowd
			for _, n := range s.Settled[0] {
				settled[n] = true
			}
			for _, n := range s.Refused[0] {
				refused[n] = true
			}
		}
		for _, act := range acts {
			act.does(a)
			note()
		}
		a.route(frank, pb.FlowUse_FLOW_USE_ANNOUNCED, false, false)
		a.routes(true, false)
		for range 10_000 { // a queue may let out one in each
			a.settleDown()
			if note(); a.quiet() {
				break
			}
		}
		for range 100 { // what was sent again
			a.settleDown()
		}
		wrong = a.judge(settled, refused, slices.ContainsFunc(acts, func(a abroadAct) bool { return a.repeats }))
		a.end()
		if wrong != "" {
			wrong = fmt.Sprintf("after %v: %s", acts, wrong)
		}
		return wrong
	}, decided(Limits{QueueMessages: 3}), decided(Limits{QueueMessages: 70}), decided(Limits{QueueBytes: 2000}),
		decided(Limits{HeldBytes: 5000, QueueMessages: 70}), decided(Limits{QueueMessages: 20, Flow: flow.Limits{Bytes: 20_000}}))
}

// decided are limits of a bus that takes nothing for plain because nothing is heard of it:
// that may be lost.
func decided(l Limits) Limits {
	l.Flow.Undecided = time.Hour
	return l
}

// What is not settled of a batch stays as it is, in memory that is not much more.
func TestABatchOfWhichLittleIsLeft(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.bus.origins.end()
	by := a.begin(t, "sender")
	rapid.Check(t, func(t *rapid.T) {
		var posts []*pb.Post
		for i := range rapid.Uint64Range(1, 64).Draw(t, "posts") {
			body := rapid.SliceOfN(rapid.Byte(), 0, 240).Draw(t, "body")
			posts = append(posts, &pb.Post{Number: i + 1, Message: &pb.Message{Id: fmt.Sprint(i), Type: "event", From: "a", To: "b", Body: body}})
		}
		req, run := runOf(t, posts)
		b := by.outBatch(req, run)
		want := make([][]byte, len(posts))
		for i, p := range req.Plain(run) {
			want[i] = run.AppendMessage(nil, &p)
		}
		order := make([]int, len(posts))
		for i := range order {
			order[i] = i
		}
		for _, i := range rapid.Permutation(order).Draw(t, "order") {
			part{b, i, i + 1}.settled()
			want[i] = nil
			size := 0
			for i, was := range want {
				if was == nil {
					continue
				}
				size += b.Size(i, i+1) - overhead
				if got := (part{b, i, i + 1}).appendMessage(nil, 0); !bytes.HasPrefix(got, was) {
					t.Fatalf("%d is %q, was %q", i, got, was)
				}
			}
			if n := cap(*b.memory); size > 0 && n > 4*size+overhead {
				t.Fatalf("%d bytes for %d", n, size)
			}
		}
		b.free(b.Len())
	})
}

// runOf are posts as a bus reads them that are plain and alike.
func runOf(t interface{ Fatal(...any) }, posts []*pb.Post) (*codec.Request, *codec.Run) {
	b, err := proto.Marshal(&pb.AttachRequest{Posts: rolled(posts)})
	req := &codec.Request{Room: 64}
	if err == nil {
		err = codec.GRPC{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, req)
	}
	if err != nil || len(req.Runs) != 1 {
		t.Fatal(err, len(req.Runs))
	}
	return req, &req.Runs[0]
}

// settleDown has all go on that is under way.
func (a *abroad) settleDown() {
	for way := range a.stubs {
		a.stubs[way].credit(&pb.Credit{Listener: a.names[way], Bytes: 1 << 20})
		a.carry(way, 0)
	}
	for _, to := range []string{bob, dave, frank} {
		a.deal(to, 10_000, false)
	}
	time.Sleep(50 * time.Millisecond)
	a.ack()
}

// judge says what is wrong at the end.
func (a *abroad) judge(settled, refused map[uint64]bool, repeats bool) (wrong string) {
	last, came := map[string]int{}, map[string]bool{}
	for _, m := range a.handed {
		to, id, _ := strings.Cut(m, " ")
		n, _ := strconv.Atoi(id)
		if n <= last[to] && !repeats {
			wrong += fmt.Sprintf("%d came to %s after %d; ", n, to, last[to])
		}
		last[to] = max(n, last[to])
		came[id] = true
	}
	for n := a.sender.first; n <= a.sender.posted; n++ {
		switch is := came[fmt.Sprint(n)]; {
		case !settled[n] && !refused[n]:
			wrong += fmt.Sprintf("%d is open; ", n)
		case !is && !refused[n]:
			wrong += fmt.Sprintf("%d neither came nor was refused; ", n)
		}
	}
	for i := range a.stubs {
		if a.stubs[i].queued > 0 {
			wrong += fmt.Sprintf("%d bytes are in the queues of %s; ", a.stubs[i].queued, way_(i))
		}
	}
	for _, o := range a.bus.flows.out {
		if !o.sender.Empty() || o.waits > 0 || len(o.blocked) > 0 {
			wrong += fmt.Sprintf("%d bytes are in a flow, %d wait; ", o.sender.Bytes(), o.waits)
		}
	}
	if held := a.sender.held.Load(); held != 0 {
		wrong += fmt.Sprintf("%d bytes held; ", held)
	}
	return wrong
}
