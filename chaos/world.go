package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/netlab"
	"github.com/peerbus/peerbus/internal/rpc"
)

const (
	domain      = "example.org"
	nodeName    = "node" // of its namespace
	nodePort    = "7400"
	linkDevice  = "link"
	linkNetwork = "10.77.3.0/24"
	// Addresses of the services of a runtime, as shipped: each runtime has a
	// loopback of its own.
	registryAddr = "127.0.0.1:7401"
	busAddr      = "127.0.0.1:7402"
)

// sideNames are the runtimes and their namespaces.
var sideNames = [...]string{"alice", "bob"}

// readyTime bounds the start of nine processes on a slow machine.
const readyTime = 60 * time.Second

// world is all that a run makes.
type world struct {
	dir       string // of data and logs
	node      *netlab.Namespace
	sides     []*side // alice and bob
	link      *netlab.Link
	processes []*process // all nine, in the order of their start

	undo   []func() // what takes it away again, in the reverse order
	parts  sync.WaitGroup
	ctx    context.Context // of what runs for as long as the world does
	cancel context.CancelFunc

	mu         sync.Mutex
	closing    bool
	complaints []string
}

// side is one runtime and its namespace.
type side struct {
	name     string
	ns       *netlab.Namespace
	registry *grpc.ClientConn
	host     int // last byte of its address on the link; odd for alice, even for bob
}

// newWorld sets the stage: namespaces, link, processes, all of them ready.
func newWorld(ctx context.Context, s settings) (w *world, err error) {
	dir, err := os.MkdirTemp("", "peerbus-chaos-")
	if err != nil {
		return nil, err
	}
	w = &world{dir: dir, link: netlab.NewLink(s.seed)}
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	for _, step := range []func(context.Context) error{
		w.makeNamespaces, w.connectNode, w.connectLink,
		func(context.Context) error { w.plan(s); return w.startProcesses() },
		w.ready,
	} {
		if err := step(ctx); err != nil {
			return w, err
		}
	}
	return w, nil
}

// close takes everything away but the files, users before what they use.
func (w *world) close() {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	w.cancel()
	for i := len(w.undo) - 1; i >= 0; i-- {
		w.undo[i]()
	}
	w.parts.Wait()
}

func (w *world) logs() string { return filepath.Join(w.dir, "logs") }

func (w *world) data() string { return filepath.Join(w.dir, "data") }

// later notes what is to be undone.
func (w *world) later(undo func()) { w.undo = append(w.undo, undo) }

// complain notes what a process should not have done.
func (w *world) complain(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closing {
		w.complaints = append(w.complaints, text)
	}
}

func (w *world) makeNamespaces(ctx context.Context) error {
	netlab.Sweep()
	var err error
	if w.node, err = w.makeNamespace(ctx, nodeName); err != nil {
		return err
	}
	for i, name := range sideNames {
		ns, err := w.makeNamespace(ctx, name)
		if err != nil {
			return err
		}
		w.sides = append(w.sides, &side{name: name, ns: ns, host: 1 + i})
	}
	return nil
}

func (w *world) makeNamespace(ctx context.Context, short string) (*netlab.Namespace, error) {
	n, err := netlab.NewNamespace(ctx, short)
	if err == nil {
		w.later(func() { _ = n.Remove() })
	}
	return n, err
}

// connectNode puts a veth between each side and the Message Node.
func (w *world) connectNode(ctx context.Context) error {
	for i, s := range w.sides {
		network := nodeNetwork(i)
		err := errors.Join(
			netlab.Join(ctx, s.ns, w.node),
			s.ns.Address(ctx, w.node.Short, network+".2", network+".0/24"),
			w.node.Address(ctx, s.name, network+".1", network+".0/24"),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// nodeNetwork is the network between a side and the Message Node, which is .1 in
// it.
func nodeNetwork(side int) string { return fmt.Sprintf("10.77.%d", 1+side) }

// connectLink puts the link program between the sides.
func (w *world) connectLink(ctx context.Context) error {
	var ends []*os.File
	for _, s := range w.sides {
		tun, err := netlab.OpenTun(s.ns.Name, linkDevice)
		if err != nil {
			return err
		}
		w.later(func() { _ = tun.Close() })
		ends = append(ends, tun)
		if err := s.ns.Address(ctx, linkDevice, s.linkAddress(), linkNetwork); err != nil {
			return err
		}
		// Room for a burst while the link program has no processor.
		if err := s.ns.Run(ctx, "", "ip", "link", "set", "dev", linkDevice, "txqueuelen", "5000"); err != nil {
			return err
		}
	}
	w.parts.Go(func() {
		if err := w.link.Run(w.ctx, ends[0], ends[1]); err != nil {
			w.complain("the link broke: " + err.Error())
		}
	})
	return nil
}

func (s *side) linkAddress() string { return fmt.Sprintf("10.77.3.%d", s.host) }

// moveAddress gives the side the next address on the link, and takes the one
// before away.
func (s *side) moveAddress(ctx context.Context) error {
	old := s.linkAddress()
	if s.host += 2; s.host > 254 {
		s.host -= 252
	}
	if err := s.ns.Run(ctx, "", "ip", "addr", "del", old+"/32", "dev", linkDevice); err != nil {
		return err
	}
	return s.ns.Address(ctx, linkDevice, s.linkAddress(), linkNetwork)
}

// outline is a world that is not there: it has the names of all that can be broken.
func outline(s settings) *world {
	w := &world{node: &netlab.Namespace{Short: nodeName}}
	for _, name := range sideNames {
		w.sides = append(w.sides, &side{name: name, ns: &netlab.Namespace{Short: name}})
	}
	w.plan(s)
	return w
}

// plan describes all processes as they ship: default addresses, default limits.
func (w *world) plan(s settings) {
	add := func(in *netlab.Namespace, mode string, args ...string) {
		args = append([]string{s.binary, mode, "--log-level", s.logLevel}, args...)
		w.processes = append(w.processes, newProcess(in, mode, w.logs(), w.complain, args...))
	}
	data := func(of string) string { return filepath.Join(w.data(), of) }
	add(w.node, "msgnode", "--domain", domain, "--data-dir", data("node"),
		"--grpc-addr", net.JoinHostPort("0.0.0.0", nodePort), "--insecure")
	for i, side := range w.sides {
		runtime := []string{"--runtime-url", side.runtimeURL()}
		node := domain + "=" + net.JoinHostPort(nodeNetwork(i)+".1", nodePort)
		add(side.ns, "registry", append(runtime, "--data-dir", data(side.name))...)
		add(side.ns, "bus", runtime...)
		add(side.ns, "p2pstub", runtime...)
		add(side.ns, "nodestub", append(runtime, "--node", node)...)
	}
}

func (w *world) startProcesses() error {
	if err := os.MkdirAll(w.logs(), 0o700); err != nil {
		return err
	}
	var errs []error
	for _, p := range w.processes {
		w.later(p.end)
		errs = append(errs, p.start())
	}
	return errors.Join(errs...)
}

func (s *side) runtimeURL() string { return "hyperty-runtime://" + domain + "/" + s.name }

// ready waits until the runtimes are connected with the Message Node.
func (w *world) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	for _, s := range w.sides {
		conn, err := s.connect(registryAddr)
		if err != nil {
			return err
		}
		w.later(func() { _ = conn.Close() })
		s.registry = conn
		if err := local.WaitReady(ctx, s.runtimeURL(), pb.NewRegistryClient(conn)); err != nil {
			return err
		}
	}
	return nil
}

// connect gives a connection to a service of the side, opened from within its
// namespace whenever it is needed.
func (s *side) connect(addr string) (*grpc.ClientConn, error) {
	return rpc.Dial("passthrough:///"+addr, rpc.Security{}, grpc.WithContextDialer(s.ns.Dial))
}

// attach makes a client of the side's bus that lives as long as the world.
func (w *world) attach(s *side, name string) (*client.Bus, error) {
	conn, err := s.connect(busAddr)
	if err != nil {
		return nil, err
	}
	w.later(func() { _ = conn.Close() })
	bus, err := client.New(client.Config{Conn: conn, Name: name, Log: quiet()})
	if err != nil {
		return nil, err
	}
	w.parts.Go(func() { _ = bus.Run(w.ctx) })
	return bus, nil
}

// register gives the side a hyperty, whose address the Message Node allocates.
func (s *side) register(ctx context.Context) (string, error) {
	resp, err := pb.NewRegistryClient(s.registry).Register(ctx, &pb.RegisterRequest{Registration: &pb.Registration{
		Kind: pb.RegistrationKind_REGISTRATION_KIND_HYPERTY,
		User: "user://" + domain + "/" + s.name,
	}})
	if err != nil {
		return "", fmt.Errorf("registering a hyperty of %s: %w", s.name, err)
	}
	return resp.Registration.Url, nil
}

// failures is what processes should not have done.
func (w *world) failures() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.complaints
}

// process finds one by its name.
func (w *world) process(name string) *process {
	for _, p := range w.processes {
		if p.name == name {
			return p
		}
	}
	return nil
}
