package rtc

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/peerbus/peerbus/protocol/framing"
)

// A Reader has a large buffer only while packets come that need one.
func TestReaderRests(t *testing.T) {
	a, b := newEnd(t, engine(t), true), newEnd(t, engine(t), false)
	ca, cb := connect(t, a, b)
	r := cb.NewReader(2000)
	for _, size := range []int{1, smallPacket, 2000, 2001, 10, 100_000 % (64 << 10), smallPacket + 1, 2000} {
		data := bytes.Repeat([]byte{byte(size)}, size)
		if err := ca.Write(framing.Packet{Data: data}); err != nil {
			t.Fatal(err)
		}
		p, err := r.Read()
		if size > 2000 {
			if !errors.Is(err, ErrTooLong) {
				t.Errorf("%d bytes: %v", size, err)
			}
			continue
		}
		if err != nil || !bytes.Equal(p.Data, data) {
			t.Errorf("%d bytes: %d, %v", size, len(p.Data), err)
		}
	}
	if r.large == nil {
		t.Error("the large buffer is gone early")
	}
	r.Rest()
	if err := ca.Write(framing.Packet{Data: []byte("on")}); err != nil {
		t.Fatal(err)
	}
	if p, err := r.Read(); err != nil || string(p.Data) != "on" {
		t.Errorf("%v, %v", p, err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		if _, err := r.Read(); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
	}()
	r.Rest()
	a.Close()
	b.Close()
	<-over
	if r.large != nil {
		t.Error("the large buffer is kept")
	}
}
