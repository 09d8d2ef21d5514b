package p2pstub

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// pulse watches over an open data channel: it sends heartbeats, keeps the path's
// health, and sees when the connection is worn. Heartbeats travel over a data
// channel of their own, nine bytes each:
//
//	0       1               9
//	┌───────┬───────────────┐   kind 1: a heartbeat; kind 2: the answer to it
//	│ kind  │ number        │   number: of the heartbeat, big endian
//	└───────┴───────────────┘
//
// Three have to do with it, none of which waits for the bus or for data: its turns, one
// at a time, which alone touch the health; the reader of heartbeats, which answers each
// at once; and the reader of data, for which anything that comes is a sign of life. A
// turn has a goroutine only while it lasts: of thousands of connections most are idle.
type pulse struct {
	peer     *peer
	conn     *rtc.Peer
	answers  bool // the other side answers heartbeats
	began    time.Time
	onRest   func()                      // a rest begins
	timer    *time.Timer                 // of the next turn
	woken    atomic.Bool                 // something was signalled since the last turn began
	channel  atomic.Pointer[rtc.Channel] // for heartbeats, once it is open
	heardAt  atomic.Int64                // since began
	beatenAt atomic.Int64                // since began: the other side's last heartbeat
	usedAt   atomic.Int64                // since began: data went, either way
	uneasy   atomic.Bool                 // wake it as soon as something comes
	resting  atomic.Bool                 // wake it as soon as data goes
	heardAny atomic.Bool
	timed    atomic.Bool // a heartbeat of ours was answered

	turning sync.Mutex // held by a turn

	// Owned by the turns.
	over     bool
	health   health
	nextBeat time.Time
	due      time.Time // of the next turn, but for a signal
	left     int       // heartbeats left out since the last one
	worn     bool      // said so
	spent    bool      // let go

	mu       sync.Mutex
	lost     string // ICE's reason, not yet taken
	hurried  time.Time
	number   uint64
	sent     [sentBeats]time.Time // by number
	smoothed time.Duration
	told     time.Duration // of what is published
	toldAt   time.Time
}

// Kinds of heartbeat packets.
const (
	beatKind   = 1
	answerKind = 2
	beatSize   = 9
	// largestBeat is read of a packet, so that a longer one is told from a heartbeat.
	largestBeat = 64
)

const (
	// sentBeats is how many heartbeats may be under way and still tell the time
	// that they took: more than a path that is used may be quiet.
	sentBeats = 16
	// beatBuffer is how many bytes may wait in the heartbeat channel: beyond it the
	// path is clogged, and more of them would only say so later.
	beatBuffer = 4 << 10
	// hurry is for how long a change of addresses makes a doubt enough.
	hurry = 10 * time.Second
)

func newPulse(p *peer, answers bool, onRest func()) *pulse {
	now := time.Now()
	u := &pulse{
		peer: p, conn: p.rtc, answers: answers, onRest: onRest, began: now, nextBeat: now, due: now,
		health: health{beat: p.stub.limits.Heartbeat, quiet: p.stub.limits.Quiet},
	}
	u.timer = time.AfterFunc(math.MaxInt64, u.turn)
	return u
}

// heard notes a sign of life.
func (u *pulse) heard() { u.heardThen(int64(time.Since(u.began))) }

// heardData notes that data has come.
func (u *pulse) heardData() {
	now := int64(time.Since(u.began))
	u.heardThen(now)
	u.usedThen(now)
}

func (u *pulse) heardThen(now int64) {
	u.heardAt.Store(now)
	if u.uneasy.Load() {
		u.signal()
	}
	if !u.heardAny.Load() {
		u.heardAny.Store(true)
	}
}

// lastHeard is when something came last. In a rest what ICE hears is as good.
func (u *pulse) lastHeard() time.Time {
	heard := u.at(&u.heardAt)
	if u.resting.Load() {
		if checked := u.conn.Checked(); checked.After(heard) {
			return checked
		}
	}
	return heard
}

func (u *pulse) at(of *atomic.Int64) time.Time { return u.began.Add(time.Duration(of.Load())) }

// signal has a turn come at once. The first one begins the pulse.
func (u *pulse) signal() {
	if u.woken.CompareAndSwap(false, true) { // else one waits: for a turn that is under way
		u.timer.Reset(0)
	}
}

// stop ends it, once a turn that is under way is over.
func (u *pulse) stop() {
	u.turning.Lock()
	defer u.turning.Unlock()
	u.over = true
	u.timer.Stop()
}

// lose takes the news that ICE has lost the path.
func (u *pulse) lose(reason string) {
	u.mu.Lock()
	u.lost = reason
	u.mu.Unlock()
	u.signal()
}

// moved takes the news that this machine's addresses have changed.
func (u *pulse) moved() {
	u.mu.Lock()
	u.hurried = time.Now()
	u.mu.Unlock()
	u.used()
	u.signal()
}

// turn looks at what has come, sends what is due, and says when the next one comes.
func (u *pulse) turn() {
	u.turning.Lock()
	defer u.turning.Unlock()
	if u.over {
		return
	}
	u.woken.Store(false)
	now := time.Now()
	if now.Sub(u.due) >= u.peer.stub.limits.Heartbeat {
		u.health = u.health.late(now, u.lastHeard())
	}
	u.rest(now)
	if !now.Before(u.nextBeat) {
		u.beatOrNot(now)
		u.wear(now)
	}
	next := u.nextBeat
	if u.answers {
		u.look(now)
		if at := u.health.next(now, u.lastHeard()); !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	u.due = u.together(next)
	u.timer.Reset(max(time.Until(u.due), 0))
	if u.woken.Load() { // the signal's own Reset may have come before that one
		u.timer.Reset(0)
	}
}

// look tells the machine and the watchers what has become of the path.
func (u *pulse) look(now time.Time) {
	u.mu.Lock()
	lost, hurried := u.lost, now.Sub(u.hurried) < hurry
	u.lost = ""
	u.mu.Unlock()
	var stepped bool
	var reason string
	before := u.health.state
	if lost != "" {
		if u.health, stepped, reason = u.health.lose(now, lost); stepped {
			u.tell(before, reason)
		}
	}
	for {
		// What comes from here on wakes it again.
		u.uneasy.Store(u.health.state != fine)
		before = u.health.state
		if u.health, stepped, reason = u.health.look(now, u.lastHeard(), hurried); !stepped {
			return
		}
		u.tell(before, reason)
	}
}

func (u *pulse) tell(before condition, reason string) {
	p := u.peer
	p.log.Debug("health of the path", "before", before.String(), "state", u.health.state.String(), "reason", reason)
	switch u.health.state {
	case doubt:
		p.stub.metrics.doubts.Inc()
		p.stub.change(p, func() { p.info.Doubt = p.live() })
	case down:
		p.tell(event{kind: pathDown, reason: reason})
	case answering:
		p.tell(event{kind: pathAnswers})
	case fine:
		if before == doubt {
			p.stub.change(p, func() { p.info.Doubt = false })
			return
		}
		p.tell(event{kind: pathUp})
	}
}

// wear sees whether the connection should be replaced. One that has sent too many
// records all the same is let go, as is at once that with a peer which knows nothing
// of replacements: it connects anew.
func (u *pulse) wear(now time.Time) {
	p, l, records := u.peer, u.peer.stub.limits, u.conn.Records()
	most := l.LastRecord
	if !u.answers {
		most = l.Records
	}
	switch {
	case u.spent:
	case records >= most:
		u.spent = true
		p.log.Info("P2P connection has sent as many DTLS records as one may", "records", records)
		p.tell(event{kind: closed, reason: "worn: it has sent as many DTLS records as one may"})
	case u.worn || !u.answers:
	case records >= l.Records || now.Sub(u.began) >= l.Age:
		u.worn = true
		p.log.Info("P2P connection is worn", "records", records, "age_seconds", now.Sub(u.began).Round(time.Second).Seconds())
		p.stub.change(p, func() { p.info.Worn = true })
	}
}
