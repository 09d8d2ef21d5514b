package nodestub

import (
	"slices"
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// watcher is one Watch stream. Its channel holds what it has not read yet; it
// is closed when the watcher is cut, with the reason in why.
type watcher struct {
	changes chan *pb.NodeStubWatchResponse
	why     error // set before changes is closed
}

// watch begins with a snapshot. It names all live sessions as renewed, since a
// watcher that was away does not know what it missed.
func (s *Stub) watch() (*watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, errStopping
	}
	if len(s.watchers) >= s.cfg.Limits.Watchers {
		return nil, fault.New(fault.TooMany, "there are %d watchers already", len(s.watchers))
	}
	w := &watcher{changes: make(chan *pb.NodeStubWatchResponse, s.cfg.Limits.WatchQueue)}
	w.changes <- s.snapshot()
	s.watchers[w] = struct{}{}
	return w, nil
}

func (s *Stub) snapshot() *pb.NodeStubWatchResponse {
	all := &pb.NodeStubWatchResponse{Snapshot: true}
	for name, d := range s.domains {
		all.Sessions = append(all.Sessions, d.view)
		if d.view.State == "live" {
			all.Renewed = append(all.Renewed, name)
		}
	}
	slices.SortFunc(all.Sessions, func(a, b *pb.NodeSession) int { return strings.Compare(a.Domain, b.Domain) })
	slices.Sort(all.Renewed)
	return all
}

// unwatch forgets a watcher.
func (s *Stub) unwatch(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endWatcher(w, nil)
}

// endWatcher ends one that has not ended yet; mu is held.
func (s *Stub) endWatcher(w *watcher, why error) {
	if _, there := s.watchers[w]; !there {
		return
	}
	delete(s.watchers, w)
	w.why = why
	close(w.changes)
}

var errSlowWatcher = fault.New(fault.TooMany, "the watcher is too slow; watch again for a snapshot")

// changed tells all watchers of a session. One that has no room is cut.
func (s *Stub) changed(view *pb.NodeSession, renewed bool) {
	change := &pb.NodeStubWatchResponse{Sessions: []*pb.NodeSession{view}}
	if renewed {
		change.Renewed = []string{view.Domain}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.domains[view.Domain]; d != nil {
		d.view = view
	}
	for w := range s.watchers {
		select {
		case w.changes <- change:
		default:
			s.metrics.watchersCut.Inc()
			s.endWatcher(w, errSlowWatcher)
		}
	}
}
