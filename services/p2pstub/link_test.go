package p2pstub

import (
	"bytes"
	"fmt"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// link is the UDP between two runtimes: a socket that stands for each of them, at
// the address that the other one is told.
//
//	alice ◄──► [bob's] ── link ── [alice's] ◄──► bob
//
// It can be cut, and the address of either side can change.
type link struct {
	a, b *runtime
	cut  atomic.Bool

	mu   sync.Mutex
	ends map[*runtime]*net.UDPConn // that stand for a runtime
	over sync.WaitGroup
}

// linked gives two runtimes whose data channels go over a link.
func linked(t *testing.T, limits Limits, configure func(*Config)) (a, b *runtime, l *link) {
	t.Helper()
	w := newWorld()
	w.configure = configure
	l = &link{ends: map[*runtime]*net.UDPConn{}}
	w.meddle = func(m *pb.Message) bool {
		m.Body = l.rewrite(m.Body)
		return false
	}
	a, b = w.join(t, alice, limits), w.join(t, bob, limits)
	for _, r := range []*runtime{a, b} {
		<-r.stub.ready
	}
	l.mu.Lock()
	l.a, l.b = a, b
	l.mu.Unlock()
	l.move(t, a)
	l.move(t, b)
	t.Cleanup(func() {
		l.mu.Lock()
		for _, c := range l.ends {
			_ = c.Close()
		}
		l.mu.Unlock()
		l.over.Wait()
	})
	return a, b, l
}

// rewrite puts the link's addresses in the place of the runtimes' own.
func (l *link) rewrite(body []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r, c := range l.ends {
		own := regexp.MustCompile(fmt.Sprintf(`127\.0\.0\.\d+ %d `, r.stub.engine.Port()))
		body = own.ReplaceAll(body, fmt.Appendf(nil, "127.0.0.1 %d ", portOf(c)))
	}
	return bytes.Clone(body)
}

func portOf(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port } // it is one

// move gives a runtime another address: what is sent to the old one is lost.
func (l *link) move(t *testing.T, r *runtime) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.ends[r]; old != nil {
		_ = old.Close()
	}
	l.ends[r] = c
	l.over.Go(func() { l.pass(c, r) })
}

// pass hands on what is sent to a runtime, as from the address of the other one.
func (l *link) pass(c *net.UDPConn, to *runtime) {
	buf := make([]byte, 64<<10)
	dest := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: to.stub.engine.Port()}
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if l.cut.Load() {
			continue
		}
		l.mu.Lock()
		other := l.a
		if to == l.a {
			other = l.b
		}
		from := l.ends[other]
		l.mu.Unlock()
		if from != nil {
			_, _ = from.WriteToUDP(buf[:n], dest) // lost, as UDP may be
		}
	}
}
