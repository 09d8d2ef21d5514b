package ours

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	"github.com/peerbus/peerbus/bench/apart"
	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/worker"
	peerbusv1 "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/netlab"
	"github.com/peerbus/peerbus/internal/rpc"
)

// Default addresses of services: each namespace has a loopback of its own.
const (
	nodePort     = "7400"
	registryAddr = "127.0.0.1:7401"
	busAddr      = "127.0.0.1:7402"
	// firstProfilePort is of the process that was started first; nobody else listens there.
	firstProfilePort = 7500
)

// distant is a runtime at each machine of a pair, and the Message Node at the far one, so
// that whatever goes from one runtime to the other crosses the link once.
type distant struct {
	program Program
	dir     string
	system  *local.System
	pair    *apart.Pair
	pids    []int
	members map[string]drive.Member // with Program.Profiles
	closers []func() error
}

// SetUps is a side that sets up connections between the two runtimes. Close ends it.
func SetUps(ctx context.Context, p Program, pair *apart.Pair, number int) (side drive.SetUps, end func() error, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	d := &distant{program: p, pair: pair, members: map[string]drive.Member{}}
	if d.dir, err = os.MkdirTemp("", "peerbus-bench-"); err != nil {
		return side, nil, err
	}
	d.system = local.New(local.Config{Binary: p.Binary, Dir: d.dir, LogLevel: "error"})
	d.closers = append(d.closers, func() error { return os.RemoveAll(d.dir) }, d.system.Close)
	var w *worker.Process
	if err = d.startAll(); err == nil {
		w, err = d.ends(ctx)
	}
	if err != nil {
		return side, nil, errors.Join(err, d.close())
	}
	return drive.SetUps{Worker: w, PIDs: append(d.pids, w.PID()), Members: d.members, Number: number}, d.close, nil
}

func (d *distant) close() error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	return errors.Join(errs...)
}

func runtimeURL(id string) string { return "hyperty-runtime://" + domainName + "/" + id }

// startAll starts everything as it ships.
func (d *distant) startAll() error {
	errs := []error{d.start(d.pair.Far, "msgnode", "--domain", domainName, "--data-dir", filepath.Join(d.dir, "node"),
		"--grpc-addr", "0.0.0.0:"+nodePort, "--insecure")}
	for id, at := range map[string]*netlab.Namespace{"near": d.pair.Near, "far": d.pair.Far} {
		runtime := []string{"--runtime-url", runtimeURL(id)}
		errs = append(errs,
			d.start(at, "registry", append(runtime, "--data-dir", filepath.Join(d.dir, id))...),
			d.start(at, "bus", runtime...),
			d.start(at, "p2pstub", runtime...),
			d.start(at, "nodestub", append(runtime, "--node", domainName+"="+apart.FarIP+":"+nodePort)...),
		)
	}
	return errors.Join(errs...)
}

func (d *distant) start(at *netlab.Namespace, mode string, args ...string) error {
	profiles := ""
	if d.program.Profiles {
		profiles = fmt.Sprint("127.0.0.1:", firstProfilePort+len(d.pids))
	}
	line := at.Inside(append([]string{d.program.Binary, mode, "--log-level", "error", "--pprof-addr", profiles}, args...)...)
	p, err := d.system.StartProgram(line[0], mode+" at "+at.Short, line[1:]...)
	if err != nil {
		return err
	}
	d.pids = append(d.pids, p.PID()) // ip becomes the program
	s := drive.Service{ID: p.PID(), Name: mode + "-" + at.Short, ProfileAddr: profiles}
	s.Dial = func(ctx context.Context, _, addr string) (net.Conn, error) { return at.Dial(ctx, addr) }
	d.members[s.Name] = s
	return nil
}

// ends registers an address at each runtime, and starts the listener and the poster.
func (d *distant) ends(ctx context.Context) (*worker.Process, error) {
	for _, at := range []*netlab.Namespace{d.pair.Near, d.pair.Far} {
		if err := d.register(ctx, at); err != nil {
			return nil, err
		}
	}
	listener := EndConfig{Bus: busAddr, Own: hyperty("far"), To: hyperty("near")}
	l, err := worker.Start(ctx, EndRole, listener, d.pair.Far.Inside()...)
	if err != nil {
		return nil, err
	}
	d.closers, d.pids, d.members["receiver"] = append(d.closers, l.Close), append(d.pids, l.PID()), drive.Worker{Process: l}
	poster := SetUpConfig{Bus: busAddr, Registry: registryAddr, Own: hyperty("near"), To: hyperty("far"), Remote: runtimeURL("far")}
	w, err := worker.Start(ctx, SetUpRole, poster, d.pair.Near.Inside()...)
	if err == nil {
		d.closers, d.members["sender"] = append(d.closers, w.Close), drive.Worker{Process: w}
	}
	return w, err
}

// register waits for the runtime of a machine, and registers the address that is called
// like the machine.
func (d *distant) register(ctx context.Context, at *netlab.Namespace) error {
	conn, err := rpc.Dial("passthrough:///"+registryAddr, rpc.Security{}, grpc.WithContextDialer(at.Dial))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	registry := peerbusv1.NewRegistryClient(conn)
	if err := local.WaitReady(ctx, runtimeURL(at.Short), registry); err != nil {
		return err
	}
	_, err = registry.Register(ctx, &peerbusv1.RegisterRequest{Registration: &peerbusv1.Registration{Url: hyperty(at.Short)}})
	return err
}

// hyperty is an address by its last part.
func hyperty(name string) string { return "hyperty://" + domainName + "/" + name }
