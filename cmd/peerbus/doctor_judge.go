package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// What is found is judged here, apart from how it is found.

// startOne is the advice where nothing answers at an address of this machine.
const startOne = "start one with `peerbus runtime`, or give --"

// makeRoom is the advice where a store takes no writes, which text says; empty where it does
// not.
func makeRoom(of, text string) string {
	if !strings.Contains(text, engine.NoWrites) {
		return ""
	}
	return "make room below the --data-dir of the " + of + ", see its log; it goes on by itself"
}

// judgeReached is of a service of the runtime. here: its address is one of this machine.
func judgeReached(check, text string, here bool, err error) finding {
	switch {
	case err == nil:
		return finding{check, isOK, text, ""}
	case makeRoom(check, err.Error()) != "":
		return finding{check, isFail, explain(err), makeRoom(check, err.Error())}
	case !here:
		return finding{check, isFail, explain(err), "see whether it runs, and whether it is reached from here, or give --" + check + "-addr"}
	}
	return finding{check, isFail, explain(err), startOne + check + "-addr"}
}

// judgeBusElsewhere takes what was found of the bus: where the registry has one, none is to
// be started, but its address is another one.
func judgeBusElsewhere(found []finding, r *pb.GetRuntimeResponse) []finding {
	if c := componentOf(r, busComponent); c == nil || !c.Connected {
		return found
	}
	for i, f := range found {
		if strings.HasPrefix(f.Advice, startOne) {
			found[i].Text, found[i].Advice = f.Text+", but the registry is connected with a bus", "the bus is elsewhere: give --bus-addr"
		}
	}
	return found
}

// Components of a runtime that are judged apart.
const (
	busComponent   = "bus"
	natsComponent  = "NATS"     // that they share
	leadsComponent = "registry" // there while none leads
	storeComponent = "store"    // there while the registry's own takes no writes
)

func natsOf(r *pb.GetRuntimeResponse) *pb.ComponentStatus { return componentOf(r, natsComponent) }

// nobodyLeads tells whether the runtime has no registry that leads.
func nobodyLeads(r *pb.GetRuntimeResponse) bool { return componentOf(r, leadsComponent) != nil }

// componentOf a runtime; nil when there is none of that name.
func componentOf(r *pb.GetRuntimeResponse, name string) *pb.ComponentStatus {
	for _, c := range r.GetComponents() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// judgeNATS is of the NATS that replicas share; nothing where there is none.
func judgeNATS(c *pb.ComponentStatus) []finding {
	switch {
	case c == nil:
		return nil
	case c.Connected:
		return []finding{{"nats", isOK, "NATS takes what the replicas write", ""}}
	}
	return []finding{{"nats", isFail, c.Reason,
		"start the servers of NATS that are missing: most of them must run and reach one another. Until then nothing is registered or set up, and messages go on where they can"}}
}

func judgeComponents(r *pb.GetRuntimeResponse) finding {
	var names []string
	for _, c := range r.Components {
		switch {
		case c.Name == natsComponent: // has a check of its own
			continue
		case c.Name == leadsComponent && !c.Connected:
			return finding{"components", isFail, c.Reason, "if none does within seconds, see the logs of the registries, and NATS"}
		case c.Name == storeComponent && !c.Connected:
			return finding{"components", isFail, c.Reason,
				makeRoom("registry", engine.NoWrites) + ". Until then nothing is registered, and messages go on"}
		case !c.Connected:
			return finding{"components", isFail, c.Name + " is not connected: " + or(c.Reason, "no reason is known"),
				"see its log, and whether its address is the one that the registry has"}
		}
		names = append(names, c.Name)
	}
	if len(names) == 0 {
		return finding{"components", isFail, "the registry knows no other service", "start bus, p2pstub and nodestub"}
	}
	return finding{"components", isOK, strings.Join(names, ", ") + " are connected", ""}
}

// sessionOf is the session with the Message Node of the runtime's own domain.
func sessionOf(r *pb.GetRuntimeResponse) *pb.NodeSession {
	for _, n := range r.GetNodes() {
		if n.Domain == r.Domain {
			return n
		}
	}
	return &pb.NodeSession{Domain: r.GetDomain(), State: "missing"}
}

// judgeSession is of the session with the Message Node of the runtime's own domain, which
// only a registry that leads knows.
func judgeSession(r *pb.GetRuntimeResponse) finding {
	if nobodyLeads(r) {
		return finding{"session", isSkip, "not known while no registry leads", ""}
	}
	n := sessionOf(r)
	if n.State == "live" {
		return finding{"session", isOK, fmt.Sprintf("live with the Message Node of %s at %s", n.Domain, n.Endpoint), ""}
	}
	text := fmt.Sprintf("%s, with the Message Node of %s: %s", n.State, n.Domain, or(n.Reason, "no reason is known"))
	if advice := makeRoom("Message Node", n.Reason); advice != "" {
		return finding{"session", isFail, text, advice}
	}
	return finding{"session", isFail, text, "see whether it runs, and give its address with --node " + n.Domain + "=HOST:PORT"}
}

// judgeNodeReady takes what the Message Node says of itself.
func judgeNodeReady(where string, err error) finding {
	if err == nil {
		return finding{"node-ready", isOK, where + " says that sessions can be opened", ""}
	}
	const meanwhile = "sessions that are there go on, new ones have to wait"
	if advice := makeRoom("Message Node", err.Error()); advice != "" {
		return finding{"node-ready", isFail, where + ": " + err.Error(), advice + ". Until then " + meanwhile}
	}
	return finding{"node-ready", isFail, where + ": " + err.Error(), meanwhile + ": see its log, and its NATS"}
}

// judgeElsewhere says what is not looked at.
func judgeElsewhere(registry string) finding {
	return finding{"machine", isSkip, "the registry at " + registry + " is not on this machine, which is not looked at",
		"for UDP, candidates and open files run this where the p2pstub runs, with its --udp-port"}
}

func judgeEndpoint(endpoint string, secure bool, err error) finding {
	with := "with TCP"
	switch {
	case secure:
		with = "with TCP and TLS"
	case strings.HasPrefix(endpoint, rpc.UnixScheme):
		with = "over a unix socket"
	}
	if err == nil {
		return finding{"node", isOK, endpoint + " is reached " + with, ""}
	}
	return finding{"node", isFail, endpoint + ": " + err.Error(), adviseUnreached(err)}
}

// adviseUnreached says what to do where nobody is connected to.
func adviseUnreached(err error) string {
	var unresolved *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist): // a port, a socket
		return "nothing listens there: start `peerbus msgnode`"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not open the socket: see the Message Node's --socket-mode, and the permissions of its directory"
	case errors.As(err, &unresolved):
		return "the name is not known here: see the machine's DNS"
	}
	return "see whether a firewall is between, and whether the address is right"
}

func judgeDescriptor(where, domain, has string, err error) finding {
	switch {
	case err != nil:
		return finding{"descriptor", isWarn, where + ": " + err.Error(), "runtimes of other domains find this one by it"}
	case has != domain:
		return finding{"descriptor", isWarn, fmt.Sprintf("%s is of the domain %q", where, has), "want " + domain + ": is --node-http right?"}
	}
	return finding{"descriptor", isOK, where + " names " + domain, ""}
}

// maxSkew is how far clocks may be apart: past it the times of a trace's hops, and of
// two logs, are put into a wrong order by people.
const maxSkew = 2 * time.Second

// judgeClock takes the other clock's time, whole seconds, and when it was asked and
// had answered by our own.
func judgeClock(other, asked, answered time.Time) finding {
	ours := asked.Add(answered.Sub(asked) / 2)
	skew := ours.Sub(other.Add(500 * time.Millisecond)).Round(100 * time.Millisecond)
	if slack := maxSkew + 500*time.Millisecond + answered.Sub(asked)/2; skew.Abs() > slack {
		which := "ahead of"
		if skew < 0 {
			which = "behind"
		}
		return finding{"clock", isWarn, fmt.Sprintf("%s %s that of the Message Node", skew.Abs(), which), "let NTP set both"}
	}
	return finding{"clock", isOK, "agrees with that of the Message Node within " + maxSkew.String(), ""}
}

func judgeUDP(err error) finding {
	if err == nil {
		return finding{"udp", isOK, "sockets are bound, and datagrams pass", ""}
	}
	return finding{"udp", isFail, err.Error(), "without UDP all messages take the Message Node: see the firewall"}
}

// judgeBuffers takes the most that the system grants a socket, in bytes.
func judgeBuffers(receive, send int, err error) finding {
	if err != nil {
		return finding{"buffers", isSkip, "the system does not say how large a socket's buffers may be", ""}
	}
	text := fmt.Sprintf("a socket gets %d KiB to receive and %d KiB to send", receive>>10, send>>10)
	if receive >= rtc.ReceiveBuffer && send >= rtc.ReceiveBuffer {
		return finding{"buffers", isOK, text, ""}
	}
	return finding{"buffers", isWarn, text + ", bursts on a fast link are lost",
		fmt.Sprintf("sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d", rtc.ReceiveBuffer, rtc.ReceiveBuffer)}
}

func judgeCandidates(found []rtc.Found, err error) finding {
	var hosts []string
	for _, f := range found {
		if f.Type == "host" {
			hosts = append(hosts, f.Address)
		}
	}
	switch {
	case err != nil:
		return finding{"candidates", isFail, explain(err), "another --udp-port may be free"}
	case len(hosts) == 0:
		return finding{"candidates", isFail, "this machine has no address that others could use", "give --advertise IP to the runtime"}
	case !slices.ContainsFunc(hosts, beyondLoopback):
		return finding{"candidates", isWarn, "this machine is reached on loopback alone", "for other machines, bring a network up"}
	}
	return finding{"candidates", isOK, fmt.Sprintf("%d of this machine: %s", len(hosts), strings.Join(hosts, ", ")), ""}
}

func beyondLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && !ip.IsLoopback()
}

// judgeServer judges a STUN or TURN server by the candidates that it gave.
func judgeServer(url string, found []rtc.Found, err error) finding {
	want, kind := "srflx", "STUN"
	if strings.HasPrefix(url, "turn") {
		want, kind = "relay", "TURN"
	}
	check := strings.ToLower(kind)
	if err != nil {
		return finding{check, isFail, url + ": " + explain(err), "see --ice-server"}
	}
	for _, f := range found {
		if f.Type == want {
			return finding{check, isOK, fmt.Sprintf("%s answers: %s", url, f.Address), ""}
		}
	}
	advice := "see whether it runs, and whether UDP to it passes the firewall"
	if kind == "TURN" {
		advice = "see its user and secret, whether it runs, and whether UDP to it passes the firewall"
	}
	return finding{check, isFail, url + " gives no address", advice}
}

// judgePorts takes the addresses that a runtime or a Message Node would want and
// cannot have.
func judgePorts(wanted, taken []string, hasSS bool) finding {
	if len(taken) == 0 {
		return finding{"ports", isOK, strings.Join(wanted, ", ") + " are free", ""}
	}
	who := ""
	if hasSS {
		who = " (`ss -lntup` shows it)"
	}
	return finding{"ports", isWarn, strings.Join(taken, ", ") + " cannot be listened at",
		"end what has them" + who + ", or choose others with the flags of `peerbus runtime`"}
}

// Open files that a busy runtime wants, and without which none runs: a connection of
// each application, its listeners and the store.
const (
	wantedFiles = 4096
	leastFiles  = 64
)

func judgeFiles(limit uint64, known bool) finding {
	text := fmt.Sprintf("a process may have %d open files", limit)
	switch {
	case !known:
		return finding{"files", isSkip, "the system does not say how many files a process may have open", ""}
	case limit < leastFiles:
		return finding{"files", isFail, text, fmt.Sprintf("ulimit -n %d", wantedFiles)}
	case limit < wantedFiles:
		return finding{"files", isWarn, text, fmt.Sprintf("for many connections, ulimit -n %d", wantedFiles)}
	}
	return finding{"files", isOK, text, ""}
}

func judgeDataDir(dir string, err error) finding {
	if err != nil {
		return finding{"data-dir", isFail, err.Error(), "give --data-dir a directory that can be written"}
	}
	return finding{"data-dir", isOK, dir + " can be written", ""}
}
