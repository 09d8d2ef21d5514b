package main

import (
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/peerbus/peerbus/services/p2pstub"
)

func TestPathFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		ok   bool
	}{
		{nil, true},
		{[]string{"--quiet-after", "1s", "--replace-after", "1m", "--replace-after-records", "1000"}, true},
		{[]string{"--quiet-after", "0"}, false},
		{[]string{"--quiet-after", "-3s"}, false},
		{[]string{"--replace-after", "0"}, false},
		{[]string{"--replace-after-records", "0"}, false},
		{[]string{"--replace-after-records", "16777217"}, false},
	} {
		var l p2pstub.Limits
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		pathFlags(f, &l)
		if err := f.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		if err := checkPaths(l); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.args, err)
		}
		if len(c.args) == 0 && (l.Quiet != 3*time.Second || l.Age != 24*time.Hour) {
			t.Errorf("%+v", l)
		}
	}
}
