package rtc

import (
	"net"
	"testing"
)

func TestTraffic(t *testing.T) {
	ea, eb := engine(t), engine(t)
	a, b := newEnd(t, ea, true), newEnd(t, eb, false)
	ca, cb := connect(t, a, b)
	before := ea.Traffic()
	exchange(t, ca, cb, string(make([]byte, 10_000)))
	after := ea.Traffic()
	if n := after.Sent.DTLS.Bytes - before.Sent.DTLS.Bytes; n < 10_000 || n > 100_000 {
		t.Errorf("%d bytes for 10000", n)
	}
	if after.Sent.DTLS.Number <= before.Sent.DTLS.Number || after.Sent.STUN.Number == 0 || after.Received.STUN.Bytes < stunHeader {
		t.Errorf("%+v", after)
	}
	if got := eb.Traffic().Received.DTLS.Bytes; got < 10_000 {
		t.Errorf("%d bytes came", got)
	}
	a.Close()
	b.Close()
}

func TestDroppedDatagramsAreCounted(t *testing.T) {
	e := engine(t)
	if _, err := e.mux.GetConn("ours", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	defer e.mux.RemoveConnByUfrag("ours")
	c := e.mux.byUfrag["ours"].conns[0]
	for range maxQueued + 3 {
		c.push([][]byte{[]byte{22}}, nil)
	}
	if n := e.Traffic().Dropped; n != 3 {
		t.Errorf("%d dropped", n)
	}
}
