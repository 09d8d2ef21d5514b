package flow

import (
	"sort"
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

	kept line[*message] // all that has been sent and is not settled
	sent uint64         // the last sequence given out
	// What has not been sent waits in its account. oldest is when something that
	// waits was posted, or earlier.
	waiting  int
	oldest   time.Duration
	turns    [kinds]turns
	bytes    int // of all that is not settled
	accounts map[string]*account
	lanes    map[string]*lane
	messages pool[message]
	unused   pool[account]
	empty    pool[lane]

	paths    Paths
	full     Path // ways that have no room
	transits [2]transit
	order    uint64 // of the latest transmission
	windows  [kinds]window
	backoff  int     // time-outs in a row
	touched  []*lane // where something was found to have arrived

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

// Marks of what is kept; of the first two there is one for each kind.
const (
	missing = 0               // not received
	due     = missing + kinds // to be sent again when there is a way and room in the window
	also    = due + kinds     // under way, to be sent the other way as well
	later   = also + 1        // refused for a time; due at laterAt
	marks   = later + 1
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
	l = l.OrDefaults()
	return &Sender{
		id:       id,
		limits:   l,
		kept:     line[*message]{marks: make([]set, marks), span: (*message).count},
		accounts: map[string]*account{},
		lanes:    map[string]*lane{},
		transits: [2]transit{newTransit(0, Direct), newTransit(1, Relay)},
		windows:  [kinds]window{newWindow(l), newWindow(l)},
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

// Post takes a message. Without room for its address it does not.
func (s *Sender) Post(now time.Time, it Item) (ok bool) {
	if !s.Room(it.Address, it.Size) {
		return false
	}
	m := s.messages.get()
	m.value, m.n, m.size = it.Value, 1, max(it.Size, overhead)
	s.enter(now, m, it)
	return true
}

// PostSeveral takes messages of a Several, the Value of an Item, from one to before
// another; as many of the first as there is room for. It says how many.
func (s *Sender) PostSeveral(now time.Time, it Item, from, to int) (n int) {
	all := it.Value.(Several)
	for from < to {
		k := s.roomFor(it.Address, all, from, to)
		if k == 0 {
			return n
		}
		m := s.messages.get()
		m.value, m.several = it.Value, all
		m.from, m.n = from, s.alike(s.lane(it), all, from, k)
		m.size = all.Size(from, from+m.n)
		from, n = from+m.n, n+m.n
		s.enter(now, m, it)
	}
	return n
}

// roomFor is for how many there is room, or for how many at least.
func (s *Sender) roomFor(address string, all Several, from, to int) int {
	free := s.limits.Bytes - s.bytes
	if a := s.accounts[address]; a != nil {
		free = (free - a.bytes) / 2
	} else {
		free /= 2
	}
	if all.Size(from, to) <= free {
		return to - from
	}
	n := sort.Search(to-from-1, func(i int) bool { return all.Size(from, from+i+1) > free })
	if n == 0 && s.Room(address, all.Size(from, from+1)) {
		return 1
	}
	return n
}

// alike is how many of the first n are of one kind.
func (s *Sender) alike(l *lane, all Several, from, n int) int {
	if l.long > 0 || all.Size(from, from+n) <= s.limits.Short {
		return n
	}
	for i := range n {
		if all.Size(from+i, from+i+1) > s.limits.Short {
			return max(i, 1)
		}
	}
	return n
}

// enter takes what there is room for.
func (s *Sender) enter(now time.Time, m *message, it Item) {
	at := s.at(now)
	if s.Empty() {
		s.peer.progress, s.peer.heard, s.absent = at, at, never
	}
	m.since = at
	s.charge(m, it)
	s.wait(m)
}

// charge enters a message in its account and its lane.
func (s *Sender) charge(m *message, it Item) {
	a := s.accounts[it.Address]
	if a == nil {
		a = s.unused.get()
		a.address = it.Address
		s.accounts[it.Address] = a
	}
	a.bytes += m.size
	s.bytes += m.size
	l := s.lane(it)
	l.kept++
	if m.sizeOf(0) > s.limits.Short || l.long > 0 {
		m.kind = long
		l.long++
	}
	m.account, m.lane = a, l
}

func (s *Sender) lane(it Item) *lane {
	name := it.Lane
	if name == "" {
		name = it.Address
	}
	l := s.lanes[name]
	if l == nil {
		l = s.empty.get()
		l.name = name
		for way := range l.under {
			l.under[way] = chain{way: way, link: ofLane}
		}
		s.lanes[name] = l
	}
	return l
}

// settle gives a message back that has been sent, and forgets it.
func (s *Sender) settle(m *message, how Settled) {
	s.land(m)
	s.kept.remove(s.kept.find(m.sequence))
	s.release(m, how)
}

// release gives a message back.
func (s *Sender) release(m *message, how Settled) {
	how.Sequence, how.Value, how.From, how.Count, how.Ways = m.sequence, m.value, m.from, m.n, m.sentBy()
	s.settled = append(s.settled, how)
	s.bytes -= m.size
	if m.account.bytes -= m.size; m.account.bytes == 0 {
		delete(s.accounts, m.account.address)
		s.unused.put(m.account)
	}
	if m.kind == long {
		m.lane.long--
	}
	if m.lane.kept--; m.lane.kept == 0 {
		delete(s.lanes, m.lane.name)
		s.empty.put(m.lane)
	}
	s.messages.put(m)
}

// cut takes all but the first n off what is kept or waits.
func (s *Sender) cut(m *message, n int) *message {
	rest := s.messages.get()
	m.cutOff(n, rest)
	m.lane.kept++
	if m.kind == long {
		m.lane.long++
	}
	return rest
}

// split makes the first n at a position one, and the rest, if there is any, another one.
func (s *Sender) split(pos, n int) {
	m := s.kept.slots[pos].item
	if n >= m.n {
		return
	}
	rest := s.cut(m, n)
	rest.sequence = m.sequence + uint64(n) // not negative
	for i := range s.transits {
		s.transits[i].follow(m, rest)
	}
	s.kept.split(pos, n, rest)
}

// cutBefore splits what has both a sequence and the one before it.
func (s *Sender) cutBefore(sequence uint64) {
	if pos := s.kept.over(sequence); pos >= 0 {
		if n := int(sequence - s.kept.slots[pos].sequence); n > 0 { // of one item
			s.split(pos, n)
		}
	}
}

// single is the position of what has one sequence alone, after a split if need be; or -1.
func (s *Sender) single(sequence uint64) int {
	s.cutBefore(sequence)
	s.cutBefore(sequence + 1)
	return s.kept.find(sequence)
}

// land takes a message off the ways on which it is.
func (s *Sender) land(m *message) {
	if m.underWay() == 0 {
		return
	}
	s.windows[m.kind].used -= m.size
	for i := range s.transits {
		s.transits[i].remove(m)
	}
}

// base is the first sequence that is not settled, of those that have been sent.
func (s *Sender) base() uint64 {
	if first := s.kept.kept.next(0); first >= 0 {
		return s.kept.slots[first].sequence
	}
	return s.sent + 1
}

// held is how many messages have been received and not dealt with.
func (s *Sender) held() int {
	n := s.kept.kept.count
	for kind := range kinds {
		n -= s.kept.marks[missing+kind].count
	}
	return n
}

// missing says whether a message that is kept has not been received.
func (s *Sender) missing(pos int) bool {
	return s.kept.marks[missing+s.kept.slots[pos].item.kind].has(pos)
}

// begin empties what the call before returned.
func (s *Sender) begin() {
	clear(s.settled)
	s.settled = s.settled[:0]
}

// Announced says whether the peer is known to know flows.
func (s *Sender) Announced() bool { return s.peer.announced }

// Empty says whether all that was posted is settled.
func (s *Sender) Empty() bool { return s.kept.kept.count+s.waiting == 0 }

// Bytes is how much is kept, as it counts against Limits.Bytes.
func (s *Sender) Bytes() int { return s.bytes }

// RTT is the smoothed round trip of short messages, 0 before the first.
func (s *Sender) RTT() time.Duration { return s.windows[short].trips.smoothed }

// Stats are the counts up to now.
func (s *Sender) Stats() Stats { return s.stats }
