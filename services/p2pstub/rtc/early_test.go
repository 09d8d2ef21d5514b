package rtc

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/stun"
)

// A connection whose path is in use before it is nominated, and what becomes of it when
// ICE is restarted, which is early likewise.
func TestEarlyPath(t *testing.T) {
	a, b := newEnd(t, engine(t), true), newEnd(t, engine(t), false)
	closeAtEnd(t, a, b)
	a.UseEarly()
	b.UseEarly()
	ca, cb := connect(t, a, b)
	exchange(t, ca, cb, "there")
	restart(t, a, b)
	exchange(t, cb, ca, "and back")
	if b.tap.early.pair == nil {
		t.Error("it has waited for the nomination")
	}
}

// checking is a check of the controlling side, which nominates with ice.UseCandidate.
func checking(t *testing.T, name string, attributes ...stun.Setter) *stun.Message {
	t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.BindingRequest, stun.TransactionID, stun.NewUsername(name)}, attributes...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The controlled side uses the first path that it hears of, then the one that is
// nominated, and meanwhile one that has answered in place of one that has not.
func TestFirstPathOfTheControlled(t *testing.T) {
	first, other, third := &ice.CandidatePair{}, &ice.CandidatePair{}, &ice.CandidatePair{}
	var e early
	for i, one := range []struct {
		m    *stun.Message
		pair *ice.CandidatePair
		uses bool
	}{
		{checking(t, "us:1"), first, true},
		{checking(t, "us:1"), first, false},
		{checking(t, "us:1"), other, false},
		{checking(t, "us:1", ice.UseCandidate()), other, true},
		{checking(t, "us:1", ice.UseCandidate()), other, false},
		{checking(t, "us:2"), first, true}, // another generation
	} {
		if e.controlled(one.m, one.pair) != one.uses {
			t.Errorf("check %d: %v", i, !one.uses)
		}
	}
	third.UpdateRoundTripTime(time.Millisecond)
	other.UpdateRoundTripTime(time.Millisecond)
	if !e.controlled(checking(t, "us:2"), third) || e.controlled(checking(t, "us:2"), other) {
		t.Error("a path that answers takes the place of one that does not, and only of that")
	}
}

// The controlling side uses the path that it has nominated once the other side is heard
// from there.
func TestNominatedPathOfTheControlling(t *testing.T) {
	e := engine(t)
	peer := &tap{mux: e.mux}
	conn, err := peer.GetConn("ours", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.mux.RemoveConnByUfrag("ours")
	far := netip.MustParseAddrPort("127.0.0.1:9")
	heard, sent := checking(t, "ours:theirs"), checking(t, "theirs:ours")
	candidate, err := ice.NewCandidateHost(&ice.CandidateHostConfig{Network: "udp", Address: "127.0.0.1", Port: 9, Component: 1})
	if err != nil {
		t.Fatal(err)
	}
	peer.early.on.Store(true)
	uses := func() bool { return peer.heard(heard, nil, candidate, &ice.CandidatePair{}) }
	send := func(m *stun.Message) {
		if _, err := conn.WriteTo(m.Raw, net.UDPAddrFromAddrPort(far)); err != nil {
			t.Fatal(err)
		}
	}
	if send(sent); uses() {
		t.Error("nothing was nominated")
	}
	send(checking(t, "theirs:ours", ice.UseCandidate()))
	if peer.early.on.Store(false); uses() {
		t.Error("the other side does not do so")
	}
	if peer.early.on.Store(true); !uses() || uses() {
		t.Error("it is taken once")
	}
}
