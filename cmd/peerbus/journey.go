package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// journey is the way of a message there and of its answer back.
type journey struct {
	To        string   `json:"to"`
	TraceID   string   `json:"trace_id,omitempty"`
	There     string   `json:"there,omitempty"` // path
	Back      string   `json:"back,omitempty"`
	RoundTrip float64  `json:"round_trip_ms"`
	Hops      []placed `json:"hops"`
	Clocks    []clock  `json:"clocks,omitempty"`
	Note      string   `json:"note,omitempty"`
}

// placed is a hop with its times.
type placed struct {
	Way     string    `json:"way"` // there or back
	At      string    `json:"at"`
	Service string    `json:"service"`
	Event   string    `json:"event"`
	Time    time.Time `json:"time"` // by the clock of its machine
	Since   float64   `json:"since_ms"`
	Delta   float64   `json:"delta_ms"` // from the hop before
}

// clock is what can be known about the clock of a place: how far it is ahead of that
// of the place where the journey begins, give or take Error. Off: that is more than
// the way can explain, and the times there are corrected by it.
type clock struct {
	At     string  `json:"at"`
	Offset float64 `json:"offset_ms"`
	Error  float64 `json:"error_ms"`
	Off    bool    `json:"off"`
}

const (
	wayThere = "there"
	wayBack  = "back"
)

// journeyOf reads the hops of an answer.
func journeyOf(to string, answer *pb.Message) journey {
	hops := answer.GetTrace().GetHops()
	j := journey{To: to, TraceID: message.TraceID(answer), Hops: []placed{}}
	if len(hops) == 0 {
		return j
	}
	turn := slices.IndexFunc(hops, isTurn) + 1
	if turn == 0 {
		turn = len(hops)
	}
	j.Clocks = clocksOf(hops)
	j.Hops = placedHops(hops, turn, j.Clocks)
	j.RoundTrip = j.Hops[len(hops)-1].Since
	if turn == len(hops) {
		j.Note = "whoever answered does not carry the trace on: the way in between is not known"
		return j
	}
	j.There, j.Back = pathOfHops(hops[:turn]), pathOfHops(hops[turn:])
	return j
}

// placedHops gives hops with their times, since the first one and since the one before.
// From turn on they are on the way back.
func placedHops(hops []*pb.Hop, turn int, clocks []clock) []placed {
	all := make([]placed, 0, len(hops))
	began, before := hops[0].GetTime(), hops[0].GetTime()
	for i, h := range hops {
		at := h.GetTime() - correction(clocks, h.GetAt())
		p := placed{
			Way: wayThere, At: h.GetAt(), Service: h.GetService(), Event: h.GetEvent(), Time: time.Unix(0, h.GetTime()).UTC(),
			Since: millis(time.Duration(at - began)), Delta: millis(time.Duration(at - before)),
		}
		if i >= turn {
			p.Way = wayBack
		}
		all, before = append(all, p), at
	}
	return all
}

// correction is what is taken off a time at a place, in nanoseconds.
func correction(clocks []clock, at string) int64 {
	for _, c := range clocks {
		if c.At == at && c.Off {
			return int64(c.Offset * 1e6)
		}
	}
	return 0
}

// isTurn tells the end of the way there.
func isTurn(h *pb.Hop) bool {
	return h.GetEvent() == message.HopDelivered || h.GetEvent() == message.HopRefused
}

// clocksOf says what can be known about the clocks of the places on the way.
func clocksOf(hops []*pb.Hop) (clocks []clock) {
	for _, at := range others(hops) {
		if offset, margin, ok := clockOf(hops, at); ok {
			clocks = append(clocks, clock{At: at, Offset: millis(offset), Error: millis(margin), Off: offset.Abs() > margin})
		}
	}
	return clocks
}

// others are the places that the journey comes by, but for the one where it begins.
func others(hops []*pb.Hop) (places []string) {
	for _, h := range hops {
		if h.GetAt() != hops[0].GetAt() && !slices.Contains(places, h.GetAt()) {
			places = append(places, h.GetAt())
		}
	}
	return places
}

// clockOf estimates how far the clock of a place is ahead, as NTP does: from when the
// message left home and its answer came back there, and when it came to the place and
// its answer left. Half of the time that was spent on the way is the margin.
func clockOf(hops []*pb.Hop, at string) (offset, margin time.Duration, ok bool) {
	is := func(place string) func(*pb.Hop) bool { return func(h *pb.Hop) bool { return h.GetAt() == place } }
	first := slices.IndexFunc(hops, is(at))
	last := len(hops) - 1
	for hops[last].GetAt() != at {
		last--
	}
	home := hops[0].GetAt()
	leaves := first - 1
	for hops[leaves].GetAt() != home { // hops[0] is at home
		leaves--
	}
	back := slices.IndexFunc(hops[last:], is(home))
	if back < 0 {
		return 0, 0, false
	}
	t1, t2, t3, t4 := hops[leaves].GetTime(), hops[first].GetTime(), hops[last].GetTime(), hops[last+back].GetTime()
	offset = time.Duration((t2 - t1 + t3 - t4) / 2)
	margin = time.Duration((t4 - t1 - (t3 - t2)) / 2)
	return offset, margin.Abs(), true
}

// pathOfHops tells by the services that a message came by which way it took.
func pathOfHops(hops []*pb.Hop) string {
	path := ""
	for _, h := range hops {
		switch h.GetService() {
		case "p2pstub":
			return pathDirect
		case "nodestub", "msgnode":
			return pathRelay
		}
		path = pathLocal
	}
	return path
}

func (j journey) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(j)
	}
	if len(j.Hops) == 0 {
		return nil
	}
	rows := make([][]string, 0, len(j.Hops))
	for _, h := range j.Hops {
		rows = append(rows, []string{
			h.Way, fmt.Sprintf("%.3f ms", h.Since), fmt.Sprintf("%+.3f ms", h.Delta), h.Service, h.Event, h.At,
		})
	}
	if err := table(w, []string{"WAY", "TIME", "DELTA", "SERVICE", "EVENT", "AT"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprint(w, j.summary())
	return err
}

// summary is what stands below the hops.
func (j journey) summary() string {
	text := fmt.Sprintf("to %s and back: %.3f ms", j.To, j.RoundTrip)
	if j.There != "" {
		text += fmt.Sprintf("; there %s, back %s", j.There, or(j.Back, "not known"))
	}
	text += "\n"
	for _, c := range j.Clocks {
		text += fmt.Sprintf("clock of %s: %+.3f ms, give or take %.3f ms", printable(c.At), c.Offset, c.Error)
		if c.Off {
			text += "; its times are corrected by that"
		}
		text += "\n"
	}
	if j.TraceID != "" {
		text += "trace " + j.TraceID + "\n"
	}
	if j.Note != "" {
		text += j.Note + "\n"
	}
	return text
}
