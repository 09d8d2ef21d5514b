package local

import (
	"slices"
	"testing"
)

func TestUsersStopBeforeWhatTheyUse(t *testing.T) {
	var all []*Process
	for _, args := range [][]string{
		{"-c", "nats.conf"}, {"msgnode"}, {"registry"}, {"bus"}, {"p2pstub"}, {"nodestub"}, {"bus"}, {"gateway"}, {"runtime"}, nil,
	} {
		all = append(all, &Process{args: args})
	}
	var order []string
	for _, group := range inStopOrder(all) {
		for _, p := range group {
			order = append(order, p.mode())
		}
	}
	if want := []string{"gateway", "runtime", "p2pstub", "nodestub", "bus", "bus", "registry", "msgnode", "-c", ""}; !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
}
