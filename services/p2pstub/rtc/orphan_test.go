package rtc

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/pion/webrtc/v3"
)

// orphan is an open channel that nothing of p ends by itself, as one is that pion opens
// while the association ends: here it is of another connection.
func orphan(t *testing.T, p *end) *Channel {
	t.Helper()
	x, y := newEnd(t, engine(t), true), newEnd(t, engine(t), false)
	closeAtEnd(t, x, y)
	connect(t, x, y)
	dc, err := x.pc.CreateDataChannel(HeartbeatLabel, &webrtc.DataChannelInit{})
	if err != nil {
		t.Fatal(err)
	}
	reported := make(chan *Channel, 1)
	p.events.Heartbeat = func(c *Channel) { reported <- c }
	p.openHeartbeat(dc)
	return <-reported
}

func closeAtEnd(t *testing.T, ends ...*end) {
	t.Helper()
	t.Cleanup(func() {
		for _, x := range ends {
			if !x.Close() {
				t.Error("a peer does not end")
			}
		}
	})
}

// ends fails the test unless who reads c has its end.
func ends(t *testing.T, c *Channel) {
	t.Helper()
	read := make(chan error, 1)
	go func() {
		_, err := c.NewReader(16).Read()
		read <- err
	}()
	select {
	case err := <-read:
		if !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("its reader waits for ever")
	}
}

// A channel that pion forgets holds up nobody: it ends with the peer, when the other
// side closes, and at once where it opens after that.
func TestForgottenChannelEnds(t *testing.T) {
	for _, tc := range []struct {
		name  string
		close func(a, b *end, ca *Channel)
		late  bool
	}{
		{"with its peer", func(a, _ *end, _ *Channel) { a.Close() }, false},
		{"with the other side", func(_, b *end, _ *Channel) { b.Close() }, false},
		{"after its peer", func(a, _ *end, _ *Channel) { a.Close() }, true},
		{"after the other side", func(_, b *end, ca *Channel) {
			b.Close()
			_, _ = ca.NewReader(16).Read() // until its end
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := newEnd(t, engine(t), true), newEnd(t, engine(t), false)
			closeAtEnd(t, a, b)
			ca, _ := connect(t, a, b)
			if tc.late {
				tc.close(a, b, ca)
				ends(t, orphan(t, a))
				return
			}
			c := orphan(t, a)
			tc.close(a, b, ca)
			ends(t, c)
		})
	}
}
