//go:build unix

package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/members"
)

// memberAt is a member whose NATS is at first a certain server of a cluster.
type memberAt struct {
	*members.Group
	engine *engine.Engine
}

func joinAt(t *testing.T, url, id string) *memberAt {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	e, err := engine.Open(eventualContext(t), engine.Config{URL: url, Name: id, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	g, err := members.New(members.Config{
		Engine: e, RuntimeURL: "hyperty-runtime://example.org/a", Log: quiet,
		Self: members.Member{Kind: "bus", ID: id, Addr: "127.0.0.1:1"},
		// Longer than a server that hangs is found by all but the slowest machine, and
		// shorter than the 9 s that it would take with the probes of the NATS client alone.
		Limits: members.Limits{Misses: 14},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &memberAt{g, e}
}

// A member whose server of NATS hangs is at another one before the others take it for
// gone.
func TestAMemberLeavesAServerThatHangs(t *testing.T) {
	s := newSystem(t)
	cluster := startNATSCluster(t, s)
	joinAt(t, cluster.url(), "first") // which makes the bucket
	stream := streamOf(t, cluster)
	cluster.whole(eventualContext(t), t, stream)
	leads, err := cluster.js.Stream(eventualContext(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	leader := slices.IndexFunc(cluster.servers, func(p *part) bool { return p.name == leads.CachedInfo().Cluster.Leader })
	if leader < 0 {
		t.Fatalf("%s leads", leads.CachedInfo().Cluster.Leader)
	}
	hangs := cluster.servers[(leader+1)%3]
	watcher, moved := joinAt(t, cluster.urls[leader], "watcher"), joinAt(t, cluster.urls[(leader+1)%3], "moved")
	w := watchFor(t, watcher.Group, "moved")
	<-w.there
	connected := moved.engine.Conn().StatusChanged(nats.CONNECTED)
	began := time.Now()
	signalTo(t, hangs.process, syscall.SIGSTOP)
	defer signalTo(t, hangs.process, syscall.SIGCONT)
	w.until(t, connected, "at another server")
	t.Logf("at another server after %d ms", time.Since(began).Milliseconds())
	moved.Leave() // comes through the bucket after the beats that were due
	w.until(t, w.leaves, "seen to leave")
}

// watched is what others see of one member.
type watched struct{ there, gone, leaves chan nats.Status }

func watchFor(t *testing.T, g *members.Group, id string) watched {
	t.Helper()
	w := watched{make(chan nats.Status), make(chan nats.Status), make(chan nats.Status)}
	there := sync.OnceFunc(func() { close(w.there) })
	gone, leaves := sync.OnceFunc(func() { close(w.gone) }), sync.OnceFunc(func() { close(w.leaves) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		seen := false
		done <- g.Watch(ctx, "bus", func(all []members.Member) {
			i := slices.IndexFunc(all, func(m members.Member) bool { return m.ID == id })
			switch {
			case i >= 0:
				seen = true
				there()
				if all[i].Leaving {
					leaves()
				}
			case seen:
				gone()
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// until waits for something, which has to come before the member is gone.
func (w watched) until(t *testing.T, what <-chan nats.Status, name string) {
	t.Helper()
	select {
	case <-what:
	case <-w.gone:
		t.Fatalf("it was taken for gone before it was %s", name)
	case <-eventualContext(t).Done():
		t.Fatalf("it is not %s", name)
	}
}

// streamOf gives the stream of the only bucket of members.
func streamOf(t *testing.T, c *natsCluster) string {
	t.Helper()
	for ctx := eventualContext(t); ; {
		within, cancel := context.WithTimeout(ctx, askTimeout)
		for name := range c.js.StreamNames(within).Name() {
			cancel()
			return name
		}
		cancel()
		if !pause(ctx) {
			t.Fatal("there is no bucket")
		}
	}
}
