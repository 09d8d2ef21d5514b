package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args, want string // want is part of the error; "" for none
	}{
		{"-bin main_test.go", ""},
		{"-bin main_test.go -o json -seed 5 -only sigkill", ""},
		{"-bin nowhere", "no such file"},
		{"-bin main_test.go -o xml", `-o "xml"`},
		{"-bin main_test.go -pairs 0", "-pairs"},
		{"-bin main_test.go -small 1 -large 2", "-large"},
		{"-bin main_test.go -switch -stall", "two runs"},
		{"-bin main_test.go more", "flags only"},
		{"-bin main_test.go -only sigkil.bus", `-only "sigkil.bus" matches none`},
		{"-bin main_test.go -only none", "\n  SIGKILL bus of alice\n"},
		{"-bin main_test.go -only (", "-only: "},
		{"-nothing", "-nothing"},
	} {
		s, err := parse(strings.Fields(c.args), &bytes.Buffer{})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.args, err)
		case c.want == "" && s.seed == 0:
			t.Errorf("%s: no seed", c.args)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestPaceMakesTheRates(t *testing.T) {
	s := settings{pairs: 5, small: 50, large: 2}
	p := s.pace()
	if each := time.Second * 5 / 52; p.every != each || p.largeEach != 26 {
		t.Errorf("%+v, want one every %v, and one of 26 large", p, each)
	}
	if s.large = 0; s.pace().largeEach != 0 {
		t.Errorf("large messages, and none are wanted: %+v", s.pace())
	}
}

func TestExecuteSaysWhatIsWrong(t *testing.T) {
	var out, errs bytes.Buffer
	if code := execute(context.Background(), []string{"-bin", "nowhere"}, &out, &errs); code != exitNotBegun {
		t.Errorf("exit code %d", code)
	}
	if out.Len() > 0 || !strings.Contains(errs.String(), "make build") {
		t.Errorf("%q and %q", out.String(), errs.String())
	}
}

func TestFaultsAreChosenByName(t *testing.T) {
	all := outline(settings{}).faults()
	for only, want := range map[string]int{"": 38, "sigkill": 9, "sigstop": 9, "^link": 4, "alice": 15, "everything": 1} {
		if got, err := matching(all, only); err != nil || len(got) != want {
			t.Errorf("%q: %d faults (%v), want %d", only, len(got), err, want)
		}
	}
	for _, only := range []string{"no such fault", "("} {
		if _, err := matching(all, only); err == nil {
			t.Errorf("%q is taken", only)
		}
	}
}
