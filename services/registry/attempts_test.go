package registry

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/peerbus/peerbus/protocol/status"
)

// However many connections are lost, so many set-ups of this side's are under way at once, and
// those begin that have been due for longest. What others set up, and what is worn, has no part
// in that.
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
	due(2, 3)
	add("of others", connection{State: status.Created, Phase: settingUp, Role: handler})
	due(2, 3)
	for i := range 3 {
		add(fmt.Sprint("begun", i), connection{State: status.Created, Phase: registering, Role: requester})
	}
	due(1, 3)
	add("begun", connection{State: status.Created, Phase: settingUp, Role: requester})
	due(0, 3)
	add("and wanted by a message", connection{State: status.Created, Phase: settingUp, Role: requester})
	due(0, 3)
}
