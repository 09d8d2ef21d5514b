package local

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/sequence"
)

// Config of a System.
type Config struct {
	// Binary is the peerbus program.
	Binary string
	// Dir is where the processes keep their data. It stays.
	Dir string
	// Security of all listeners and connections, the System's own among them.
	Security rpc.Security
	// LogLevel of the processes; empty is debug, which OnEvent and Events need.
	LogLevel string
	// Flags are more flags of a runtime's processes, by mode: those that not every
	// service has.
	Flags map[string][]string
	// Sockets has gRPC over unix sockets below Dir, whose path is to be short.
	Sockets bool
	// Profiles has each process serve Go's profiles, at an address of its own.
	Profiles bool
	// OnEvent is told of each event as it comes; may be nil. It is called by
	// several goroutines.
	OnEvent func(sequence.Event)
}

// System is a set of processes. Its methods may be called by several
// goroutines.
type System struct {
	cfg Config

	mu        sync.Mutex
	events    []sequence.Event
	processes []*Process
	conns     []*grpc.ClientConn
}

// New makes a System without a process.
func New(cfg Config) *System { return &System{cfg: cfg} }

// Events gives a copy of all events so far.
func (s *System) Events() []sequence.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *System) note(e sequence.Event) {
	s.mu.Lock()
	s.events = append(s.events, e)
	s.mu.Unlock()
	if s.cfg.OnEvent != nil {
		s.cfg.OnEvent(e)
	}
}

// Start runs a mode of the program.
func (s *System) Start(name string, args ...string) (*Process, error) {
	args = append(args, "--log-level", cmp.Or(s.cfg.LogLevel, "debug"), "--log-format", "json")
	if sec := s.cfg.Security; sec.CertFile != "" {
		args = append(args, "--tls-cert", sec.CertFile, "--tls-key", sec.KeyFile, "--tls-ca", sec.CAFile)
	}
	return s.StartProgram(s.cfg.Binary, name, args...)
}

// StartProgram runs another program, such as a NATS server.
func (s *System) StartProgram(program, name string, args ...string) (*Process, error) {
	p, err := start(program, name, args, s.note)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return p, nil
}

// Restart runs again, with the same arguments, a process that has ended.
func (s *System) Restart(p *Process) (*Process, error) {
	return s.StartProgram(p.program, p.Name, p.args...)
}

// Close ends all processes, users before what they use, and waits for them.
// The error joins those of processes that did not end well by themselves.
func (s *System) Close() error {
	s.mu.Lock()
	processes, conns := s.processes, s.conns
	s.processes, s.conns = nil, nil
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
	var errs []error
	for _, group := range inStopOrder(processes) {
		errs = append(errs, stopAll(group))
	}
	return errors.Join(errs...)
}

// stopOrder is that of the modes: users before what they use. A p2pstub gives its
// addresses back through the nodestub, and all say goodbye to their bus.
var stopOrder = []string{"gateway", "runtime", "p2pstub", "nodestub", "bus", "registry", "msgnode"}

// inStopOrder groups processes; those of a group may stop at the same time. Other
// programs are the last.
func inStopOrder(all []*Process) [][]*Process {
	groups := make([][]*Process, len(stopOrder)+1)
	for _, p := range all {
		at := len(stopOrder)
		if i := slices.Index(stopOrder, p.mode()); i >= 0 {
			at = i
		}
		groups[at] = append(groups[at], p)
	}
	return groups
}

// stopAll stops processes at the same time.
func stopAll(all []*Process) error {
	errs := make([]error, len(all))
	var over sync.WaitGroup
	for i, p := range all {
		over.Go(func() { errs[i] = p.Stop() })
	}
	over.Wait()
	return errors.Join(errs...)
}

func (s *System) dial(addr string) (*grpc.ClientConn, error) {
	c, err := rpc.Dial(addr, s.cfg.Security)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return c, nil
}

// Node is a Message Node.
type Node struct {
	*Process
	Domain, GRPCAddr, HTTPAddr string
	ProfileAddr                string // with Config.Profiles

	http   *http.Client
	scheme string
}

// StartNode runs the Message Node of a domain. extra are more flags. An empty
// domain stands for the node's own HTTP address, where its well-known descriptor
// is found.
func (s *System) StartNode(domain string, extra ...string) (*Node, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	n := &Node{Domain: domain, GRPCAddr: s.grpcAddr(ports[0]), HTTPAddr: ports[1], ProfileAddr: ports[2]}
	if domain == "" {
		n.Domain = n.HTTPAddr
	}
	if n.http, n.scheme, err = s.httpClient(); err != nil {
		return nil, err
	}
	args := append([]string{"msgnode", "--domain", n.Domain, "--grpc-addr", n.GRPCAddr, "--http-addr", n.HTTPAddr,
		"--data-dir", filepath.Join(s.cfg.Dir, "node-"+url.PathEscape(n.Domain))}, append(extra, s.profiles(n.ProfileAddr)...)...)
	n.Process, err = s.Start("msgnode of "+n.Domain, args...)
	return n, err
}

// grpcAddr gives where gRPC is served: there, or at a socket that has its name from it.
func (s *System) grpcAddr(addr string) string {
	if !s.cfg.Sockets {
		return addr
	}
	_, port, _ := net.SplitHostPort(addr)
	return rpc.UnixScheme + filepath.Join(s.cfg.Dir, port)
}

// profiles are the flags for profiles at an address, when they are wanted.
func (s *System) profiles(addr string) []string {
	if !s.cfg.Profiles {
		return nil
	}
	return []string{"--pprof-addr", addr}
}

func (s *System) httpClient() (client *http.Client, scheme string, err error) {
	cfg, err := s.cfg.Security.ClientTLS()
	if cfg == nil {
		scheme = "http://"
	} else {
		scheme = "https://"
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}, scheme, err
}

// Ready waits until the node serves.
func (n *Node) Ready(ctx context.Context) error {
	return poll(ctx, "the Message Node of "+n.Domain, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.scheme+n.HTTPAddr+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := n.http.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fault.New(fault.Unavailable, "/readyz says %s", resp.Status)
		}
		return nil
	})
}

// Runtime is one runtime, in one process or in four.
type Runtime struct {
	URL                                          string
	BusAddr, RegistryAddr, P2PStubAddr, NodeAddr string
	HTTPAddr                                     string            // of the gateway; see StartGateway
	MetricsAddrs                                 map[string]string // by service
	ProfileAddrs                                 map[string]string // likewise, with Config.Profiles
	Processes                                    map[string]*Process
	Bus, Registry                                *grpc.ClientConn
}

// services of a runtime, in the order in which they are started.
var services = []string{"registry", "bus", "p2pstub", "nodestub"}

// Layout says how many processes a runtime is.
type Layout int

// Layouts.
const (
	AllInOne Layout = iota
	Separate
)

// StartRuntime runs the runtime `hyperty-runtime://<home domain>/<id>`, where
// the first node is that of its home domain; several of one domain are replicas.
// extra are more flags.
func (s *System) StartRuntime(id string, layout Layout, nodes []*Node, extra ...string) (*Runtime, error) {
	ports, err := freePorts(12)
	if err != nil {
		return nil, err
	}
	r := &Runtime{
		URL:     "hyperty-runtime://" + nodes[0].Domain + "/" + id,
		BusAddr: s.grpcAddr(ports[0]), RegistryAddr: s.grpcAddr(ports[1]), P2PStubAddr: s.grpcAddr(ports[2]), NodeAddr: s.grpcAddr(ports[3]),
		MetricsAddrs: map[string]string{}, ProfileAddrs: map[string]string{}, Processes: map[string]*Process{},
	}
	common := append([]string{"--runtime-url", r.URL, "--bus-addr", r.BusAddr}, extra...)
	loopback := []string{"--advertise", "127.0.0.1"} // what is tried here stays here
	nodeFlags := flagsOf(nodes)
	dir := filepath.Join(s.cfg.Dir, id)
	own := map[string][]string{
		"registry": {"--registry-addr", r.RegistryAddr, "--p2pstub-addr", r.P2PStubAddr, "--nodestub-addr", r.NodeAddr, "--data-dir", dir},
		"bus":      {"--registry-addr", r.RegistryAddr},
		"p2pstub":  append([]string{"--p2pstub-addr", r.P2PStubAddr}, loopback...),
		"nodestub": append([]string{"--nodestub-addr", r.NodeAddr}, nodeFlags...),
	}
	modes := services
	if layout == AllInOne {
		modes = []string{"runtime"}
		r.HTTPAddr = ports[4]
		own["runtime"] = slices.Concat(own["registry"], nodeFlags, loopback)
	}
	for i, mode := range modes {
		r.MetricsAddrs[mode], r.ProfileAddrs[mode] = ports[4+i], ports[8+i]
		args := slices.Concat([]string{mode, "--http-addr", ports[4+i]}, common, own[mode], s.cfg.Flags[mode], s.profiles(r.ProfileAddrs[mode]))
		if r.Processes[mode], err = s.Start(mode+" of "+id, args...); err != nil {
			return nil, err
		}
	}
	if r.Bus, err = s.dial(r.BusAddr); err != nil {
		return nil, err
	}
	r.Registry, err = s.dial(r.RegistryAddr)
	return r, err
}

// flagsOf are those by which a nodestub knows Message Nodes, one for each domain.
func flagsOf(nodes []*Node) (flags []string) {
	addrs := map[string][]string{}
	for _, n := range nodes {
		addrs[n.Domain] = append(addrs[n.Domain], n.GRPCAddr)
	}
	for domain, all := range addrs {
		flags = append(flags, "--node", domain+"="+strings.Join(all, ","))
	}
	return flags
}

// pollEvery is how often Ready asks.
const pollEvery = 20 * time.Millisecond

// poll asks until there is no error. When ctx ends before, it gives the last.
func poll(ctx context.Context, what string, ask func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last error
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil && fault.CodeOf(err) != fault.Timeout { // a time-out says nothing of what is missing
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fault.New(fault.Timeout, "%s is not ready: %w", what, last)
		}
	}
}

// Ready waits until the runtime's services are connected with one another, and
// its session with the Message Node of its home domain is live.
func (r *Runtime) Ready(ctx context.Context) error {
	return WaitReady(ctx, r.URL, pb.NewRegistryClient(r.Registry))
}

// WaitReady is Ready for any runtime, by its registry.
func WaitReady(ctx context.Context, name string, registry pb.RegistryClient) error {
	return poll(ctx, name, func() error {
		resp, err := registry.GetRuntime(ctx, &pb.GetRuntimeRequest{})
		if err != nil {
			return err
		}
		return Unready(resp)
	})
}

// Unready says all that a runtime lacks; nil when it is ready.
func Unready(r *pb.GetRuntimeResponse) error {
	var missing []string
	for _, c := range r.Components {
		if !c.Connected {
			missing = append(missing, because(c.Name+" is not connected", c.Reason))
		}
	}
	if session := unopened(r); session != "" {
		missing = append(missing, session)
	}
	if len(missing) == 0 {
		return nil
	}
	return fault.New(fault.Unavailable, "%s", strings.Join(missing, "; "))
}

// unopened says why there is no session with the Message Node of the runtime's own
// domain; empty when it is live.
func unopened(r *pb.GetRuntimeResponse) string {
	for _, n := range r.Nodes {
		switch {
		case n.Domain != r.Domain:
		case n.State == "live":
			return ""
		default:
			return because("the session with the Message Node of "+n.Domain+" is "+n.State, n.Reason)
		}
	}
	return "no session with the Message Node of " + r.Domain
}

func because(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}

// Ports that are handed out lie below those that Linux gives to outgoing
// connections, which would take one between its choice and its use.
const (
	firstPort = 20_000
	lastPort  = 32_000
)

// handedOut keeps the systems of one process apart.
var handedOut struct {
	sync.Mutex
	ports map[int]bool
}

// FreeAddrs finds loopback addresses that nobody listens to, for a process that Start
// is to run.
func FreeAddrs(n int) ([]string, error) { return freePorts(n) }

// freePorts finds loopback addresses that nobody listens to.
func freePorts(n int) ([]string, error) {
	handedOut.Lock()
	defer handedOut.Unlock()
	if handedOut.ports == nil {
		handedOut.ports = map[int]bool{}
	}
	var addrs []string
	for range 100 * n {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if handedOut.ports[port] {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_ = l.Close()
		handedOut.ports[port] = true
		if addrs = append(addrs, l.Addr().String()); len(addrs) == n {
			return addrs, nil
		}
	}
	return nil, fault.New(fault.Unavailable, "no %d free ports between %d and %d", n, firstPort, lastPort)
}
