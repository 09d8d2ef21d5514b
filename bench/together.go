package main

import (
	"os"
	"slices"

	"github.com/peerbus/peerbus/internal/fault"
)

// without are flags that say nothing beside another one.
type without struct {
	flag   string
	others []string
}

// Beside -from nothing is measured; with -top it reads profiles, and no report.
var (
	besideFrom = without{"from", []string{"short", "rounds", "lasts", "profile", "list"}}
	besideFile = without{"from", []string{"run"}}
	besideTops = without{"top", []string{"growth", "json", "plot", "o"}}
	besideGrow = without{"growth", []string{"profile", "top"}}
)

// checkTogether refuses flags that would be passed over in silence.
func (s *settings) checkTogether(given map[string]bool) error {
	var all []without
	if s.growth {
		all = append(all, besideGrow)
	}
	switch {
	case s.from != "" && s.tops != "":
		all = append(all, besideFrom, besideTops)
	case s.from != "":
		all = append(all, besideFrom, besideFile)
	}
	for _, w := range all {
		if i := slices.IndexFunc(w.others, func(name string) bool { return given[name] }); i >= 0 {
			return fault.New(fault.BadRequest, "-%s says nothing beside -%s: leave one out", w.others[i], w.flag).In(w.others[i])
		}
	}
	return s.checkPage(given)
}

// checkPage refuses what there is no page of, and a note that no text has.
func (s *settings) checkPage(given map[string]bool) error {
	switch {
	case s.growth && given["o"] && (s.format == "planning" || s.format == "table"):
		return fault.New(fault.BadRequest, "-o %s is not for -growth, which has markdown and json", s.format).In("o")
	case given["note"] && s.tops == "":
		return fault.New(fault.BadRequest, "-note says nothing without -top").In("note")
	}
	return s.checkFrom()
}

// checkFrom tells apart a file and a directory of profiles.
func (s *settings) checkFrom() error {
	if s.from == "" {
		return nil
	}
	info, err := os.Stat(s.from)
	switch {
	case err != nil:
		return fault.New(fault.BadRequest, "from: %w", err).In("from")
	case info.IsDir() && s.tops == "":
		return fault.New(fault.BadRequest, "-from %s is a directory: of profiles it is with -top, without it must be a file", s.from).In("from")
	case !info.IsDir() && s.tops != "":
		return fault.New(fault.BadRequest, "-from %s is a file: with -top it must be a directory of profiles", s.from).In("from")
	}
	return nil
}
