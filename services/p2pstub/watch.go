package p2pstub

import (
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// watchers are told of every change of a peer. A slow one is cut: it comes back
// and begins with a snapshot. They are guarded by the stub's mutex.
type watchers struct {
	limits  Limits
	all     map[*watcher]bool
	metrics *metrics
	noted   map[*peer]bool // that have changed in what can wait
	soon    *time.Timer    // until they are told of it
}

type watcher struct {
	changes chan *pb.Peer // closed when it is cut, or the stub ends
}

func (w *watchers) add() (*watcher, error) {
	if len(w.all) >= w.limits.Watchers {
		return nil, fault.New(fault.TooMany, "there are %d watchers already", len(w.all))
	}
	one := &watcher{changes: make(chan *pb.Peer, w.limits.WatchQueue)}
	w.all[one] = true
	return one, nil
}

func (w *watchers) remove(one *watcher) {
	if w.all[one] {
		delete(w.all, one)
		close(one.changes)
	}
}

// tell hands a change to all; it never waits.
func (w *watchers) tell(p *pb.Peer) {
	if len(w.all) == 0 {
		return
	}
	p = proto.CloneOf(p)
	for one := range w.all {
		select {
		case one.changes <- p:
		default:
			w.metrics.watchersCut.Inc()
			w.remove(one)
		}
	}
}

func (w *watchers) end() {
	if w.soon != nil {
		w.soon.Stop()
	}
	for one := range w.all {
		w.remove(one)
	}
}

// watch gives what is up, and a watcher of what comes after.
func (s *Stub) watch() (*pb.P2PStubWatchResponse, *watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, nil, errStops
	}
	w, err := s.watchers.add()
	if err != nil {
		return nil, nil, err
	}
	snapshot := &pb.P2PStubWatchResponse{Snapshot: true}
	for url := range s.stubs {
		snapshot.Stubs = append(snapshot.Stubs, url)
	}
	for _, p := range s.seen() {
		snapshot.Peers = append(snapshot.Peers, proto.CloneOf(p))
	}
	return snapshot, w, nil
}

func (s *Stub) unwatch(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers.remove(w)
}

// change alters what watchers see of a peer.
func (s *Stub) change(p *peer, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.show(p)
}

// noteTime is how long watchers may not hear of what nobody acts on, such as the path in
// use. Most of it comes around a change of state, and goes along with that.
const noteTime = 50 * time.Millisecond

// note is change for what can wait.
func (s *Stub) note(p *peer, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.showSoon(p)
}

// showSoon is show a little later. The mutex is held.
func (s *Stub) showSoon(p *peer) {
	w := &s.watchers
	switch {
	case len(w.noted) > 0: // the timer runs
	case w.soon == nil:
		w.soon = time.AfterFunc(noteTime, s.showNoted)
	default:
		w.soon.Reset(noteTime)
	}
	w.noted[p] = true
}

func (s *Stub) showNoted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.watchers.noted {
		s.show(p)
	}
}

// show tells the watchers of a peer, unless another stands for the connection. The
// mutex is held.
func (s *Stub) show(p *peer) {
	delete(s.watchers.noted, p)
	if !p.muted && p.successor == nil {
		s.watchers.tell(p.info)
	}
}
