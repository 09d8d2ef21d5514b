package rtc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/stun"
	"github.com/pion/transport/v2"
	"github.com/pion/transport/v2/stdnet"
	"github.com/pion/webrtc/v3"

	"github.com/peerbus/peerbus/internal/fault"
)

// ReceiveBuffer is what is asked of the system for the socket, in bytes: with
// the usual 208 KiB a fast link overflows it.
const ReceiveBuffer = 4 << 20

// sctpBuffer is how many bytes an association keeps for a reader that is behind:
// some times framing.Window, which our own peers keep to. An older peer that
// fills it is stopped until it tries again, as pion does not say that there is
// room.
const sctpBuffer = 2 << 20

// DefaultPatience is Config.Patience where that is zero: a path that is quiet for
// this long has most likely changed.
const DefaultPatience = 5 * time.Second

// DefaultSilence is Config.Silence where that is zero: as long as pion waits. A machine
// that has too much to do, or stands still for a moment, answers by then.
const DefaultSilence = 30 * time.Second

// DefaultCandidates is Config.Candidates where that is zero: several interfaces
// with several servers each.
const DefaultCandidates = 64

// DefaultClose is Config.Close where that is zero: an end takes milliseconds, and some
// seconds where a TURN server does not answer, or minutes where it is behind a firewall.
const DefaultClose = 3 * time.Second

// Times of pion.
const (
	keepAlive      = 2 * time.Second        // of a path over which nothing else goes
	retransmission = 100 * time.Millisecond // of a DTLS flight
)

// ICEServer is a STUN or TURN server.
type ICEServer struct {
	URL          string // `stun:host:port`, `turn:host:port`
	User, Secret string
}

// Usable tells whether WebRTC takes it; one that it does not take fails every set-up. A
// TURN server wants to know who comes.
func (s ICEServer) Usable() bool {
	uri, err := stun.ParseURI(s.URL)
	if err != nil {
		return false
	}
	turn := uri.Scheme == stun.SchemeTypeTURN || uri.Scheme == stun.SchemeTypeTURNS
	return !turn || s.User != "" && s.Secret != ""
}

// Config of an Engine.
type Config struct {
	ICEServers []ICEServer
	// UDPPort is the one port of all connections; 0 picks one.
	UDPPort int
	// AdvertiseIPs take the place of the machine's own addresses in what the
	// other side is told, for a machine behind a one-to-one NAT.
	AdvertiseIPs []netip.Addr
	// Interfaces gives the machine's own addresses; nil asks the system.
	Interfaces func() []netip.Addr
	// Patience is how long a path may be silent before it is Disconnected. A set-up, or a
	// restart of ICE, that finds no path in twice this is Lost.
	Patience time.Duration
	// Silence is how long a path may be silent before it is Lost; longer than Patience.
	Silence time.Duration
	// Candidates is how many of the other side's candidates are tried; the rest
	// is passed over. Each is an address that is sent to on the other side's word.
	Candidates int
	// Close is how long Peer.Close waits for the goroutines of pion.
	Close time.Duration
	// Log defaults to slog.Default().
	Log *slog.Logger
}

// Engine makes peers. Its methods may be called by several goroutines.
type Engine struct {
	given  Config
	system transport.Net // for pion, which would ask for all interfaces for each peer
	mux    *mux          // of the first socket
	config webrtc.Configuration

	mu     sync.Mutex
	beside *mux // of the second one; nil until it is needed
	closed bool

	looked atomic.Pointer[look]
}

// look is what the system has said of this machine's addresses.
type look struct {
	at  time.Time
	v6  bool
	ips []netip.Addr
}

// lookFor is how old that may be for a set-up. It takes the system as long to list them as
// some hops of a message, and a Stub looks once a second anyhow.
const lookFor = time.Second

// Socket is one of the two that an Engine may have. Between two sockets only one
// connection can be told apart, so a connection that is to live beside another
// with the same runtime takes the other socket at one of the two sides.
type Socket int

// Sockets of an Engine.
const (
	First  Socket = iota // at Config.UDPPort
	Second               // at a port that the system picks, opened when it is needed
)

// Other is the one that this is not.
func (s Socket) Other() Socket { return Second - s }

// Open takes the UDP port. Close gives it back.
func Open(c Config) (*Engine, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Patience <= 0 {
		c.Patience = DefaultPatience
	}
	if c.Silence <= 0 {
		c.Silence = DefaultSilence
	}
	if c.Candidates <= 0 {
		c.Candidates = DefaultCandidates
	}
	if c.Close <= 0 {
		c.Close = DefaultClose
	}
	certificate, err := newCertificate()
	if err != nil {
		return nil, err
	}
	system, err := stdnet.NewNet()
	if err != nil {
		return nil, fault.New(fault.Internal, "network interfaces: %w", err)
	}
	e := &Engine{given: c, system: system}
	if e.mux, err = e.listen(c.UDPPort); err != nil {
		return nil, err
	}
	e.config = webrtc.Configuration{Certificates: []webrtc.Certificate{*certificate}, ICEServers: iceServers(c.ICEServers)}
	return e, nil
}

// listen opens a socket.
func (e *Engine) listen(port int) (*mux, error) {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return nil, fault.New(fault.Unavailable, "UDP port for WebRTC: %w", err)
	}
	sizeBuffers(socket, e.given.Log)
	return newMux(socket, e.addresses, e.given.Log), nil
}

// on gives the mux of a socket.
func (e *Engine) on(s Socket) (*mux, error) {
	if s == First {
		return e.mux, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, fault.New(fault.Unavailable, "the UDP ports are closed")
	}
	var err error
	if e.beside == nil {
		e.beside, err = e.listen(0)
	}
	return e.beside, err
}

// addresses are those that the other side is told.
func (e *Engine) addresses(v6 bool) []netip.Addr {
	switch {
	case len(e.given.AdvertiseIPs) > 0:
		return e.given.AdvertiseIPs
	case e.given.Interfaces != nil:
		return e.given.Interfaces()
	}
	last := e.looked.Load()
	if last == nil || last.v6 != v6 {
		last = &look{}
	}
	if time.Since(last.at) < lookFor {
		return last.ips
	}
	ips, err := interfaceIPs(v6)
	if err != nil { // the system does not say, as when the process has run out of files
		ips = last.ips
	}
	e.looked.Store(&look{time.Now(), v6, ips})
	return ips
}

// lookAnew has the system asked for addresses the next time.
func (e *Engine) lookAnew() {
	if l := e.looked.Load(); l != nil {
		e.looked.Store(&look{v6: l.v6, ips: l.ips})
	}
}

// Addresses are those at which connections are offered now. The system is asked for them.
func (e *Engine) Addresses() []netip.Addr {
	e.lookAnew()
	return e.addresses(e.mux.v6())
}

// Port is the UDP port.
func (e *Engine) Port() int {
	if a, ok := e.mux.socket.LocalAddr().(*net.UDPAddr); ok {
		return a.Port
	}
	return 0
}

// Close gives the ports back. All peers must be closed before; what is left of one that
// has not ended by itself gets no packets any more.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	beside := e.beside
	e.mu.Unlock()
	if beside != nil {
		_ = beside.Close() // a socket that nobody uses
	}
	return e.mux.Close()
}

func newCertificate() (*webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fault.New(fault.Internal, "key of the WebRTC certificate: %w", err)
	}
	c, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fault.New(fault.Internal, "WebRTC certificate: %w", err)
	}
	return c, nil
}

func (e *Engine) settings(t *tap) webrtc.SettingEngine {
	var s webrtc.SettingEngine
	c := e.given
	s.SetNet(e.system)
	s.LoggerFactory = loggers{c.Log}
	s.SetICEUDPMux(t)
	s.SetICEBindingRequestHandler(t.heard)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	often := min(keepAlive, c.Patience/2) // as often as pion looks
	s.SetICETimeouts(c.Patience, max(c.Silence-c.Patience, often), often)
	s.SetHostAcceptanceMinWait(0)
	s.SetSrflxAcceptanceMinWait(0)
	s.SetPrflxAcceptanceMinWait(0)
	s.SetRelayAcceptanceMinWait(0)
	s.SetDTLSRetransmissionInterval(retransmission)
	s.SetDTLSInsecureSkipHelloVerify(true)
	s.SetIncludeLoopbackCandidate(true)
	s.DetachDataChannels()
	s.DisableMediaEngineCopy(true)
	s.EnableSCTPZeroChecksum(true)
	s.SetSCTPMaxReceiveBufferSize(sctpBuffer)
	return s
}

func iceServers(servers []ICEServer) []webrtc.ICEServer {
	var out []webrtc.ICEServer
	for _, s := range servers {
		out = append(out, webrtc.ICEServer{URLs: []string{s.URL}, Username: s.User, Credential: s.Secret})
	}
	return out
}

// sizeBuffers asks for large buffers, and says so when the system gives less.
func sizeBuffers(socket *net.UDPConn, log *slog.Logger) {
	_ = socket.SetReadBuffer(ReceiveBuffer) // what was granted is read back
	_ = socket.SetWriteBuffer(ReceiveBuffer)
	if granted, ok := receiveBuffer(socket); ok && granted < ReceiveBuffer {
		log.Warn("UDP receive buffer is small, bursts on a fast link will be lost; raise net.core.rmem_max",
			"bytes", granted, "want", ReceiveBuffer)
	}
}
