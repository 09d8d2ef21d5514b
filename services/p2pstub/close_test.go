package p2pstub

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"
)

// silentTURN is a TURN server that answers nothing before refuse is called, and
// refuses each request from then on.
type silentTURN struct {
	socket *net.UDPConn
	asked  chan struct{} // has room for one

	mu      sync.Mutex
	refuses bool
	waiting []func()
}

func newSilentTURN(t *testing.T) *silentTURN {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &silentTURN{socket: socket, asked: make(chan struct{}, 1)}
	var reading sync.WaitGroup
	reading.Go(s.read)
	t.Cleanup(func() {
		_ = socket.Close()
		reading.Wait()
	})
	return s
}

// read takes the requests for an allocation (RFC 8656, section 18.1).
func (s *silentTURN) read() {
	const allocate = 0x0003
	buf := make([]byte, 1500)
	for {
		n, from, err := s.socket.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < 20 || binary.BigEndian.Uint16(buf) != allocate {
			continue
		}
		answer := append([]byte{0x01, 0x13, 0, 0}, buf[4:20]...) // an error, with nothing else in it
		s.take(func() { _, _ = s.socket.WriteTo(answer, from) })
		select {
		case s.asked <- struct{}{}:
		default:
		}
	}
}

func (s *silentTURN) take(answer func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuses {
		answer()
		return
	}
	s.waiting = append(s.waiting, answer)
}

func (s *silentTURN) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = true
	for _, answer := range s.waiting {
		answer()
	}
}

// A stub stops while pion still asks a TURN server that does not answer, and counts
// that it has not waited.
func TestStopWhileATURNServerIsSilent(t *testing.T) {
	server := newSilentTURN(t)
	w := newWorld()
	b := w.join(t, bob, testLimits())
	w.configure = func(c *Config) {
		c.ICEServers = []ICEServer{{URL: "turn:" + server.socket.LocalAddr().String(), User: "alice", Secret: "secret"}}
	}
	limits := testLimits()
	limits.Close = time.Millisecond
	a := w.join(t, alice, limits)
	setUp(t, a, b)
	<-server.asked
	a.halt()
	if n := a.counted(t, "overdue_closes_total"); n != 1 {
		t.Errorf("%v connections were not waited for", n)
	}
	server.refuse() // what is left ends
}
