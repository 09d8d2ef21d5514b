package baseline

import (
	"net"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/transport/v2"
	"github.com/pion/transport/v2/stdnet"
	"github.com/pion/webrtc/v3"
)

// Sizes of the tuned peer, in bytes.
const (
	// pionSocket is the size of the UDP buffers: with the usual 208 KiB a fast link
	// overflows them, and SCTP waits a second.
	pionSocket = 4 << 20
	// pionReceive is what SCTP keeps for a reader that is behind, and so what is under way.
	// It differs in speed from 1 MiB, the default, and from 8 MiB less than one run does
	// from the next. Of more, short messages overflow what pion has between its socket and
	// DTLS (1 MB, with the headers), and more of them are under way than SCTP tells apart:
	// it stands then for tens of seconds.
	pionReceive = 640 << 10
	// pionAhead is how much may be queued before the sender waits, and pionLow where it
	// goes on.
	pionAhead = 1 << 20
	pionLow   = 512 << 10
)

// tuned are the settings of pion that were found to be the fastest: large socket
// buffers, a detached channel, no checksum in SCTP below DTLS. Waits of the set-up are
// off, which changes nothing afterwards. The connection has a socket of its own (SetNet):
// with a UDP mux on one as large it sends a fifth to a half less. With one core for each
// process (GOMAXPROCS=1) it takes as much CPU, and sends a sixth less.
func tuned() (webrtc.SettingEngine, error) {
	var s webrtc.SettingEngine
	system, err := stdnet.NewNet()
	if err != nil {
		return s, err
	}
	s.SetNet(&largeSockets{system})
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetHostAcceptanceMinWait(0)
	s.SetPrflxAcceptanceMinWait(0)
	s.SetDTLSRetransmissionInterval(100 * time.Millisecond)
	s.SetDTLSInsecureSkipHelloVerify(true)
	s.DetachDataChannels()
	s.EnableSCTPZeroChecksum(true)
	s.SetSCTPMaxReceiveBufferSize(pionReceive)
	return s, nil
}

// largeSockets is the system's network, with large buffers.
type largeSockets struct{ *stdnet.Net }

// ListenUDP opens a socket.
func (l *largeSockets) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	socket, err := net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	_ = socket.SetReadBuffer(pionSocket) // the system may grant less, as for the other side
	_ = socket.SetWriteBuffer(pionSocket)
	return socket, nil
}
