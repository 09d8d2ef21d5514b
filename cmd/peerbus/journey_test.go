package main

import (
	"io"
	"math"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// journeyBy makes the hops of a message: each is `place service event`, a millisecond after
// the one before. ahead is how far the clock of a place is ahead, in milliseconds.
func journeyBy(ahead map[string]int64, steps ...string) *pb.Message {
	t := &pb.Trace{Record: true}
	for i, step := range steps {
		f := strings.Fields(step)
		ms := 1_790_000_000_000 + int64(i) + ahead[f[0]]
		t.Hops = append(t.Hops, &pb.Hop{At: f[0], Service: f[1], Event: f[2], Time: ms * 1e6})
	}
	return &pb.Message{Trace: t}
}

var byRelay = []string{
	"A bus posted", "A nodestub sent", "N msgnode relayed", "B nodestub received", "B bus posted", "B bus delivered",
	"B bus posted", "B p2pstub sent", "A p2pstub received", "A bus posted", "A bus delivered",
}

func TestJourney(t *testing.T) {
	for name, ahead := range map[string]map[string]int64{
		"all clocks agree":     nil,
		"one is a minute late": {"B": -60_000},
		"each is off":          {"N": 2_000, "B": 500},
	} {
		t.Run(name, func(t *testing.T) {
			j := journeyOf("b", journeyBy(ahead, byRelay...))
			if j.There != "relay" || j.Back != "direct" || j.RoundTrip != 10 || j.Note != "" || len(j.Hops) != len(byRelay) {
				t.Errorf("%+v", j)
			}
			for i, h := range j.Hops {
				if want := map[bool]string{true: wayThere, false: wayBack}[i <= 5]; h.Way != want {
					t.Errorf("hop %d is on the way %s", i, h.Way)
				}
				if math.Abs(h.Since-float64(i)) > 3 {
					t.Errorf("hop %d is at %v ms", i, h.Since)
				}
			}
			for _, c := range j.Clocks {
				off := float64(ahead[c.At])
				if math.Abs(c.Offset-off) > c.Error || c.Off != (off != 0) {
					t.Errorf("%+v, its clock is %v ms ahead", c, off)
				}
			}
			if len(j.Clocks) != 2 {
				t.Errorf("%v", j.Clocks)
			}
		})
	}
}

func TestJourneyThatIsNotWhole(t *testing.T) {
	j := journeyOf("b", journeyBy(nil, "A bus posted", "A bus delivered"))
	if j.There != "" || j.Note == "" || j.RoundTrip != 1 {
		t.Errorf("an answer without a trace: %+v", j)
	}
	if j := journeyOf("b", &pb.Message{}); len(j.Hops) != 0 || j.summary() == "" {
		t.Errorf("no hops: %+v", j)
	}
	j = journeyOf("b", journeyBy(nil, "A bus posted", "A nodestub sent", "N msgnode refused", "A nodestub received", "A bus posted", "A bus delivered"))
	if j.There != "relay" || j.Back != "relay" || j.Hops[3].Way != wayBack {
		t.Errorf("refused on its way: %+v", j)
	}
	j = journeyOf("b", journeyBy(nil, "A bus posted", "B bus posted", "B bus delivered"))
	if len(j.Clocks) != 0 {
		t.Errorf("nothing is known of a clock that nothing comes back from: %+v", j)
	}
}

// Hops are whatever others have written: none of them breaks the command.
func TestJourneyOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hop := rapid.Custom(func(t *rapid.T) *pb.Hop {
			return &pb.Hop{
				At: rapid.SampledFrom([]string{"", "A", "B", "N"}).Draw(t, "at"), Service: rapid.SampledFrom([]string{"bus", "p2pstub", "x"}).Draw(t, "service"),
				Event: rapid.SampledFrom([]string{"sent", "delivered"}).Draw(t, "event"), Time: rapid.Int64().Draw(t, "time"),
			}
		})
		m := &pb.Message{Trace: &pb.Trace{Hops: rapid.SliceOf(hop).Draw(t, "hops")}}
		j := journeyOf("b", m)
		if len(j.Hops) != len(m.Trace.Hops) {
			t.Fatalf("%+v", j)
		}
		if err := j.print(io.Discard, true); err != nil {
			t.Fatal(err)
		}
	})
}

// Hops are written by other runtimes too: they do not steer the terminal.
func TestAJourneyIsPrintable(t *testing.T) {
	answer := journeyBy(nil, "A bus posted", "B bus delivered", "A bus delivered")
	answer.Trace.Hops[1].At = "B\x1b]0;x\x07\r\u009b31m"
	answer.Trace.Hops[1].Service = "bus\tx\n"
	var out strings.Builder
	if err := journeyOf("b", answer).print(&out, false); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(strings.ReplaceAll(out.String(), "\n", ""), unicode.IsControl); i >= 0 || strings.Count(out.String(), `bus\u0009x\u000a`) != 1 {
		t.Errorf("%q", out.String())
	}
}
