package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// probe is one ping, and what became of it.
type probe struct {
	Sequence int     `json:"sequence"`
	Path     string  `json:"path,omitempty"`
	Millis   float64 `json:"round_trip_ms,omitempty"`
	Error    string  `json:"error,omitempty"`
}

// Paths of a probe.
const (
	pathDirect = "direct"
	pathRelay  = "relay"
	pathLocal  = "local"
)

// probePath tells by the stub that an answer came in through which way it took.
func probePath(answer *pb.Message) string {
	switch {
	case answer.Via == "":
		return pathLocal
	case strings.Contains(answer.Via, "/protostub/"):
		return pathRelay
	default:
		return pathDirect
	}
}

// probeSummary counts probes.
type probeSummary struct {
	Sent     int     `json:"sent"`
	Received int     `json:"received"`
	Direct   int     `json:"direct"`
	Relay    int     `json:"relay"`
	Local    int     `json:"local"`
	Min      float64 `json:"min_ms"`
	Avg      float64 `json:"avg_ms"`
	Max      float64 `json:"max_ms"`
	total    float64
}

func (s *probeSummary) add(p probe) {
	s.Sent++
	if p.Error != "" {
		return
	}
	s.Received++
	switch p.Path {
	case pathDirect:
		s.Direct++
	case pathRelay:
		s.Relay++
	case pathLocal:
		s.Local++
	}
	if s.Received == 1 || p.Millis < s.Min {
		s.Min = p.Millis
	}
	s.Max = max(s.Max, p.Millis)
	s.total += p.Millis
	s.Avg = s.total / float64(s.Received)
}

// probePrinter prints probes and their summary, a line each.
type probePrinter struct {
	w    io.Writer
	json bool
}

func (o probePrinter) probe(remote string, p probe) error {
	if o.json {
		return json.NewEncoder(o.w).Encode(p)
	}
	text := fmt.Sprintf("%-6s  %.3f ms", p.Path, p.Millis)
	if p.Error != "" {
		text = "lost    " + p.Error
	}
	_, err := fmt.Fprintf(o.w, "%s  %d  %s\n", printable(remote), p.Sequence, printable(text))
	return err
}

func (o probePrinter) summary(s probeSummary) error {
	if o.json {
		return json.NewEncoder(o.w).Encode(s)
	}
	_, err := fmt.Fprintf(o.w, "%d sent, %d came back: %d direct, %d by relay, %d local\n", s.Sent, s.Received, s.Direct, s.Relay, s.Local)
	if err == nil && s.Received > 0 {
		_, err = fmt.Fprintf(o.w, "round trip: least %.3f ms, average %.3f ms, most %.3f ms\n", s.Min, s.Avg, s.Max)
	}
	return err
}
