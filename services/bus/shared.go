package bus

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// What the replicas of a bus tell one another of what they have: their listeners, and
// which client is where. All of it is guarded by the table's mutex, so that a link that
// comes up is told everything once (snapshot), and then each change.

// shared is a listener of this replica that others are told of: of one stream, or of
// several that listen to the same address.
type shared struct {
	streams map[*stream]struct{}
	told    *pb.ReplicaChange
}

// whereabouts of a client: which replica it is attached to, empty for this one, and
// which of its streams that is.
type whereabouts struct {
	replica    string
	attachment uint64
}

// share notes a listener of a stream of this replica.
func (t *table) share(s *stream, c *pb.ListenerChange) {
	if t.mesh == nil || s.peer != "" || c.GetAddress() == anyAddress {
		return
	}
	key := added{c.GetAddress(), c.GetLeadsTo()}
	sh := t.shared[key]
	if sh == nil {
		sh = &shared{streams: map[*stream]struct{}{}, told: &pb.ReplicaChange{
			Address: key.address, LeadsTo: key.leadsTo, Component: s.comp, Window: uint32(t.window(c)), // at most Limits.MaxWindow
		}}
		t.shared[key] = sh
	}
	sh.streams[s] = struct{}{}
	t.tellOf(sh)
}

// tellOf tells the others of a listener that is new, or whose client is another one.
func (t *table) tellOf(sh *shared) {
	c := proto.CloneOf(sh.told)
	c.Client = nil
	for s := range sh.streams {
		if len(sh.streams) == 1 && s.origin != nil {
			c.Client = s.origin.id
		}
	}
	sh.told = c
	t.mesh.tell(c)
}

// unshare notes that a stream has a listener no more.
func (t *table) unshare(s *stream, key added, returning bool) {
	sh := t.shared[key]
	if sh == nil || s.peer != "" {
		return
	}
	if _, has := sh.streams[s]; !has {
		return
	}
	if delete(sh.streams, s); len(sh.streams) > 0 {
		t.tellOf(sh)
		return
	}
	delete(t.shared, key)
	t.mesh.tell(&pb.ReplicaChange{Address: key.address, LeadsTo: key.leadsTo, Remove: true, Returning: returning})
}

// snapshot begins to tell a link of all that there is here.
func (t *table) snapshot(l *link) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var all []*pb.ReplicaChange
	for client, w := range t.clients {
		if w.replica == "" {
			all = append(all, &pb.ReplicaChange{Client: []byte(client), Attachment: w.attachment})
		}
	}
	for _, sh := range t.shared {
		all = append(all, sh.told)
	}
	l.begin(append(all, &pb.ReplicaChange{Complete: true}))
}

// clientHere notes that a client has attached to this replica with a stream. What was
// under way to its listeners elsewhere waits for those that it puts in place here. 409
// when it has attached elsewhere since.
func (t *table) clientHere(s *stream) ([]verdict, error) {
	if t.mesh == nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	client := string(s.origin.id)
	known, ok := t.clients[client]
	attachment := s.attachment.Load()
	if attachment == 0 { // it does not count them
		attachment = known.attachment + 1
		s.attachment.Store(attachment)
	}
	if ok && known.attachment > attachment {
		return nil, fault.New(fault.Conflict, "the client has attached elsewhere since")
	}
	t.clients[client] = whereabouts{attachment: attachment}
	verdicts := t.cutOff(client, "")
	t.mesh.tell(&pb.ReplicaChange{Client: s.origin.id, Attachment: attachment})
	return verdicts, nil
}

// clientGone notes that a client's stream has ended.
func (t *table) clientGone(s *stream) {
	if t.mesh == nil || s.origin == nil {
		return
	}
	attachment := s.attachment.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	if client := string(s.origin.id); t.clients[client] == (whereabouts{attachment: attachment}) {
		delete(t.clients, client)
		t.mesh.tell(&pb.ReplicaChange{Client: s.origin.id, Attachment: attachment, Remove: true})
	}
}

// clientAt takes the word of another replica that a client has attached there, or has
// gone. An earlier stream of it that is still there, here or elsewhere, is one that
// the client has given up.
func (t *table) clientAt(s *stream, c *pb.ReplicaChange) (here bool, verdicts []verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	client, at := string(c.GetClient()), whereabouts{s.peer, c.GetAttachment()}
	known, ok := t.clients[client]
	switch {
	case s.listeners == nil: // it has ended: what it tells is forgotten already
		return false, nil
	case c.GetRemove():
		if ok && known == at {
			delete(t.clients, client)
		}
		return false, nil
	case ok && known.attachment > at.attachment:
		return false, nil
	case !ok && len(t.clients) >= 4*t.limits.Origins:
		return false, nil // its listeners are taken for anybody's
	}
	t.clients[client] = at
	return ok && known.replica == "", t.cutOff(client, s.peer)
}

// clientsGone forgets the clients of a replica that is gone.
func (t *table) clientsGone(replica string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for client, w := range t.clients {
		if w.replica == replica {
			delete(t.clients, client)
		}
	}
}

// cutOff takes the listeners of a client away that other replicas have told of, but for
// one. They may come back.
func (t *table) cutOff(client, but string) (verdicts []verdict) {
	for _, s := range t.mesh.streams() {
		if s.peer == but {
			continue
		}
		for key, of := range s.clients {
			if of == client {
				verdicts = append(verdicts, t.cut(s, key)...)
			}
		}
	}
	return verdicts
}

// cut takes away a listener of another replica that was cut off there.
func (t *table) cut(s *stream, key added) []verdict {
	delete(s.listeners, key)
	delete(s.clients, key)
	t.cutting = true
	defer func() { t.cutting = false }()
	return t.drop(s, key, true)
}

// returning tells whether the listener of an inbox that is being closed may come back.
// Of what is attached to another replica only stubs do not: what is under way to one
// goes another way.
func (t *table) returning(in *inbox) bool {
	s := in.stream
	if s.peer == "" {
		return s.returning()
	}
	return (t.cutting || s.over()) && !isStub(in.comp) && in.comp != pb.Component_COMPONENT_BUS
}

// over tells whether the stream has ended.
func (s *stream) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// addShared adds a listener that another replica has told of, or notes that its client
// is another one. One of a client that has moved since is passed over.
func (t *table) addShared(s *stream, c *pb.ReplicaChange) ([]verdict, error) {
	change := &pb.ListenerChange{Address: c.GetAddress(), LeadsTo: c.GetLeadsTo(), Window: c.GetWindow()}
	if err := validateListener(change); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key, client := added{c.GetAddress(), c.GetLeadsTo()}, string(c.GetClient())
	if w, ok := t.clients[client]; client != "" && ok && w.replica != s.peer || key.address == anyAddress {
		return nil, nil
	}
	if _, ok := s.listeners[key]; ok {
		s.clients[key] = client
		return nil, nil
	}
	if s.listeners == nil {
		return nil, refuse(reasonGone, 503, "the stream has ended")
	}
	if t.listeners >= t.limits.Listeners {
		return nil, refuse(reasonStreamFull, 429, "the bus has %d listeners already", t.listeners)
	}
	if err := t.mayLead(key.address, key.leadsTo); err != nil {
		return nil, err
	}
	s.listeners[key], s.clients[key] = struct{}{}, client
	t.listeners++
	return t.insert(s, change, componentOr(c.GetComponent())), nil
}

// removeShared takes a listener of another replica away. One that is not there has been
// cut off before.
func (t *table) removeShared(s *stream, c *pb.ReplicaChange) []verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := added{c.GetAddress(), c.GetLeadsTo()}
	if _, ok := s.listeners[key]; !ok {
		return nil
	}
	if c.GetReturning() {
		return t.cut(s, key)
	}
	delete(s.listeners, key)
	delete(s.clients, key)
	return t.drop(s, key, false)
}
