package flow

import (
	"time"
)

// Sender keeps what is posted to one remote runtime until it is dealt with there,
// and says what to send, when, and which way. It starts nothing, has no clock and
// no lock: its calls must not overlap.
//
// What its methods return is good until the next call of any of them.
type Sender struct {
	id     ID
	limits Limits
	origin time.Time // of the durations that are kept

	kept     line[*message] // all that is not settled
	posted   uint64         // the last sequence given out
	sent     uint64         // the last one that has been sent
	bytes    int
	accounts map[string]*account
	pool     pool
	unused   []*account

	paths    Paths
	full     Path // ways that have no room
	transits [2]transit
	order    uint64 // of the latest transmission
	window   window

	peer     peer
	question question
	// laterAt is when what was refused for a time is due again, and laters how
	// often in a row there was such a refusal; absent is when a Message Node first
	// did not know the peer.
	laterAt, absent time.Duration
	laters          int

	stats   Stats
	settled []Settled
}

// Marks of what is kept.
const (
	missing = iota // not received
	due            // to be sent when there is a way and room in the window
	also           // under way, to be sent the other way as well
	later          // refused for a time; due at laterAt
	marks
)

// peer is what is known of the receiver.
type peer struct {
	announced bool   // it knows flows
	receiver  uint64 // which it is; 0: there was no acknowledgement
	received  uint64 // everything up to here
	heard     time.Duration
	progress  time.Duration // when something was last received
}

// NewSender makes the sender of a flow. It has no ways until SetPaths.
func NewSender(id ID, l Limits) *Sender {
	l = l.orDefaults()
	return &Sender{
		id:       id,
		limits:   l,
		kept:     line[*message]{marks: make([]set, marks)},
		accounts: map[string]*account{},
		transits: [2]transit{{way: 0, path: Direct}, {way: 1, path: Relay}},
		window:   newWindow(l),
		absent:   never,
	}
}

// never is a time that does not come.
const never = time.Duration(1<<63 - 1)

// at is a time as it is kept here.
func (s *Sender) at(now time.Time) time.Duration {
	if s.origin.IsZero() {
		s.origin = now
	}
	return now.Sub(s.origin)
}

// ID is the name of the flow.
func (s *Sender) ID() ID { return s.id }

// Room says whether Post would take a message of a size to an address. An address
// may hold as much as it leaves free: alone a half of Limits.Bytes, two of them a
// third each. So there is always room for one that holds nothing, up to a message
// larger than what is left.
func (s *Sender) Room(address string, size int) bool {
	size = max(size, overhead)
	if s.bytes == 0 {
		return true
	}
	free := s.limits.Bytes - s.bytes - size
	if free < 0 {
		return false
	}
	a := s.accounts[address]
	return a == nil || a.bytes+size <= free
}

// Post takes a message and gives it the next sequence. Without room for its
// address it does not.
func (s *Sender) Post(now time.Time, it Item) (sequence uint64, ok bool) {
	if !s.Room(it.Address, it.Size) {
		return 0, false
	}
	at := s.at(now)
	if s.kept.kept.count == 0 {
		s.peer.progress, s.peer.heard, s.absent = at, at, never
	}
	s.posted++
	m := s.pool.get()
	m.sequence, m.value, m.size, m.since = s.posted, it.Value, max(it.Size, overhead), at
	m.account = s.charge(it.Address, m.size)
	pos := s.kept.push(m.sequence, m)
	s.kept.marks[missing].add(pos)
	s.kept.marks[due].add(pos)
	return s.posted, true
}

func (s *Sender) charge(address string, size int) *account {
	a := s.accounts[address]
	if a == nil {
		if n := len(s.unused); n > 0 {
			a, s.unused = s.unused[n-1], s.unused[:n-1]
		} else {
			a = &account{}
		}
		a.address = address
		s.accounts[address] = a
	}
	a.bytes += size
	s.bytes += size
	return a
}

// settle gives a message back and forgets it.
func (s *Sender) settle(m *message, how Settled) {
	how.Sequence, how.Value = m.sequence, m.value
	s.settled = append(s.settled, how)
	s.land(m)
	s.bytes -= m.size
	if m.account.bytes -= m.size; m.account.bytes == 0 {
		delete(s.accounts, m.account.address)
		if len(s.unused) < pooled {
			s.unused = append(s.unused, m.account)
		}
	}
	s.kept.remove(s.kept.find(m.sequence))
	s.pool.put(m)
}

// land takes a message off the ways on which it is.
func (s *Sender) land(m *message) {
	if m.underWay() == 0 {
		return
	}
	s.window.used -= m.size
	for i := range s.transits {
		s.transits[i].remove(m)
	}
}

// base is the first sequence that is not settled.
func (s *Sender) base() uint64 {
	if first := s.kept.kept.next(0); first >= 0 {
		return s.kept.slots[first].sequence
	}
	return s.posted + 1
}

// held is how many messages have been received and not dealt with.
func (s *Sender) held() int { return s.kept.kept.count - s.kept.marks[missing].count }

// begin empties what the call before returned.
func (s *Sender) begin() {
	clear(s.settled)
	s.settled = s.settled[:0]
}

// Announced says whether the peer is known to know flows.
func (s *Sender) Announced() bool { return s.peer.announced }

// Empty says whether all that was posted is settled.
func (s *Sender) Empty() bool { return s.kept.kept.count == 0 }

// Bytes is how much is kept, as it counts against Limits.Bytes.
func (s *Sender) Bytes() int { return s.bytes }

// RTT is the smoothed round trip, 0 before the first acknowledgement.
func (s *Sender) RTT() time.Duration { return s.window.smoothed }

// Stats are the counts up to now.
func (s *Sender) Stats() Stats { return s.stats }
