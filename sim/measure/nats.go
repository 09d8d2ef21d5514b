package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/local"
)

// natsRole makes this program a NATS server: the official one, as a process of its
// own.
const natsRole = "nats"

// serveNATS runs a server until SIGTERM, or until its standard input ends with its
// parent.
func serveNATS(args []string) int {
	var o server.Options
	var addr, cluster, routes string
	f := flag.NewFlagSet(natsRole, flag.ContinueOnError)
	f.StringVar(&addr, "addr", "", "HOST:PORT for clients")
	f.StringVar(&cluster, "cluster", "", "HOST:PORT for other servers; empty: none")
	f.StringVar(&routes, "routes", "", "HOST:PORT of all servers of the cluster, with commas")
	f.StringVar(&o.ServerName, "name", "n1", "name of the server")
	f.StringVar(&o.StoreDir, "dir", "", "directory of JetStream")
	if f.Parse(args) != nil {
		return 2
	}
	o.JetStream, o.NoSigs, o.NoLog, o.MaxPayload = true, true, true, engine.MaxPayload
	o.Host, o.Port = split(addr)
	if cluster != "" {
		o.Cluster.Name = "measured"
		o.Cluster.Host, o.Cluster.Port = split(cluster)
		o.Routes = server.RoutesFromStr("nats://" + strings.ReplaceAll(routes, ",", ",nats://"))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := server.NewServer(&o)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Start()
	fmt.Println("started")
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	select {
	case <-ctx.Done():
	case <-ended:
	}
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}

func split(addr string) (host string, port int) {
	host, text, _ := strings.Cut(addr, ":")
	_, _ = fmt.Sscan(text, &port) // it is one of ours
	return host, port
}

// nats is a server, or a cluster of them.
type nats struct {
	url  string
	pids []int
	dirs []string
	stop func()
}

// startNATS runs n servers with files below dir.
func startNATS(dir string, n int) (*nats, error) {
	addrs, err := local.FreeAddrs(2 * n)
	if err != nil {
		return nil, err
	}
	clients, routes := addrs[:n], addrs[n:]
	s := &nats{url: "nats://" + strings.Join(clients, ",nats://")}
	var stops []func()
	s.stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	for i := range n {
		own := filepath.Join(dir, fmt.Sprintf("nats-%d-%d", n, i))
		args := []string{natsRole, "-name", fmt.Sprintf("n%d", i), "-addr", clients[i], "-dir", own}
		if n > 1 {
			args = append(args, "-cluster", routes[i], "-routes", strings.Join(routes, ","))
		}
		pid, stop, err := startSelf(args)
		if err != nil {
			s.stop()
			return nil, err
		}
		s.pids, s.dirs, stops = append(s.pids, pid), append(s.dirs, own), append(stops, stop)
	}
	return s, nil
}

// startSelf runs this program in another role, and waits for its first line.
func startSelf(args []string) (pid int, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, nil, err
	}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	stop = func() {
		_ = in.Close()
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_ = cmd.Wait()
	}
	if !bufio.NewScanner(out).Scan() {
		stop()
		return 0, nil, fault.New(fault.Unavailable, "%s does not start", strings.Join(args, " "))
	}
	return cmd.Process.Pid, stop, nil
}

// open connects to the servers. A cluster does not answer before it has a leader.
func (s *nats) open(ctx context.Context, replicas int) (*engine.Engine, error) {
	const tries = 20
	for i := 1; ; i++ {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		e, err := engine.Open(once, engine.Config{URL: s.url, Name: "measure", Replicas: replicas})
		cancel()
		if err == nil || i == tries || ctx.Err() != nil {
			return e, err
		}
		time.Sleep(200 * time.Millisecond) // NATS refuses at once while it starts
	}
}
