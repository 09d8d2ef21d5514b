package rtc

import (
	"flag"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v3"

	"github.com/peerbus/peerbus/protocol/datasync"
)

var churn = flag.Int("churn", 20, "restarts of TestChurnOfRestarts")

// However often ICE is restarted, the mux has one generation of a connection.
func TestChurnOfRestarts(t *testing.T) {
	ea, eb := engine(t), engine(t)
	a, b := newEnd(t, ea, true), newEnd(t, eb, false)
	ca, cb := connect(t, a, b)
	for range *churn {
		restart(t, a, b)
	}
	exchange(t, ca, cb, "still there")
	for _, e := range []*Engine{ea, eb} {
		e.mux.mu.Lock()
		if n := len(e.mux.byUfrag); n != 1 {
			t.Errorf("%d generations", n)
		}
		for _, checks := range []map[transaction]check{e.mux.checks, e.mux.older} {
			for _, c := range checks {
				if e.mux.byUfrag[c.session.ufrag] != c.session {
					t.Error("a check of a generation that is over")
				}
			}
		}
		for addr, sessions := range e.mux.byRemote {
			if len(sessions) != 1 {
				t.Errorf("%d generations send to %v", len(sessions), addr)
			}
		}
		e.mux.mu.Unlock()
	}
	a.Close()
	b.Close()
}

// The owner of a peer may use it while it does not take what is reported yet: its
// queue may be full.
func TestCandidateWhileTheOwnerIsBusy(t *testing.T) {
	reported, taken := make(chan struct{}), make(chan struct{})
	p := &Peer{ready: make(chan struct{}), described: true, events: Events{Candidate: func(datasync.Candidate) {
		close(reported)
		<-taken
	}}}
	var pion sync.WaitGroup
	pion.Go(func() { p.candidate(&webrtc.ICECandidate{Typ: webrtc.ICECandidateTypeSrflx}) })
	<-reported
	used := make(chan int)
	go func() { used <- p.remoteCount() }()
	select {
	case <-used:
	case <-time.After(20 * time.Second):
		t.Error("it stands still")
	}
	close(taken)
	pion.Wait()
}
