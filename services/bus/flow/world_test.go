package flow

import (
	"fmt"
	"slices"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// small are limits that a handful of messages reach. Nothing is given up.
func small() Limits {
	return Limits{
		Bytes: 8 << 10, First: 1 << 10, UnderWay: 4 << 10, Least: 512, Short: 512, Rate: 1 << 20,
		Ahead: 2 << 10, Ranges: 4, AckBytes: 1 << 10,
		Patience: 1000 * time.Hour, AbsentTime: 1000 * time.Hour,
	}
}

// post is a message of the client that posts. Its number rises; the client keeps
// it until it is settled, and posts it again to a bus that was restarted.
type post struct {
	number  int
	address string
	size    int
	code    int32 // with which its listener refuses it
	halted  int32 // with which a Message Node has
	ways    Path  // it went in this epoch
}

// posts are a Several.
type posts []*post

func (p posts) Len() int { return len(p) }

func (p posts) Size(from, to int) (sum int) {
	for _, one := range p[from:to] {
		sum += max(one.size, overhead)
	}
	return sum
}

// of gives some of a Value.
func of(value any, from, count int) []*post {
	switch v := value.(type) {
	case posts:
		return v[from : from+count]
	case *post:
		return []*post{v}
	}
	return nil
}

// lane is one of two of each address.
func (p *post) lane() string { return p.address + []string{"", "'"}[p.size%2] }

// packet is a message, or an acknowledgement, on its way.
type packet struct {
	id    ID
	place Place
	post  *post
	ack   *pb.FlowAck
}

// handed is a message in the inbox of a listener, with the flow that it is of.
type handed struct {
	Delivery
	by *Receiver
}

// world is two buses, with a client behind each and two ways between them: one that
// posts, and one that listens and remembers what it had last for each address. The
// clients are never restarted.
type world struct {
	fail   func(format string, args ...any)
	limits Limits
	now    time.Time

	// The side that posts.
	epoch   uint64
	sender  *Sender
	paths   Paths
	number  int
	unsaid  []*post // not settled
	waiting []*post // of these, what waits for room
	code    map[int]int32
	answers map[int]int // settled, how often in this epoch
	stuffed Path        // ways without room
	few     int         // of a transmission that a way takes; 0 for all

	// The ways, there and back; index as of transits.
	there, back [2][]packet

	// The side that listens.
	self     uint64
	flow     ID
	receiver *Receiver
	last     uint64 // delivered by this receiver
	inbox    map[string][]handed
	had      map[string]int // last number at a listener
	dealt    map[int]bool
	twice    int // came to a listener again
	restarts int

	acts     int
	apart    bool // what could be posted together is posted one by one
	unknown  bool // whether the peer knows flows is not announced
	believes bool // whatever is said to be dealt with
}

func newWorld(l Limits, fail func(string, ...any)) *world { return newWorldWith(l, false, fail) }

func newWorldWith(l Limits, unknown bool, fail func(string, ...any)) *world {
	w := &world{
		fail: fail, limits: l.OrDefaults(), unknown: unknown, now: time.Unix(1_000_000, 0), code: map[int]int32{},
		had: map[string]int{}, dealt: map[int]bool{}, paths: Paths{Direct: true, Relay: true},
	}
	w.startSender()
	w.startReceiver()
	w.restarts = 0
	return w
}

// gonePlain is in the place of a code: nobody promises anything.
const gonePlain = -1

// startSender is a new bus on the side that posts: the client posts all again that
// is not settled.
func (w *world) startSender() {
	w.restarts++
	w.epoch++
	w.answers = map[int]int{}
	w.stuffed, w.few = 0, 0
	for _, p := range w.unsaid {
		p.ways = 0
	}
	w.sender = NewSender(ID{w.epoch, 7}, w.limits)
	w.sender.SetPaths(w.now, w.paths)
	if !w.unknown {
		w.sender.Announce(w.now)
	}
	w.waiting = append([]*post(nil), w.unsaid...)
	w.act()
}

// offer posts what has room, in the order of each address.
func (w *world) offer() {
	var rest []*post
	stays := map[string]bool{}
	for all := w.waiting; len(all) > 0; {
		run := w.run(all)
		all = all[len(run):]
		to := run[0].address
		if !stays[to] {
			run = run[w.take(run):]
		}
		stays[to] = stays[to] || len(run) > 0
		rest = append(rest, run...)
	}
	w.waiting = rest
}

// run are the first that can be posted together.
func (w *world) run(all []*post) posts {
	n := 1
	for !w.apart && n < len(all) && all[n].lane() == all[0].lane() {
		n++
	}
	return all[:n]
}

// take posts those of a run that there is room for.
func (w *world) take(run posts) (n int) {
	p := run[0]
	room := w.sender.Room(p.address, p.size)
	it := Item{Address: p.address, Lane: p.lane(), Size: p.size, Value: p}
	if len(run) > 1 {
		it.Value = run
		n = w.sender.PostSeveral(w.now, it, 0, len(run))
	} else if w.sender.Post(w.now, it) {
		n = 1
	}
	if room != (n > 0) || n < len(run) && w.sender.Room(p.address, run[n].size) {
		w.fail("room for %d: %t, and then for %d of %d", p.number, room, n, len(run))
	}
	return n
}

// startReceiver is a new bus on the side that listens.
func (w *world) startReceiver() {
	w.restarts++
	w.self++
	w.receiver, w.flow, w.inbox = nil, ID{}, map[string][]handed{}
}

// post posts, unless much waits for room.
func (w *world) post(address string, size int, code int32) {
	if len(w.waiting) > 10 {
		return
	}
	w.number++
	p := &post{number: w.number, address: address, size: size, code: code}
	w.unsaid = append(w.unsaid, p)
	w.waiting = append(w.waiting, p)
	w.act()
}

// postSome posts some together, of which one is refused with a code.
func (w *world) postSome(address string, n, size int, code int32) {
	for i := range n {
		w.number++
		p := &post{number: w.number, address: address, size: size + 2*(i%3)}
		if i == n/2 {
			p.code = code
		}
		w.unsaid = append(w.unsaid, p)
		w.waiting = append(w.waiting, p)
	}
	w.act()
}

// act does all that is due now.
func (w *world) act() {
	if at, ok := w.sender.Deadline(); ok && !at.After(w.now) {
		w.settle(w.sender.Tick(w.now))
		if again, ok := w.sender.Deadline(); ok && !again.After(w.now) {
			w.fail("Tick at %v leaves a deadline of %v", w.now, again)
		}
	}
	w.offer()
	sent := 0
	for t, ok := w.sender.Next(w.now); ok; t, ok = w.sender.Next(w.now) {
		w.send(t)
		if sent++; sent > 10_000 {
			w.fail("there is no end to what is to be sent: %s", w.describe())
		}
	}
	w.check()
	if w.receiver == nil {
		return
	}
	if at, ok := w.receiver.AckDue(); ok && !at.After(w.now) {
		w.ack()
	}
}

// check proves what must hold between any two calls; now and then, when much is
// kept.
func (w *world) check() {
	if w.acts++; w.sender.kept.kept.count > 100 && w.acts%1000 > 0 {
		return
	}
	w.checkSender()
	if w.receiver != nil {
		w.checkReceiver()
	}
}

func (w *world) send(t Transmission) {
	all := of(t.Value, t.From, t.Count)
	if t.Path&^w.paths.there() != 0 || t.Path == 0 || len(all) != t.Count {
		w.fail("%d of %d goes over %v, and there is %+v", t.Sequence, t.Count, t.Path, w.paths)
	}
	for i, path := range []Path{Direct, Relay} {
		switch taken := w.room(path, t.Count); {
		case t.Path&path == 0:
		case t.Count == 0 && taken == 0:
			w.there[i] = append(w.there[i], packet{id: w.sender.ID(), place: t.Place})
		default:
			w.enter(i, t.Place, all[:max(taken, 0)])
			if taken < t.Count {
				w.sender.Unsent(t.Sequence+uint64(max(taken, 0)), t.Count-max(taken, 0), path)
			}
		}
	}
}

// enter puts messages on a way.
func (w *world) enter(way int, first Place, all []*post) {
	for i, p := range all {
		place := first
		if place.Sequence += uint64(i); i > 0 {
			place.After = 0
		}
		w.there[way] = append(w.there[way], packet{id: w.sender.ID(), place: place, post: p})
		p.ways |= []Path{Direct, Relay}[way]
	}
}

// room is how many of a transmission a way takes; -1 when it does not even take one
// without a message.
func (w *world) room(p Path, n int) int {
	switch {
	case w.stuffed&p != 0:
		return -1
	case w.few > 0 && n > w.few:
		return w.few
	}
	return n
}

// ack sends an acknowledgement over all the ways that there are.
func (w *world) ack() {
	a := w.receiver.Ack(w.now)
	if len(a.ReceivedBeyond) > w.limits.Ranges || len(a.DealtBeyond) > w.limits.Ranges || len(a.Refusals) > w.limits.Ranges {
		w.fail("an acknowledgement says %v", a)
	}
	a.Epoch, a.Id = w.flow.Epoch, w.flow.Number
	for i, path := range []Path{Direct, Relay} {
		if w.paths.there()&path != 0 {
			w.back[i] = append(w.back[i], packet{ack: a})
		}
	}
}

// arrive takes the first of a way in.
func (w *world) arrive(way int) {
	if len(w.there[way]) == 0 {
		return
	}
	p := w.there[way][0]
	w.there[way] = w.there[way][1:]
	if p.id.Epoch < w.flow.Epoch {
		return
	}
	if p.id != w.flow || w.receiver == nil {
		w.flow, w.last = p.id, 0
		w.receiver = NewReceiver(w.self, w.limits)
	}
	var turn []Delivery
	if p.post == nil {
		turn, _ = w.receiver.Receive(w.now, p.place, 0, nil)
	} else {
		turn, _ = w.receiver.Receive(w.now, p.place, p.post.size, p.post)
	}
	for _, d := range turn {
		if d.Sequence <= w.last {
			w.fail("%d is handed over after %d", d.Sequence, w.last)
		}
		w.last = d.Sequence
		to := d.Value.(*post).address
		w.inbox[to] = append(w.inbox[to], handed{d, w.receiver})
	}
	w.act()
}

// halt has a Message Node refuse the first of its way.
func (w *world) halt(code int32) {
	if len(w.there[1]) == 0 {
		return
	}
	p := w.there[1][0]
	w.there[1] = w.there[1][1:]
	if p.post != nil && p.id == w.sender.ID() {
		p.post.halted = code
		w.settle(w.sender.Refused(w.now, p.place.Sequence, code, "not relayed"))
	}
	w.act()
}

// answer takes the first acknowledgement of a way in.
func (w *world) answer(way int) {
	if len(w.back[way]) == 0 {
		return
	}
	p := w.back[way][0]
	w.back[way] = w.back[way][1:]
	if p.ack.Epoch == w.epoch {
		w.settle(w.sender.Acked(w.now, p.ack))
	}
	w.act()
}

// listen has a listener deal with the first that has come for it.
func (w *world) listen(address string) {
	waiting := w.inbox[address]
	if len(waiting) == 0 {
		return
	}
	d := waiting[0]
	w.inbox[address] = waiting[1:]
	p := d.Value.(*post)
	switch {
	case p.number <= w.had[address]:
		w.twice++
	case p.code == 0:
		w.had[address] = p.number
		w.dealt[p.number] = true
	}
	d.by.Dealt(w.now, d.Sequence, p.code, "as it likes")
	w.act()
}

// settle takes what the sender gives back.
func (w *world) settle(settled []Settled) {
	for _, s := range settled {
		all := of(s.Value, s.From, s.Count)
		if len(all) != s.Count || s.Count == 0 {
			w.fail("%d are settled, and there are %d", s.Count, len(all))
		}
		for _, p := range all {
			w.settleOne(p, s)
		}
	}
}

func (w *world) settleOne(p *post, s Settled) {
	if w.answers[p.number]++; w.answers[p.number] > 1 {
		w.fail("%d is settled twice", p.number)
	}
	w.code[p.number] = s.Code
	if s.Plain {
		w.code[p.number] = gonePlain
	}
	switch {
	case s.Ways != p.ways && !w.believes:
		w.fail("%d went over %v, and is said to have gone over %v", p.number, p.ways, s.Ways)
	case w.believes:
	case s.Code == 0 && !s.Plain && !w.dealt[p.number]:
		w.fail("%d is settled, and nobody has dealt with it", p.number)
	case s.Code != 0 && s.Code != 408 && s.Code != p.code && s.Code != p.halted:
		w.fail("%d is refused with %d", p.number, s.Code)
	}
	if i := slices.Index(w.unsaid, p); i >= 0 {
		w.unsaid = slices.Delete(w.unsaid, i, i+1)
	}
}

// setPaths changes the ways; what is on one that is gone is lost.
func (w *world) setPaths(p Paths) {
	w.paths = p
	for i, path := range []Path{Direct, Relay} {
		if p.there()&path == 0 {
			w.there[i], w.back[i] = nil, nil
		}
	}
	w.sender.SetPaths(w.now, p)
	w.act()
}

// advance lets time pass.
func (w *world) advance(d time.Duration) {
	w.now = w.now.Add(d)
	w.act()
}

// exchange has all arrive that is on its way.
func (w *world) exchange() {
	for i := range w.there {
		for len(w.there[i]) > 0 {
			w.arrive(i)
		}
		for len(w.back[i]) > 0 {
			w.answer(i)
		}
	}
}

// heal ends all faults, and lets everything come to an end.
func (w *world) heal() {
	w.restore()
	w.finish(addresses...)
}

func (w *world) restore() {
	w.stuffed, w.few = 0, 0
	w.sender.Ready(Both)
	w.setPaths(Paths{Direct: true, Relay: true})
}

// finish waits until all is settled that went to some addresses.
func (w *world) finish(listeners ...string) {
	for range 5000 {
		left := slices.ContainsFunc(w.unsaid, func(p *post) bool {
			return slices.Contains(listeners, p.address) && !slices.Contains(w.waiting, p)
		})
		if !left {
			return
		}
		w.exchange()
		for _, a := range listeners {
			for len(w.inbox[a]) > 0 {
				w.listen(a)
			}
		}
		w.advance(50 * time.Millisecond)
	}
	w.fail("%d messages are not settled: %s", len(w.unsaid), w.describe())
}

// judge sees that nothing was lost, doubled, or reordered. The listener has taken
// only what came after what it had, so that what was reordered is lost.
func (w *world) judge() {
	for n := 1; n <= w.number; n++ {
		if code, ok := w.code[n]; !ok || code == 0 && !w.dealt[n] {
			w.fail("%d is lost", n)
		}
	}
	if w.restarts == 0 && w.twice > 0 {
		w.fail("%d came twice without a restart", w.twice)
	}
}

func (w *world) describe() string {
	s := fmt.Sprintf("sender base %d sent %d windows %+v question %+v peer %+v\n", w.sender.base(), w.sender.sent, w.sender.windows, w.sender.question, w.sender.peer)
	for pos := w.sender.kept.kept.next(0); pos >= 0; pos = w.sender.kept.kept.next(pos + 1) {
		m := w.sender.kept.slots[pos].item
		s += fmt.Sprintf("  %d %v size %d tries %d on %v missing %t due %t later %t\n", m.sequence, m.account.address, m.size, m.tries, m.underWay(),
			w.sender.missing(pos), w.sender.kept.marks[due+m.kind].has(pos), w.sender.kept.marks[later].has(pos))
	}
	if r := w.receiver; r != nil {
		s += fmt.Sprintf("receiver base %d expected %d ahead %v backlog %d say %+v\n", r.base, r.expected, r.ahead.stretches, r.backlog, r.say)
	}
	return s
}

func (w *world) checkSender() {
	s := w.sender
	bytes, used := 0, [kinds]int{}
	accounts := map[string]int{}
	for pos := s.kept.kept.next(0); pos >= 0; pos = s.kept.kept.next(pos + 1) {
		m := s.kept.slots[pos].item
		if m.several != nil && m.size != m.several.Size(m.from, m.from+m.n) || m.sequence != s.kept.slots[pos].sequence {
			w.fail("%d at %d of %d has %d bytes", m.sequence, s.kept.slots[pos].sequence, m.n, m.size)
		}
		bytes += m.size
		accounts[m.account.address] += m.size
		if m.underWay() != 0 {
			used[m.kind] += m.size
		}
		states := 0
		for _, yes := range []bool{!s.missing(pos), m.underWay() != 0, s.kept.marks[due+m.kind].has(pos), s.kept.marks[later].has(pos)} {
			if yes {
				states++
			}
		}
		if states != 1 || s.kept.marks[also].has(pos) && m.underWay() == 0 {
			w.fail("%d is in %d states\n%s", m.sequence, states, w.describe())
		}
		if m.tries == 0 && (!s.kept.marks[due+m.kind].has(pos) || m.underWay() != 0) {
			w.fail("%d was not sent, and is not due", m.sequence)
		}
	}
	waiting := w.checkWaiting(accounts)
	bytes += waiting
	if bytes != s.bytes || used != [kinds]int{s.windows[short].used, s.windows[long].used} {
		w.fail("%d bytes and %v under way, and counted %d and %+v", bytes, used, s.bytes, s.windows)
	}
	if bytes > w.limits.Bytes && s.kept.kept.count+s.waiting > 1 {
		w.fail("%d bytes are kept", bytes)
	}
	for a, n := range accounts {
		if s.accounts[a] == nil || s.accounts[a].bytes != n {
			w.fail("%s has %d bytes, and counted %+v", a, n, s.accounts[a])
		}
	}
	if len(accounts) != len(s.accounts) {
		w.fail("accounts of %v, and there are %v", accounts, s.accounts)
	}
}

// checkWaiting counts what has not been sent.
func (w *world) checkWaiting(accounts map[string]int) (bytes int) {
	s, count := w.sender, 0
	for kind := range s.turns {
		for a := s.turns[kind].first; a != nil; a = a.after {
			if a.first == nil || a.first.kind != kind {
				w.fail("%s has a turn that is not its own", a.address)
			}
			for m := a.first; m != nil; m = m.behind {
				count++
				bytes += m.size
				accounts[a.address] += m.size
				if m.since < s.oldest {
					w.fail("something waits since %v, and counted since %v", m.since, s.oldest)
				}
			}
		}
	}
	if count != s.waiting {
		w.fail("%d messages wait, and counted %d", count, s.waiting)
	}
	return bytes
}

func (w *world) checkReceiver() {
	r := w.receiver
	ahead, backlog, end := 0, 0, r.expected
	for _, s := range r.ahead.stretches {
		if s.first <= end && end != 0 || s.last < s.first {
			w.fail("stretches %v with %d next", r.ahead.stretches, r.expected)
		}
		end = s.last + 1
		for e := s.head; e != nil; e = e.next {
			ahead += e.size
			if e.sequence < s.first || e.sequence > s.last || e.next != nil && e.next.sequence <= e.sequence || e.next == nil && e != s.tail {
				w.fail("%d in %v", e.sequence, s)
			}
		}
	}
	for pos := r.given.kept.next(0); pos >= 0; pos = r.given.kept.next(pos + 1) {
		backlog += r.given.slots[pos].item.size
	}
	if ahead != r.ahead.bytes || backlog != r.backlog {
		w.fail("%d ahead and %d in backlog, and counted %d and %d", ahead, backlog, r.ahead.bytes, r.backlog)
	}
	if ahead > w.limits.Ahead || len(r.ahead.stretches) > w.limits.Ranges {
		w.fail("%d bytes and %d stretches ahead", ahead, len(r.ahead.stretches))
	}
}
