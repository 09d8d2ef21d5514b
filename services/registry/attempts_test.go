package registry

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/peerbus/peerbus/protocol/status"
)

// However many connections are lost or worn, so many set-ups are under way at once, and those
// that have been due for longest come first.
func TestAttemptsAtOnce(t *testing.T) {
	l := DefaultLimits()
	l.AtOnce = 4
	tb, now := newTable(l), time.Unix(1000, 0)
	add := func(name string, c connection) {
		c.Remote, c.ID = name, name
		tb.byRemote[name] = &c
	}
	due := func(lost, worn int) {
		t.Helper()
		gotLost, gotWorn := tb.attempts(now, Always, l)
		want := []string{"lost3", "lost2", "lost1"}[:lost]
		if !slices.Equal(gotLost, want) || len(gotWorn) != worn {
			t.Errorf("lost %v, want %v; worn %v, want %d", gotLost, want, gotWorn, worn)
		}
	}
	for i := 1; i <= 3; i++ {
		add(fmt.Sprint("lost", i), connection{State: status.Disconnected, NextAttempt: now.Add(-time.Duration(i) * time.Second)})
		worn := connection{State: status.Live, URL: "u"}
		worn.news.worn, worn.renewAt = true, now
		add(fmt.Sprint("worn", i), worn)
	}
	tb.byRemote["lost1"].NextAttempt = now.Add(time.Second) // not yet
	due(2, 2)
	add("begun", connection{State: status.Created, Phase: settingUp})
	due(2, 1)
	succeeded := connection{State: status.Live, URL: "u"}
	succeeded.Successor.Stub = "s"
	add("replaced", succeeded)
	due(2, 0)
	add("second", connection{State: status.Created, Phase: registering})
	add("third", connection{State: status.Created, Phase: registering})
	due(0, 0)
}
