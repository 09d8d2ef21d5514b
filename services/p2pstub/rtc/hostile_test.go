package rtc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v3"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
)

// A peer that names another's address as its own candidate takes no packets away
// from that one.
func TestAddressOfAnotherAsCandidate(t *testing.T) {
	ea, eb, em := engine(t), engine(t), engine(t)
	a, b := newEnd(t, ea, true), newEnd(t, eb, false)
	ca, cb := connect(t, a, b)

	victim, mallory := newEnd(t, ea, true), newEnd(t, em, false)
	offer, err := victim.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	offer.SDP, _ = firstCandidates(offer.SDP, 0) // Mallory is silent
	answer, err := mallory.Answer(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	answer.SDP = strings.ReplaceAll(answer.SDP, fmt.Sprintf(" %d typ host", em.Port()), fmt.Sprintf(" %d typ host", eb.Port()))
	if err := victim.SetAnswer(answer); err != nil {
		t.Fatal(err)
	}
	bob := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(eb.Port())) // a port
	awaitTrue(t, "the address is not tried", func() bool {
		ea.mux.mu.RLock()
		defer ea.mux.mu.RUnlock()
		return len(ea.mux.byRemote[bob]) == 2
	})

	if err := cb.Write(framing.Packet{Data: []byte("still there")}); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		p, _ := ca.NewReader(100).Read()
		got <- string(p.Data)
	}()
	select {
	case text := <-got:
		if text != "still there" {
			t.Errorf("%q", text)
		}
	case <-time.After(10 * time.Second):
		t.Error("the packets of the other connection are gone")
	}
	for _, x := range []*end{a, b, victim, mallory} {
		x.Close()
	}
}

// An ICE-lite agent is checked and does not check. ICE would take a path to one that has not
// got our answer, and DTLS would then take the certificate that the offer names.
func TestNoPathWithoutTheAnswer(t *testing.T) {
	var s webrtc.SettingEngine
	s.SetLite(true)
	s.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.CreateDataChannel(Label, nil); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	b := newEnd(t, engine(t), false)
	answer, err := b.Answer(t.Context(), datasync.Description{Type: "offer", SDP: pc.LocalDescription().SDP})
	if fault.CodeOf(err) != fault.BadRequest {
		t.Errorf("the offer: %v", err)
	}
	if err == nil { // of the answer only what its checks say is known, and that needs no password
		forged := regexp.MustCompile(`(?m)^a=ice-pwd:\S+`).ReplaceAllString(answer.SDP, "a=ice-pwd:"+strings.Repeat("0", 32))
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: forged}); err != nil {
			t.Fatal(err)
		}
		awaitTrue(t, "ICE takes no path", func() bool { return b.pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected })
		t.Error("ICE has taken a path to who does not have the answer")
	}
	b.Close()
	if err := pc.Close(); err != nil {
		t.Error(err)
	}
}

func awaitTrue(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late, look := time.After(10*time.Second), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-late:
			t.Fatal(what)
		}
	}
}

// Someone who sends from ever new addresses fills no table.
func TestRemotesOfAConnectionAreBounded(t *testing.T) {
	e := engine(t)
	conn, err := e.mux.GetConn("ours", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.mux.RemoveConnByUfrag("ours")
	request := append([]byte{0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	request = append(request, "\x00\x06\x00\x08ours:xyz"...)
	taken := 0
	for port := range 2 * maxRemotes {
		from := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port+1)) // a port
		if s, addr := e.mux.receiver(request, from); s != nil {
			taken++
			if _, err := conn.WriteTo([]byte("answer"), addr.addr); err != nil && port > 1023 {
				t.Fatal(err)
			}
		}
	}
	if taken != maxRemotes || len(e.mux.byRemote) != maxRemotes {
		t.Errorf("%d taken, %d known", taken, len(e.mux.byRemote))
	}
}

// A description has no more candidates tried than there may be, nor do later ones.
func TestCandidatesAreBounded(t *testing.T) {
	a, b := newEnd(t, engine(t), true), newEnd(t, engine(t), false)
	defer a.Close()
	defer b.Close()
	offer, err := a.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line := "a=candidate:1 1 udp 1 192.0.2.%d 9 typ host\r\na=candidate:1 2 udp 1 192.0.2.%d 9 typ host\r\n"
	for i := range 100 {
		offer.SDP += fmt.Sprintf(line, i, i)
	}
	if _, err := b.Answer(t.Context(), offer); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.pc.RemoteDescription().SDP, "a=candidate:"); n != DefaultCandidates {
		t.Errorf("%d candidates", n)
	}
	index := uint16(0)
	if err := b.AddCandidate(datasync.Candidate{Candidate: "candidate:1 1 udp 1 192.0.2.200 9 typ host", SDPMLineIndex: &index}); err == nil {
		t.Error("one more is taken")
	}
}

// What pion warns of is in the log under a key of its own; the rest is not.
func TestLogOfPion(t *testing.T) {
	var out bytes.Buffer
	l := loggers{slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}.NewLogger("ice")
	l.Tracef("t %d", 1)
	l.Debug("d")
	l.Infof("i %d", 1)
	l.Warnf("w %d", 1)
	l.Error("e")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%s", out.String())
	}
	for _, line := range lines {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil || strings.Count(line, `"level"`) != 1 || m["scope"] != "ice" {
			t.Errorf("%s", line)
		}
	}
}

// A peer that opens data channel after data channel is let go.
func TestDataChannelsAreBounded(t *testing.T) {
	a, b := newEnd(t, engine(t), true), newEnd(t, engine(t), false)
	defer a.Close()
	defer b.Close()
	connect(t, a, b)
	for i := range maxChannels {
		if _, err := a.pc.CreateDataChannel(fmt.Sprintf("%s%d", Label, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	late := time.After(20 * time.Second)
	for {
		select {
		case s := <-b.states:
			if s == Failed {
				return
			}
		case <-late:
			t.Fatal("all of them are taken")
		}
	}
}
