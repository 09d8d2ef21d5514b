package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/services/p2pstub/rtc"
)

// machine looks at what this machine allows, where the runtime is on it: what is so here
// says nothing of a runtime elsewhere.
func (s *runtimeThere) machine(ctx context.Context) []finding {
	if s.udpPort == 0 && len(s.servers) == 0 && !s.isHere(ctx, s.registryAddr) {
		found := []finding{judgeElsewhere(s.registryAddr)}
		if s.dataDir != "" {
			found = append(found, dataDirCheck(s.dataDir))
		}
		return found
	}
	found := append(s.ports(ctx), udpCheck(), bufferCheck())
	found = append(found, s.candidateCheck(ctx)...)
	return append(found, judgeFiles(fileLimit()), s.dataDirFinding())
}

// isHere tells whether an address, or one of several, leads to this machine, or container.
func (s *runtimeThere) isHere(ctx context.Context, addrs string) bool {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for addr := range strings.SplitSeq(addrs, ",") {
		if leadsHere(ctx, strings.TrimSpace(addr)) {
			return true
		}
	}
	return false
}

// leadsHere tells whether an address is one of this machine; so is HOST:PORT without a
// host.
func leadsHere(ctx context.Context, addr string) bool {
	if strings.HasPrefix(addr, rpc.UnixScheme) {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return err == nil
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return false
	}
	own, err := net.InterfaceAddrs()
	return slices.ContainsFunc(ips, func(ip net.IPAddr) bool {
		return ip.IP.IsLoopback() || ip.IP.IsUnspecified() || err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
			network, ok := a.(*net.IPNet)
			return ok && network.IP.Equal(ip.IP)
		})
	})
}

// dataDirFinding is of a directory that is used: with NATS elsewhere there is none.
func (s *runtimeThere) dataDirFinding() finding {
	if s.dataDir == "" && natsOf(s.runtime) != nil {
		return finding{"data-dir", isSkip, "none is used: the registry keeps what it has in NATS", ""}
	}
	return dataDirCheck(s.dataDir)
}

// ports looks whether a runtime and a Message Node could be started here, where none runs.
// Addresses of other machines are nothing to listen at.
func (s *runtimeThere) ports(ctx context.Context) []finding {
	if s.runtime != nil {
		return nil
	}
	wanted := slices.DeleteFunc([]string{
		defaultNodeAddr, s.registryAddr, s.busAddr, defaultP2PStubAddr, defaultNodeStubAddr, defaultNodeHTTPAddr, defaultHTTPAddr,
	}, func(addr string) bool { return strings.HasPrefix(addr, rpc.UnixScheme) || !leadsHere(ctx, addr) })
	slices.Sort(wanted)
	wanted = slices.Compact(wanted) // one that is given may be another's default
	var taken []string
	for _, addr := range wanted {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			taken = append(taken, addr)
			continue
		}
		_ = l.Close()
	}
	if s.udpPort != 0 {
		udp := "UDP port " + strconv.Itoa(s.udpPort)
		wanted = append(wanted, udp)
		if c, err := net.ListenUDP("udp", &net.UDPAddr{Port: s.udpPort}); err != nil {
			taken = append(taken, udp)
		} else {
			_ = c.Close()
		}
	}
	_, err := exec.LookPath("ss")
	return []finding{judgePorts(wanted, taken, err == nil)}
}

// udpCheck sends a datagram of the size that WebRTC sends from one socket to another.
func udpCheck() finding { return judgeUDP(passDatagram()) }

const datagramTime = 2 * time.Second

func passDatagram() error {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fault.New(fault.Unavailable, "no socket can be bound: %w", err)
	}
	defer func() { _ = to.Close() }()
	from, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return fault.New(fault.Unavailable, "no socket can be bound: %w", err)
	}
	defer func() { _ = from.Close() }()
	sent, got := bytes.Repeat([]byte{0x5a}, 1200), make([]byte, 1500)
	if _, err := from.WriteTo(sent, to.LocalAddr()); err != nil {
		return fault.New(fault.Unavailable, "a datagram cannot be sent: %w", err)
	}
	_ = to.SetReadDeadline(time.Now().Add(datagramTime)) // fails for a closed socket alone
	n, _, err := to.ReadFrom(got)
	if err != nil || !bytes.Equal(got[:n], sent) {
		return fault.New(fault.Unavailable, "a datagram does not arrive on loopback within %s", datagramTime)
	}
	return nil
}

// bufferCheck reads how large a socket's buffers may be, where the system says so.
func bufferCheck() finding {
	receive, err := kernelNumber("rmem_max")
	send, sendErr := kernelNumber("wmem_max")
	return judgeBuffers(receive, send, errors.Join(err, sendErr))
}

func kernelNumber(name string) (int, error) {
	text, err := os.ReadFile("/proc/sys/net/core/" + name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// candidateCheck gathers candidates, and asks each server by itself, so that it is
// known which one does not answer.
func (s *doctorSettings) candidateCheck(ctx context.Context) []finding {
	found := []finding{judgeCandidates(s.gather(ctx))}
	for _, server := range s.servers {
		candidates, err := s.gather(ctx, server)
		found = append(found, judgeServer(server.URL, candidates, err))
	}
	return found
}

func (s *doctorSettings) gather(ctx context.Context, servers ...rtc.ICEServer) ([]rtc.Found, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return rtc.Gather(ctx, rtc.Config{ICEServers: servers, Log: slog.New(slog.DiscardHandler)})
}

// dataDirCheck writes into the directory, or into the one that it would be made in.
func dataDirCheck(dir string) finding {
	dir, err := storeDir(dir, "", "")
	if err != nil {
		return judgeDataDir(dir, err)
	}
	at := dir
	for {
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			return judgeDataDir(dir, fault.New(fault.BadRequest, "%s is no directory", at))
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(at) == at {
			break
		}
		at = filepath.Dir(at)
	}
	f, err := os.CreateTemp(at, ".peerbus-doctor-*")
	if err == nil {
		_, err = f.Write(make([]byte, 4<<10)) // on a full disk a file can be made, and not written
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return judgeDataDir(dir, err)
}
