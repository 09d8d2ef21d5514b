package main

import (
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/peerbus/peerbus/bench/cases"
	"github.com/peerbus/peerbus/internal/fault"
)

// settings of a run.
type settings struct {
	binary string
	only   *regexp.Regexp
	rounds int
	lasts  time.Duration
	short  bool
	list   bool
	format string
	json   string // file
	plot   string // file
	from   string // file
	growth bool
	// profiles is a directory; none when it is empty.
	profiles string
	// tops is a directory for texts of them; none when it is empty.
	tops string
	note string // in the texts
}

// What -short makes of them, unless they are given.
const (
	shortRounds = 2
	shortLasts  = 100 * time.Millisecond
)

// What -growth makes of them.
const (
	growthRounds = 5
	growthLasts  = 400 * time.Millisecond
)

func parse(args []string) (*settings, error) {
	s := &settings{}
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&s.binary, "bin", "../bin/peerbus", "the peerbus program")
	f.StringVar(&only, "run", "", "only cases whose names match this `regular expression`; without it, all of the table")
	f.IntVar(&s.rounds, "rounds", 7, "rounds of each case")
	f.DurationVar(&s.lasts, "lasts", time.Second, "how long one side of a round lasts, about")
	f.BoolVar(&s.short, "short", false, "little of everything, to see that it runs; the figures say nothing")
	f.BoolVar(&s.list, "list", false, "list the cases, or with -growth the curves")
	f.BoolVar(&s.growth, "growth", false, "measure how cost grows, in place of the cases, and print a page or JSON; -plot is a directory then")
	f.StringVar(&s.format, "o", "table", "what is printed: table, json, markdown, or planning, which is a table of sizes to reckon with")
	f.StringVar(&s.json, "json", "", "`FILE` for the JSON besides")
	f.StringVar(&s.plot, "plot", "", "`FILE` for a plot of the ratios, as SVG")
	f.StringVar(&s.profiles, "profile", "", "`DIR`, made where it is missing, for a CPU profile of each process of ours, after the rounds of each case")
	f.StringVar(&s.tops, "top", "", "`DIR` for a text of each case, CASE.txt, with the functions that take the most time in each process")
	f.StringVar(&s.note, "note", "", "`TEXT` to stand in it, such as a commit")
	f.StringVar(&s.from, "from", "", "print what this JSON `FILE` has, and measure nothing; with -top, a directory with profiles of -profile")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	f.Visit(func(x *flag.Flag) { given[x.Name] = true })
	s.lessen(given)
	var err error
	if s.only, err = regexp.Compile(only); err != nil {
		return nil, fault.New(fault.BadRequest, "run: %w", err).In("run")
	}
	if err := s.check(f.Args()); err != nil {
		return nil, err
	}
	return s, s.checkTogether(given)
}

// lessen makes what is not given less, where less is wanted.
func (s *settings) lessen(given map[string]bool) {
	rounds, lasts := s.rounds, s.lasts
	switch {
	case s.short:
		rounds, lasts = shortRounds, shortLasts
	case s.growth:
		rounds, lasts = growthRounds, growthLasts
	}
	if s.short && s.growth {
		rounds = 1
	}
	if !given["rounds"] {
		s.rounds = rounds
	}
	if !given["lasts"] {
		s.lasts = lasts
	}
}

func (s *settings) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fault.New(fault.BadRequest, "%q is not understood", rest[0])
	case s.rounds < 1:
		return fault.New(fault.BadRequest, "rounds must be at least 1").In("rounds")
	case s.lasts < time.Millisecond:
		return fault.New(fault.BadRequest, "lasts must be at least 1ms").In("lasts")
	case !slices.Contains([]string{"table", "json", "markdown", "planning"}, s.format):
		return fault.New(fault.BadRequest, "o must be table, json, markdown or planning, not %q", s.format).In("o")
	}
	return nil
}

// chosen are the cases that are wanted.
func (s *settings) chosen() []cases.Case {
	named := s.only.String() != "" || s.short || s.list
	return slices.DeleteFunc(cases.All(), func(c cases.Case) bool { return !s.only.MatchString(c.Name) || c.Named && !named })
}

// chosenCurves are those that are wanted.
func (s *settings) chosenCurves() []cases.Growing {
	return slices.DeleteFunc(cases.AllGrowing(s.short), func(c cases.Growing) bool { return !s.only.MatchString(c.Name) })
}

func (s *settings) writeList(w io.Writer) error {
	var b strings.Builder
	line := func(name, what, beside string) { fmt.Fprintf(&b, "%-20s %s / %s\n", name, what, beside) }
	if s.growth {
		for _, c := range s.chosenCurves() {
			line(c.Name, c.What, c.Beside)
		}
	} else {
		for _, c := range s.chosen() {
			line(c.Name, c.What, c.Beside)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
