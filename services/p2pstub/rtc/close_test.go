package rtc

import (
	"encoding/binary"
	"net"
	"testing"
	"time"
)

// silentTURN is a TURN server that answers nothing before it is let to.
type silentTURN struct {
	socket *net.UDPConn
	from   net.Addr
	asked  []byte // the request, once it has come
}

func newSilentTURN(t *testing.T) *silentTURN {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return &silentTURN{socket: socket}
}

// await waits for a request of an allocation (RFC 8656, section 18.1).
func (s *silentTURN) await(t *testing.T) {
	t.Helper()
	const allocate = 0x0003
	_ = s.socket.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 1500)
	for {
		n, from, err := s.socket.ReadFrom(buf)
		if err != nil {
			t.Fatalf("no request to the TURN server: %v", err)
		}
		if isSTUN(buf[:n]) && binary.BigEndian.Uint16(buf) == allocate {
			s.asked, s.from = buf[:n], from
			return
		}
	}
}

// refuse answers it with an error (RFC 8489, section 5).
func (s *silentTURN) refuse(t *testing.T) {
	t.Helper()
	answer := append([]byte{s.asked[0] | 1, s.asked[1] | 0x10, 0, 0}, s.asked[4:stunHeader]...)
	if _, err := s.socket.WriteTo(answer, s.from); err != nil {
		t.Fatal(err)
	}
}

// A TURN server that does not answer holds up no stop: Close says that it has not seen
// the end, and the peer ends when pion has given up.
func TestCloseWhileATURNServerIsSilent(t *testing.T) {
	server := newSilentTURN(t)
	e := engine(t)
	e.config.ICEServers = iceServers([]ICEServer{{URL: "turn:" + server.socket.LocalAddr().String(), User: "alice", Secret: "secret"}})
	p := newEnd(t, e, true)
	if _, err := p.Offer(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.await(t)
	p.closing = time.Millisecond
	if p.Close() {
		t.Error("it has ended while the server was asked")
	}
	server.refuse(t)
	p.closing = 20 * time.Second
	if !p.Close() {
		t.Error("it does not end")
	}
}
