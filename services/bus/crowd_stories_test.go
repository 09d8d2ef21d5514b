package bus

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// crowdAct is something that happens to a crowd.
type crowdAct struct {
	name    string
	repeats bool // what has come may come again
	does    func(c *crowd)
}

func (a crowdAct) String() string { return a.name }

const anotherListens = "0 listens too, or no more"

func anyCrowdAct(t *rapid.T) crowdAct {
	n, who := rapid.IntRange(1, 70).Draw(t, "n"), rapid.IntRange(0, 2).Draw(t, "who")
	place := rapid.SampledFrom([]string{carol, erin, byName, alice, "hyperty://a.example/nobody"}).Draw(t, "place")
	is := func(repeats bool, name string, does func(*crowd)) crowdAct { return crowdAct{name, repeats, does} }
	switch rapid.IntRange(0, 13).Draw(t, "act") {
	case 0, 1, 2, 3:
		text := strings.Repeat("x", rapid.OneOf(rapid.IntRange(0, 400), rapid.Just(2000)).Draw(t, "length"))
		asks := rapid.Bool().Draw(t, "asks")
		return is(false, fmt.Sprintf("%d posts %d of %d to %s (asks: %v)", who, n, len(text), place, asks), func(c *crowd) {
			c.post(c.members[who], n, place, text, asks)
		})
	case 4, 5, 6, 7:
		return is(false, fmt.Sprintf("%d gives credit of %d for %s", who, 97*n, place), func(c *crowd) {
			c.members[who].credit(&pb.Credit{Listener: place, Bytes: uint32(97 * n)}) // small
		})
	case 8:
		return is(true, fmt.Sprintf("%d comes again", who), func(c *crowd) { c.again(c.members[who]) })
	case 9:
		return is(false, fmt.Sprintf("%d posts the same again", who), func(c *crowd) {
			takeFrame(c.t, c.members[who].stream, c.members[who].open, c.batches)
		})
	case 10:
		return is(true, "an alias goes and comes", func(c *crowd) {
			c.leave(c.members[1], added{byName, erin})
			c.post(c.members[who], n, byName, "", false)
			c.listen(c.members[1], added{byName, erin})
		})
	case 11:
		return is(true, anotherListens, func(c *crowd) { c.swap(c.members[0], added{erin, ""}) })
	case 12:
		return is(false, "the log tells all, or no more", func(c *crowd) { c.level.Set(slog.LevelDebug - c.level.Level()) })
	}
	return is(false, "time", func(*crowd) { time.Sleep(time.Duration(n) * 100 * time.Millisecond) })
}

// checkCrowd has something told that is wrong after some acts.
func checkCrowd(t *testing.T, tells func(make func(batches bool) *crowd, acts []crowdAct) string, all ...Limits) {
	rapid.Check(t, func(r *rapid.T) {
		window := rapid.SampledFrom([]uint32{1, 500, 5000, 50_000}).Draw(r, "window")
		before := rapid.SampledFrom([]uint64{0, 1<<7 - 9, 1<<14 - 99, 1<<63 - 99, math.MaxUint64 - 9999}).Draw(r, "before")
		l := rapid.SampledFrom(all).Draw(r, "limits")
		acts := rapid.SliceOfN(rapid.Custom(anyCrowdAct), 1, 30).Draw(r, "acts")
		l.FullTime, l.Refusals = 5*time.Second, 10_000
		var wrong string
		synctest.Test(t, func(t *testing.T) {
			wrong = tells(func(batches bool) *crowd { return newCrowd(t, l, window, before, batches) }, acts)
		})
		if wrong != "" {
			r.Fatal(wrong)
		}
	})
}

// Nobody of many sees whether there are batches.
func TestACrowdSeesNoBatches(t *testing.T) {
	checkCrowd(t, func(crowd func(bool) *crowd, acts []crowdAct) (differs string) {
		one, other := crowd(true), crowd(false)
		for i, a := range acts {
			a.does(one)
			a.does(other)
			if differs = unlike(one.look(), other.look()); differs != "" {
				differs = fmt.Sprintf("after %v:%s", acts[:i+1], differs)
				break
			}
		}
		one.end()
		other.end()
		return differs
	}, Limits{})
}

// In small queues no post is lost, or told to be settled before it came or was refused; and
// none comes twice or out of turn where nobody comes again.
func TestACrowdWithSmallQueues(t *testing.T) {
	checkCrowd(t, func(crowd func(bool) *crowd, acts []crowdAct) (wrong string) {
		c := crowd(true)
		a := accounts{c: c, repeats: slices.ContainsFunc(acts, func(a crowdAct) bool { return a.repeats }), last: map[string]uint64{}, fates: map[string]bool{}}
		for _, act := range acts {
			act.does(c)
			a.look()
		}
		for range 100 {
			for _, m := range c.members {
				for _, place := range []string{carol, erin, byName, alice} {
					m.credit(&pb.Credit{Listener: place, Bytes: 1 << 20})
				}
			}
			time.Sleep(time.Second)
			a.look()
			if c.quiet() {
				break
			}
		}
		for _, m := range c.members {
			if open, _ := m.fates(); len(open) > 0 || m.held.Load() != 0 {
				a.wrong = append(a.wrong, fmt.Sprintf("%v of %s are open, %d bytes held", open, m.name, m.held.Load()))
			}
			for n := m.first; n <= m.posted; n++ {
				if !a.fates[fmt.Sprint(m.name, n)] {
					a.wrong = append(a.wrong, fmt.Sprintf("%d of %s neither came nor was refused", n, m.name))
				}
			}
		}
		c.end()
		if len(a.wrong) > 0 {
			return fmt.Sprintf("after %v: %v", acts, a.wrong)
		}
		return ""
	}, Limits{QueueMessages: 3}, Limits{QueueMessages: 70}, Limits{QueueBytes: 2000}, Limits{HeldBytes: 5000, QueueMessages: 70}, Limits{StreamBytes: 30_000})
}

// quiet tells whether nothing of anybody is open.
func (c *crowd) quiet() bool {
	return !slices.ContainsFunc(c.members, func(m *member) bool {
		open, _ := m.fates()
		return len(open) > 0 || m.held.Load() != 0
	})
}

// accounts are what has become of the posts of a crowd.
type accounts struct {
	c       *crowd
	repeats bool
	last    map[string]uint64 // by listener, address and sender
	fates   map[string]bool   // by sender and number
	wrong   []string
}

func (a *accounts) look() {
	s := a.c.look()
	for i, m := range a.c.members {
		for _, d := range s.Messages[i] {
			from := string(d.Message.Origin)
			of := fmt.Sprint(m.name, d.Listener, d.Message.To, from)
			if !a.repeats && d.Message.Number <= a.last[of] && d.Message.Type != message.Response {
				a.wrong = append(a.wrong, fmt.Sprintf("%s: %d came after %d", of, d.Message.Number, a.last[of]))
			}
			a.last[of] = max(a.last[of], d.Message.Number)
			a.fates[fmt.Sprint(from, d.Message.Number)] = true
		}
		for _, n := range s.Refused[i] {
			a.fates[fmt.Sprint(m.name, n)] = true
		}
	}
	for i, m := range a.c.members {
		for _, n := range s.Settled[i] {
			if !a.fates[fmt.Sprint(m.name, n)] {
				a.wrong = append(a.wrong, fmt.Sprintf("%d of %s was told to be settled", n, m.name))
			}
		}
	}
}
