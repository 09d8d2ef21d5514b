package registry

import (
	"context"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/protocol/address"
)

// mirror is what a standby knows of the table, by the one that leads, and of what is
// registered, by the store. standby.mu guards it.
type mirror struct {
	table         map[string]*pb.Connection // by id; a change is another value
	registrations map[string]*registration  // by key in the store
	tabled, read  bool                      // each is known
	pulse         chan struct{}             // closed and made anew with each change
}

func newMirror() mirror {
	return mirror{table: map[string]*pb.Connection{}, registrations: map[string]*registration{}, pulse: make(chan struct{})}
}

func (m *mirror) changed() {
	close(m.pulse)
	m.pulse = make(chan struct{})
}

// watchTable follows the table of the registry that leads.
func (s *standby) watchTable(ctx context.Context, c pb.RegistryClient) error {
	stream, err := c.WatchConnections(ctx, &pb.WatchConnectionsRequest{})
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		s.takeTable(resp, first)
	}
}

func (s *standby) takeTable(resp *pb.WatchConnectionsResponse, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first {
		clear(s.mirror.table)
		s.mirror.tabled = true
	}
	for _, c := range resp.Connections {
		s.mirror.table[c.Id] = c
	}
	for _, id := range resp.Removed {
		delete(s.mirror.table, id)
	}
	s.mirror.changed()
}

// watchStore follows what is registered, until ctx is done.
func (s *standby) watchStore(ctx context.Context) error {
	retry.Keep(ctx, s.followStore,
		func(err error) { s.log.Warn("the store cannot be followed, trying again", "error", err) },
		func() { s.log.Info("the store is followed again") })
	return nil
}

func (s *standby) followStore(ctx context.Context) error {
	store, err := openStore(ctx, s.cfg.Engine, s.cfg.RuntimeURL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the watch, and waits for no answer as Stop does
	w, err := store.kv.Watch(ctx, registrationKey+"*")
	if err != nil {
		return store.failed(err)
	}
	fresh := map[string]*registration{}
	for {
		select {
		case e, open := <-w.Updates():
			if !open {
				return fault.New(fault.Unavailable, "the watch of the store has ended")
			}
			fresh = s.takeStored(e, fresh)
		case <-ctx.Done():
			return nil
		}
	}
}

// takeStored takes one entry of the store. What was there before the watch is gathered
// in fresh, which is nil after that.
func (s *standby) takeStored(e jetstream.KeyValueEntry, fresh map[string]*registration) map[string]*registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	into := fresh
	switch {
	case e == nil:
		s.mirror.registrations, s.mirror.read = fresh, true
		s.mirror.changed()
		return nil
	case into == nil:
		into = s.mirror.registrations
		defer s.mirror.changed()
	}
	if e.Operation() != jetstream.KeyValuePut {
		delete(into, e.Key())
		return fresh
	}
	reg, err := decodeRegistration(e.Value())
	if err != nil {
		s.log.Warn("entries of the store cannot be read; they are left out", "entries", []string{e.Key()})
		return fresh
	}
	into[e.Key()] = reg
	return fresh
}

// await waits until something is known, Limits.LeaderWait at most.
func (s *standby) await(ctx context.Context, known func(*mirror) bool) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.LeaderWait)
	defer cancel()
	for {
		s.mu.Lock()
		ok, pulse := known(&s.mirror), s.mirror.pulse
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-pulse:
		case <-ctx.Done():
			return nobodyLeads(s.cfg.Group)
		}
	}
}

// awaitRegistration lets whoever has registered an address find it here.
func (s *standby) awaitRegistration(ctx context.Context, url string, there bool) {
	_ = s.await(ctx, func(m *mirror) bool { // the store is away: then it comes later
		return (m.registrations[key(registrationKey, url)] != nil) == there
	})
}

func (s *standby) awaitConnection(ctx context.Context, id string) {
	_ = s.await(ctx, func(m *mirror) bool { return m.table[id] != nil }) // likewise
}

func (s *standby) awaitEnd(ctx context.Context, idOrRemote string) {
	_ = s.await(ctx, func(m *mirror) bool { return m.find(idOrRemote) == nil }) // likewise
}

// find gives an entry by its id or its remote runtime; nil when there is none.
func (m *mirror) find(idOrRemote string) *pb.Connection {
	for _, c := range m.table {
		if c.Id == idOrRemote || c.RemoteRuntimeUrl == idOrRemote {
			return c
		}
	}
	return nil
}

// registrations gives what is registered of a kind, sorted by address.
func (s *standby) registrations(ctx context.Context, kind pb.RegistrationKind) ([]*pb.Registration, error) {
	if err := s.await(ctx, func(m *mirror) bool { return m.read }); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*pb.Registration
	for _, reg := range s.mirror.registrations {
		if kind == pb.RegistrationKind_REGISTRATION_KIND_UNSPECIFIED || kind == reg.what.Kind {
			all = append(all, reg.what)
		}
	}
	slices.SortFunc(all, func(a, b *pb.Registration) int { return strings.Compare(a.Url, b.Url) })
	return all, nil
}

// connections gives the table, sorted by remote runtime.
func (s *standby) connections(ctx context.Context) ([]*pb.Connection, error) {
	if err := s.await(ctx, func(m *mirror) bool { return m.tabled }); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*pb.Connection, 0, len(s.mirror.table))
	for _, c := range s.mirror.table {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *pb.Connection) int { return strings.Compare(a.RemoteRuntimeUrl, b.RemoteRuntimeUrl) })
	return all, nil
}

// connection gives one entry, by its id or its remote runtime.
func (s *standby) connection(ctx context.Context, idOrRemote string) (*pb.Connection, error) {
	if err := address.Check("connection", idOrRemote); err != nil {
		return nil, err
	}
	if err := s.await(ctx, func(m *mirror) bool { return m.tabled }); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.mirror.find(idOrRemote); c != nil {
		return c, nil
	}
	return nil, fault.New(fault.NotFound, "there is no connection %q", idOrRemote).In("connection")
}

// watchConnections gives send the whole table, then what changes, until ctx is done or
// send fails. Another registry that leads makes no difference.
func (s *standby) watchConnections(ctx context.Context, send func(*pb.WatchConnectionsResponse) error) error {
	if err := s.await(ctx, func(m *mirror) bool { return m.tabled }); err != nil {
		return err
	}
	told := map[string]*pb.Connection{}
	s.mu.Lock()
	over := s.over
	s.mu.Unlock()
	if !s.answers() { // since a moment ago
		return errAnswersItself
	}
	for first := true; ; first = false {
		s.mu.Lock()
		resp, pulse := s.mirror.news(told), s.mirror.pulse
		s.mu.Unlock()
		if first || len(resp.Connections)+len(resp.Removed) > 0 {
			if err := send(resp); err != nil {
				return err
			}
		}
		select {
		case <-pulse:
		case <-over:
			return errAnswersItself
		case <-ctx.Done():
			return nil
		}
	}
}

// news is what has changed since a watcher was told last.
func (m *mirror) news(told map[string]*pb.Connection) *pb.WatchConnectionsResponse {
	resp := &pb.WatchConnectionsResponse{}
	for id, c := range m.table {
		if told[id] != c {
			resp.Connections = append(resp.Connections, c)
			told[id] = c
		}
	}
	for id := range told {
		if m.table[id] == nil {
			resp.Removed = append(resp.Removed, id)
			delete(told, id)
		}
	}
	return resp
}
