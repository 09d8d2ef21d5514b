package rtc

import (
	"bytes"
	"net"
	"testing"
)

// DTLS records wait until there is who reads them, all else does not, and no more wait
// than may.
func TestGate(t *testing.T) {
	e := engine(t)
	peer := &tap{mux: e.mux}
	if _, err := peer.GetConn("ours", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	defer e.mux.RemoveConnByUfrag("ours")
	c := e.mux.byUfrag["ours"].conns[0]
	check := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	for i := range maxHeld + 2 {
		c.push([][]byte{{22, byte(i)}}, nil)
	}
	c.push([][]byte{check}, nil)
	reads := func(want []byte) {
		t.Helper()
		buf := make([]byte, maxDatagram)
		n, _, err := c.ReadFrom(buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Fatalf("% x, %v, want % x", buf[:n], err, want)
		}
	}
	reads(check)
	if n := len(c.queue) - c.head; n != 0 {
		t.Errorf("%d records are not held", n)
	}
	peer.gate.lift()
	for i := range maxHeld {
		reads([]byte{22, byte(i)})
	}
	if n := e.Traffic().Dropped; n != 2 {
		t.Errorf("%d dropped", n)
	}
	c.push([][]byte{{22, 99}}, nil)
	reads([]byte{22, 99})
}
