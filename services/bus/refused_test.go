package bus

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(of string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), of)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// A replica that has no room for the listeners of another one takes them when it has.
func TestAListenerThatWasRefusedElsewhereIsToldAgain(t *testing.T) {
	const n = 5
	c := newCluster(t, Limits{Listeners: n}, 1)
	a := c.all[0]
	var leave []func()
	for range n - 1 {
		stub, stop := a.attach(pb.Component_COMPONENT_NODE_STUB)
		leave = append(leave, stop)
		if _, err := stub.ListenAll(a.ctx, func(context.Context, string, *pb.Message) {}); err != nil { // others are not told of that
			t.Fatal(err)
		}
	}
	log := &journal{}
	c.log = log.logger()
	b := c.add()
	app, got := b.app(), []string{}
	for i := range n {
		got = append(got, fmt.Sprintf("hyperty://a.example/%d", i))
		b.listen(app, got[i])
	}
	a.bus.table.grow()
	poster := a.app()
	refused := 0
	for _, to := range got {
		if err := poster.Post(a.ctx, ping(alice, to)); fault.CodeOf(err) == fault.NotFound {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused != n-1 {
		t.Errorf("%d are not known elsewhere, want %d", refused, n-1)
	}
	if log.count("another replica does not take") != 1 {
		t.Errorf("it is not said once: %s", &log.text)
	}
	if v := b.value("refused_total", reasonRemote); v != n-1 {
		t.Errorf("%v are counted, want %d", v, n-1)
	}
	for _, stop := range leave {
		stop()
	}
	for _, to := range got {
		a.until(to+" is known", func() bool { return a.bus.table.heard(to) })
		if err := poster.Post(a.ctx, ping(alice, to)); err != nil {
			t.Error(err)
		}
	}
	b.until("it is said", func() bool { return log.count("another replica takes all") == 1 })
}
