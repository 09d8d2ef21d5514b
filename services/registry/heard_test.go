package registry

import (
	"testing"

	"github.com/peerbus/peerbus/protocol/status"
)

func TestTwoChannelsOneLife(t *testing.T) {
	const (
		created, progress = status.Created, status.InProgress
		live, lost        = status.Live, status.Disconnected
		failed            = status.Failed
	)
	type said struct {
		channel channel
		state   status.State
		news    bool
	}
	for name, story := range map[string][]said{
		"the bus first, then the watcher": {
			{onBus, created, true}, {onWatch, created, false}, {onBus, progress, true}, {onBus, live, true},
			{onWatch, progress, false}, {onWatch, live, false}, {onWatch, lost, true}, {onBus, lost, false},
		},
		"a late live does not bring a lost connection back": {
			{onBus, created, true}, {onWatch, created, false}, {onWatch, progress, true}, {onWatch, live, true},
			{onWatch, lost, true}, {onBus, progress, false}, {onBus, live, false}, {onBus, lost, false},
			{onWatch, live, true}, {onBus, live, false},
		},
		"said twice on one channel": {
			{onBus, created, true}, {onBus, created, false}, {onBus, live, true}, {onBus, live, false},
		},
		"a snapshot is what is true": {
			{onBus, created, true}, {onBus, live, true}, {inSnapshot, live, false}, {inSnapshot, lost, true},
			{onWatch, live, true}, {onBus, lost, false}, {onBus, live, false},
		},
		"the next life": {
			{onBus, created, true}, {onBus, failed, true}, {onWatch, created, false}, {onWatch, failed, false},
			{onBus, created, true}, {onWatch, created, false}, {onWatch, live, true}, {onBus, live, false},
		},
		"a life begins anew": {
			{onBus, live, true}, {onBus, created, true}, {onWatch, live, false}, {onWatch, created, false},
		},
	} {
		var h heard
		for i, s := range story {
			if got := h.hear(s.channel, s.state); got != s.news {
				t.Errorf("%s: step %d, %v: news is %v", name, i+1, s.state, got)
			}
		}
	}
}
