package rtc

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// aheadConn is a conn of a peer that has no description of the other side yet.
func aheadConn(t *testing.T) (*tap, *muxConn) {
	t.Helper()
	e := engine(t)
	peer := &tap{mux: e.mux}
	if _, err := peer.GetConn("ours", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.mux.RemoveConnByUfrag("ours") })
	return peer, e.mux.byUfrag["ours"].conns[0]
}

// came are the ports of those whose checks ICE may read by now.
func (c *muxConn) came() (ports []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.queue[c.head:] {
		ports = append(ports, d.from.Port)
	}
	return ports
}

// A check waits for the description; then for its candidate, when it is named there, and
// no longer when it is not.
func TestChecksWaitForTheirCandidate(t *testing.T) {
	peer, c := aheadConn(t)
	check := checking(t, "ours:theirs").Raw
	from := func(port int) netip.AddrPort {
		return netip.MustParseAddrPort(fmt.Sprint("127.0.0.1:", port))
	}
	is := func(when string, want ...int) {
		t.Helper()
		if got := c.came(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	peer.arrived([][]byte{check}, from(1))
	peer.arrived([][]byte{check}, from(2))
	is("before the description")
	peer.describe("v=0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 2 typ host\r\na=candidate:1 1 UDP 1 ::ffff:127.0.0.1 3 typ host\r\n")
	is("1 is not named", 1)
	peer.arrived([][]byte{check}, from(3))
	peer.arrived([][]byte{check}, from(4))
	is("3 is, 4 is not", 1, 4)
	if _, err := c.WriteTo(check, net.UDPAddrFromAddrPort(from(2))); err != nil {
		t.Fatal(err)
	}
	is("ICE has 2", 1, 4, 2)
	peer.arrived([][]byte{check}, from(2))
	is("another one of 2", 1, 4, 2, 2)
	peer.describe("") // a restart
	peer.arrived([][]byte{check}, from(5))
	peer.arrived([][]byte{check}, from(2))
	is("only 5 waits for the next description", 1, 4, 2, 2, 2)
}

// No more checks wait than may.
func TestWaitingChecksAreBounded(t *testing.T) {
	peer, c := aheadConn(t)
	check := checking(t, "ours:theirs").Raw
	for port := range maxAhead + 2 {
		peer.arrived([][]byte{check}, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port+1))) // a port
	}
	if n := peer.meter.dropped.Load(); n != 2 {
		t.Errorf("%d dropped", n)
	}
	peer.describe("v=0\r\n")
	if got := c.came(); len(got) != maxAhead {
		t.Errorf("%d came", len(got))
	}
}

// A check that comes before the answer makes no peer-reflexive candidate beside the one
// that the answer names: the nomination would wait for ICE's next look at all pairs.
func TestCheckBeforeTheAnswer(t *testing.T) {
	ea, eb := engine(t), engine(t)
	for range 20 {
		a, b := newEnd(t, ea, true), newEnd(t, eb, false)
		offer, err := a.Offer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := ea.Traffic().Received.STUN.Number
		answer, err := b.Answer(t.Context(), offer)
		if err != nil {
			t.Fatal(err)
		}
		awaitTrue(t, "no check", func() bool { return ea.Traffic().Received.STUN.Number > before })
		if err := a.SetAnswer(answer); err != nil {
			t.Fatal(err)
		}
		a.opened(t)
		b.opened(t)
		if pair := a.Pair(); !strings.Contains(pair, " - host ") {
			t.Fatalf("the path is %s", pair)
		}
		a.Close()
		b.Close()
	}
}

// What is no UDP address in a description is passed over.
func TestAddressesOfADescription(t *testing.T) {
	got := addressesIn(strings.Join([]string{
		"v=0", "a=candidate:1 1 udp 1 192.0.2.1 7 typ host", "a=candidate:1 1 tcp 1 192.0.2.2 9 typ host tcptype active",
		"a=candidate:1 1 udp 1 name.local 7 typ host", "a=candidate:1 1 udp 1 192.0.2.3 70000 typ host", "a=candidate:1 1 udp", "a=candidate:1 1 udp 1 2001:db8::1 8 typ host",
	}, "\r\n"))
	want := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7"), netip.MustParseAddrPort("[2001:db8::1]:8")}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// Checks of a generation of ICE that is over take no place of those of the next one.
func TestWaitingChecksGoWithTheirConnection(t *testing.T) {
	peer, _ := aheadConn(t)
	from := netip.MustParseAddrPort("127.0.0.1:1")
	for range maxAhead {
		peer.arrived([][]byte{checking(t, "ours:theirs").Raw}, from)
	}
	peer.mux.RemoveConnByUfrag("ours")
	if _, err := peer.GetConn("anew", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	defer peer.mux.RemoveConnByUfrag("anew")
	peer.arrived([][]byte{checking(t, "anew:theirs").Raw}, from)
	peer.describe("v=0\r\n")
	if got := peer.mux.byUfrag["anew"].conns[0].came(); len(got) != 1 {
		t.Errorf("%d checks have come", len(got))
	}
}
