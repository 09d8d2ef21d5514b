package main

import (
	"flag"
	"io"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/sim/cost"
	"github.com/peerbus/peerbus/sim/sample"
)

// params are what is assumed of a domain. Rates are of one runtime.
type params struct {
	runtimes    int
	hyperties   int     // of each
	connections int     // peer connections that each holds
	pool        int     // addresses that its p2pstub allocates ahead
	webSocket   float64 // share of sessions over WebSocket

	expires     time.Duration // of an entry; it is refreshed three times within
	changes     float64       // of status, of each hyperty, an hour
	losses      float64       // of the connection with the node, an hour
	setUps      float64       // of peer connections, an hour, each with its end
	lookups     float64       // of addresses, an hour
	relayed     float64       // messages a second
	messageSize int

	cores, memory  float64 // of a replica and of a NATS server; bytes
	network        float64 // bytes a second, each way
	utilisation    float64 // of cores, memory and network that is planned with
	servers        int     // of NATS, each with all of both buckets
	storeWrites    float64 // a second, at most, of the state's bucket
	minReplicas    int
	start          time.Duration // that a replica may take to read the store back
	contacts       int           // other runtimes that one talks to
	locality       float64       // share of them in its own domain, when there are several
	seed           uint64
	sampled        int // runtimes whose life is simulated
	costs          cost.Costs
	herdShare      float64
	herdScale      int
	herdOutage     time.Duration
	herdOutageLong time.Duration
}

// parse reads the flags. Each usage ends with why the default is what it is.
func parse(args []string, errs io.Writer) (*params, error) {
	p := &params{}
	var file string
	f := flag.NewFlagSet("capacity", flag.ContinueOnError)
	f.SetOutput(errs)
	f.IntVar(&p.runtimes, "runtimes", 1_000_000, "runtimes of the domain")
	f.IntVar(&p.hyperties, "hyperties", 2, "hyperties of each: an application and something in the background")
	f.IntVar(&p.connections, "connections", 3, "peer connections that each holds: those it talked to lately")
	f.IntVar(&p.pool, "pool", sample.Pool, "addresses that its p2pstub allocates ahead: its default")
	f.Float64Var(&p.webSocket, "websocket", 0.1, "share of sessions over WebSocket: older peers")
	f.DurationVar(&p.expires, "expires", time.Hour, "expiry of an entry, which is refreshed three times within: the registry's default")
	f.Float64Var(&p.changes, "changes", 0.5, "changes of status of each hyperty an hour: one comes or goes every two hours")
	f.Float64Var(&p.losses, "losses", 1, "connections lost and re-opened an hour: half of them are mobile")
	f.Float64Var(&p.setUps, "setups", 2, "peer connections set up an hour, as many as end: a new contact every half an hour")
	f.Float64Var(&p.lookups, "lookups", 18, "addresses looked up an hour: three contacts, each known for ten minutes")
	f.Float64Var(&p.relayed, "relayed", 0.05, "messages relayed a second: one in twenty seconds; the others go over data channels")
	f.IntVar(&p.messageSize, "size", 512, "bytes of a message: what was measured")
	f.Float64Var(&p.cores, "cores", 4, "cores of a replica and of a NATS server: a usual machine")
	memory := f.Float64("memory", 16, "GiB of memory of each: likewise")
	network := f.Float64("network", 1, "Gbit/s of network of each, each way: likewise")
	f.Float64Var(&p.utilisation, "utilisation", 0.6, "share of all that which is planned with: the rest is for peaks and for a machine that is gone")
	f.IntVar(&p.servers, "servers", 3, "NATS servers, each with all of the buckets: one may fail")
	f.Float64Var(&p.storeWrites, "store", 0, "writes a second that a bucket takes; 0: what was measured with three servers")
	f.IntVar(&p.minReplicas, "min-replicas", 3, "least replicas: one may be replaced while another fails")
	f.DurationVar(&p.start, "start", 5*time.Minute, "longest start of a replica: fifty of them one after the other are four hours")
	f.IntVar(&p.contacts, "contacts", 3, "others that a runtime talks to: its connections")
	f.Float64Var(&p.locality, "locality", 0.8, "share of them in its own domain, where there are several: domains follow who talks to whom")
	f.Float64Var(&p.herdShare, "herd", 0.1, "share of the runtimes that lose their connections at once: an access network")
	f.IntVar(&p.herdScale, "herd-scale", 25, "how many of them one stands for at most, and of replicas and writes: to be done in seconds")
	f.DurationVar(&p.herdOutage, "outage", 30*time.Second, "for how long: a router starts again")
	f.DurationVar(&p.herdOutageLong, "long-outage", 11*time.Minute, "for how long, so that sessions are not kept: more than SessionKept")
	f.Uint64Var(&p.seed, "seed", 1, "what decides chance")
	f.IntVar(&p.sampled, "sampled", 1000, "runtimes whose life is simulated: the rates are within 1%")
	f.StringVar(&file, "costs", "", "file of costs that sim/measure has written (default: those in the repository)")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	p.memory, p.network = *memory*(1<<30), *network*1e9/8
	var err error
	if p.costs, err = cost.Measured(); file != "" {
		p.costs, err = cost.Load(file)
	}
	if p.storeWrites == 0 {
		p.storeWrites = p.costs.Store.Three.WritesPerSecond
	}
	if err == nil {
		err = p.check()
	}
	return p, err
}

func (p *params) check() error {
	for _, n := range []struct {
		name string
		ok   bool
	}{
		{"runtimes", p.runtimes >= 1 && p.runtimes <= 10_000_000},
		{"hyperties", p.hyperties >= 0 && p.hyperties <= 1000},
		{"connections", p.connections >= 0 && p.connections <= 1000},
		{"pool", p.pool >= 0 && p.pool <= 1000},
		{"websocket", p.webSocket >= 0 && p.webSocket <= 1},
		{"expires", p.expires >= time.Second},
		{"changes", p.changes >= 0}, {"losses", p.losses >= 0}, {"setups", p.setUps >= 0},
		{"lookups", p.lookups >= 0}, {"relayed", p.relayed >= 0}, {"size", p.messageSize > 0},
		{"cores", p.cores > 0}, {"memory", p.memory > 0}, {"network", p.network > 0},
		{"utilisation", p.utilisation > 0 && p.utilisation <= 1},
		{"servers", p.servers >= 1}, {"store", p.storeWrites > 0}, {"min-replicas", p.minReplicas >= 1},
		{"start", p.start > 0}, {"contacts", p.contacts >= 0}, {"locality", p.locality >= 0 && p.locality <= 1},
		{"herd-scale", p.herdScale >= 1}, {"herd", p.herdShare >= 0 && p.herdShare <= 1}, {"outage", p.herdOutage >= 0}, {"long-outage", p.herdOutageLong >= 0},
		{"sampled", p.sampled >= 10 && p.sampled <= 100_000},
	} {
		if !n.ok {
			return fault.New(fault.BadRequest, "%s is out of range", n.name).In(n.name)
		}
	}
	return nil
}
