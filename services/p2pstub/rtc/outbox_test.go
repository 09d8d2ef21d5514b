package rtc

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
)

func socket(t *testing.T) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	s, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	addr, _ := s.LocalAddr().(*net.UDPAddr)
	return s, addr.AddrPort()
}

// numberedDatagram has a number, and bytes that follow from it.
func numberedDatagram(number, size int) []byte {
	b := bytes.Repeat([]byte{byte(number)}, size)
	binary.BigEndian.PutUint32(b, uint32(number)) // a small number
	return b
}

// What an outbox is given comes out as it went in, and in order, whether the system cuts
// and joins datagrams or not.
func TestDatagramsComeAsTheyWereSent(t *testing.T) {
	for name, cuts := range map[string]bool{"cut": true, "one by one": false} {
		t.Run(name, func(t *testing.T) {
			from, _ := socket(t)
			to, addr := socket(t)
			o := newOutbox(from)
			o.cuts = o.cuts && cuts
			over := make(chan struct{})
			go func() {
				defer close(over)
				o.run()
			}()
			in := newInbox(to)
			if !cuts {
				in = &inbox{socket: to, buf: make([]byte, maxDatagram)}
			}
			sizes := []int{1200, 1200, 1200, 300, 1200, 40, 40, 41, 1300, 8}
			const number = 500
			var by sender
			next := 0
			for sent := 0; next < number; {
				for range 25 { // fewer than a small receive buffer holds
					if _, err := o.send(numberedDatagram(sent, sizes[sent%len(sizes)]), addr, &by); err != nil {
						t.Fatal(err)
					}
					sent++
				}
				for next < sent {
					if _, err := in.read(); err != nil {
						t.Fatal(err)
					}
					for _, got := range in.datagrams {
						if want := numberedDatagram(next, sizes[next%len(sizes)]); !bytes.Equal(got, want) {
							t.Fatalf("datagram %d: %d bytes, not %d", next, len(got), len(want))
						}
						next++
					}
				}
			}
			o.close()
			<-over
			if o.keep([]byte("late"), addr, &by, true) {
				t.Error("a closed outbox keeps what nobody sends")
			}
		})
	}
}

// A burst has datagrams of one length, of which the last may be shorter, to one address.
func TestWhatABurstTakes(t *testing.T) {
	here, there := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	b := &burst{to: here, size: 100}
	b.add(make([]byte, 100))
	for _, c := range []struct {
		size int
		to   netip.AddrPort
		want bool
	}{{100, here, true}, {100, there, false}, {101, here, false}, {1, here, true}} {
		if got := b.takes(make([]byte, c.size), c.to); got != c.want {
			t.Errorf("%d bytes to %v: %v", c.size, c.to, got)
		}
	}
	b.add(make([]byte, 99))
	if b.takes(make([]byte, 99), here) {
		t.Error("more behind a shorter one")
	}
	full := &burst{to: here, size: 10_000}
	for full.takes(make([]byte, 10_000), here) {
		full.add(make([]byte, 10_000))
	}
	many := &burst{to: here, size: 1}
	for many.takes([]byte{0}, here) {
		many.add([]byte{0})
	}
	if len(full.data) > burstSize || full.count < 5 || many.count != burstCount {
		t.Errorf("%d bytes, %d datagrams", len(full.data), many.count)
	}
}

// Datagrams that follow each other slowly do not wait.
func TestALoneDatagramLeavesAtOnce(t *testing.T) {
	from, _ := socket(t)
	to, addr := socket(t)
	o := newOutbox(from) // nobody runs it
	var one sender
	one.last.Store(-int64(time.Hour))
	if _, err := o.send([]byte("one"), addr, &one); err != nil {
		t.Fatal(err)
	}
	in := newInbox(to)
	if _, err := in.read(); err != nil || len(in.datagrams) != 1 || string(in.datagrams[0]) != "one" {
		t.Errorf("%q, %v", in.datagrams, err)
	}
}

// What waits of one connection holds up no other: neither a datagram that is alone, nor those
// of a connection that has several.
func TestConnectionsDoNotWaitForEachOther(t *testing.T) {
	from, _ := socket(t)
	to, addr := socket(t)
	o := newOutbox(from) // nobody runs it
	o.cuts = true
	busy, calm := &sender{}, &sender{}
	for range 2 {
		if !o.keep([]byte("busy"), addr, busy, true) {
			t.Fatal("it leaves at once")
		}
	}
	if !o.keep([]byte("behind"), addr, busy, false) {
		t.Error("a datagram overtakes those before it")
	}
	calm.last.Store(-int64(time.Hour))
	if _, err := o.send([]byte("calm"), addr, calm); err != nil {
		t.Fatal(err)
	}
	in := newInbox(to)
	if _, err := in.read(); err != nil || len(in.datagrams) != 1 || string(in.datagrams[0]) != "calm" {
		t.Errorf("%q, %v", in.datagrams, err)
	}
	// Datagrams of two connections in turn are a burst of each, and leave in one round but
	// for the last, which may grow.
	other := &sender{}
	for range 5 {
		o.keep([]byte("next"), addr, calm, true)
		o.keep([]byte("other"), addr, other, true)
	}
	if len(o.waiting) != 4 { // of busy two, as a longer one begins another burst
		t.Errorf("%d bursts wait", len(o.waiting))
	}
	if o.take(); len(o.taken) != 3 || len(o.waiting) != 1 || other.grows == nil || calm.grows != nil {
		t.Errorf("%d are taken, %d wait", len(o.taken), len(o.waiting))
	}
	if o.await(); calm.kept != 0 || other.kept != 1 || busy.kept != 0 {
		t.Errorf("%d, %d and %d are kept", calm.kept, other.kept, busy.kept)
	}
	if o.take(); len(o.taken) != 1 || len(o.waiting) != 0 {
		t.Errorf("then %d are taken, %d wait", len(o.taken), len(o.waiting))
	}
}
