package p2pstub

import (
	"encoding/binary"
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/peerbus/peerbus/protocol/framing"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// beat sends a heartbeat.
func (u *pulse) beat(now time.Time) {
	if !u.answers {
		return
	}
	u.mu.Lock()
	u.number++
	number := u.number
	u.sent[number%sentBeats] = now
	u.mu.Unlock()
	u.write(beatKind, number)
}

func (u *pulse) write(kind byte, number uint64) {
	c := u.channel.Load()
	if c == nil || c.Buffered() > beatBuffer {
		return
	}
	_ = c.Write(framing.Packet{Data: binary.BigEndian.AppendUint64([]byte{kind}, number)}) // closed: silence says so
}

// read takes what comes over the heartbeat channel, until that is closed. The
// handler begins: what the requester sends at first could overtake the message that
// opens the channel, and pion would take no other channel after that.
func (u *pulse) read(c *rtc.Channel) {
	if u.peer.role == handler {
		u.channel.Store(c)
		u.beat(time.Now())
	}
	for reader := c.NewReader(largestBeat); ; {
		packet, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil || len(packet.Data) != beatSize {
			u.peer.stub.metrics.drop(dropInvalid)
			continue
		}
		u.channel.Store(c)
		number := binary.BigEndian.Uint64(packet.Data[1:])
		switch packet.Data[0] {
		case beatKind:
			u.beatenAt.Store(int64(time.Since(u.began)))
			u.write(answerKind, number)
		case answerKind:
			u.answered(number)
		}
		u.heard()
	}
}

// answered takes the time that a heartbeat has taken.
func (u *pulse) answered(number uint64) {
	now := time.Now()
	u.mu.Lock()
	at := u.sent[number%sentBeats]
	if number > u.number || u.number-number >= sentBeats || at.IsZero() {
		u.mu.Unlock()
		return // not ours, too old, or answered before
	}
	u.sent[number%sentBeats] = time.Time{}
	u.timed.Store(true)
	took := now.Sub(at)
	if u.smoothed == 0 {
		u.smoothed = took
	}
	u.smoothed += (took - u.smoothed) / 8 // as TCP does (RFC 6298)
	publish, smoothed := u.newsOf(now), u.smoothed
	u.mu.Unlock()
	p := u.peer
	p.stub.metrics.roundTrip.Observe(took.Seconds())
	if publish {
		p.stub.note(p, func() { p.info.RoundTrip = durationpb.New(smoothed) })
	}
}

// newsOf tells whether the round trip should be published: it has changed by half,
// and was not published within the last second. The mutex is held.
func (u *pulse) newsOf(now time.Time) bool {
	change := (u.smoothed - u.told).Abs()
	if u.told != 0 && (change < u.told/2 || now.Sub(u.toldAt) < time.Second) {
		return false
	}
	u.told, u.toldAt = u.smoothed, now
	return true
}
