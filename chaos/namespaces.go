package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// namespaceDir is where ip keeps the network namespaces that have a name.
const namespaceDir = "/var/run/netns"

const namespacePrefix = "peerbus-chaos-"

// commandTime bounds one call of ip or nft: they take some milliseconds.
const commandTime = 10 * time.Second

// namespace is a network namespace of this run.
type namespace struct {
	short string // alice, bob or node
	name  string // as ip knows it
}

func newNamespace(ctx context.Context, short string) (*namespace, error) {
	n := &namespace{short: short, name: fmt.Sprintf("%s%d-%s", namespacePrefix, os.Getpid(), short)}
	if err := command(ctx, "", "ip", "netns", "add", n.name); err != nil {
		return nil, err
	}
	for _, set := range [][]string{
		{"ip", "link", "set", "dev", "lo", "up"},
		// The Message Node's namespace is no router between the other two.
		{"sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"},
	} {
		if err := n.run(ctx, "", set...); err != nil {
			_ = n.remove()
			return nil, err
		}
	}
	return n, nil
}

// remove takes the namespace away, with all devices in it.
func (n *namespace) remove() error {
	return command(context.Background(), "", "ip", "netns", "delete", n.name)
}

// inside makes a command line run in the namespace.
func (n *namespace) inside(args ...string) []string {
	return append([]string{"ip", "netns", "exec", n.name}, args...)
}

func (n *namespace) run(ctx context.Context, stdin string, args ...string) error {
	return command(ctx, stdin, n.inside(args...)...)
}

// nft gives rules to the packet filter of the namespace.
func (n *namespace) nft(ctx context.Context, rules string) error {
	return n.run(ctx, rules, "nft", "-f", "-")
}

// dial connects from within the namespace. addr is an IP address and a port.
func (n *namespace) dial(ctx context.Context, addr string) (net.Conn, error) {
	var conn net.Conn
	err := inNamespace(n.name, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		return err
	})
	return conn, err
}

// address gives a device an address, and a way to its network.
func (n *namespace) address(ctx context.Context, device, addr, network string) error {
	for _, set := range [][]string{
		{"ip", "addr", "add", addr + "/32", "dev", device},
		{"ip", "link", "set", "dev", device, "up"},
		{"ip", "route", "replace", network, "dev", device},
	} {
		if err := n.run(ctx, "", set...); err != nil {
			return err
		}
	}
	return nil
}

// join connects two namespaces by a veth; the device at each end has the name of
// the other end's namespace.
func join(ctx context.Context, a, b *namespace) error {
	return command(ctx, "", "ip", "link", "add", b.short, "netns", a.name, "type", "veth",
		"peer", "name", a.short, "netns", b.name)
}

// command runs a program to its end. The error has what the program said.
func command(ctx context.Context, stdin string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // our own command lines
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// requirements says what is missing here to run at all.
func requirements() error {
	var missing []error
	if runtime.GOOS != "linux" {
		missing = append(missing, errors.New("this needs Linux, for its network namespaces"))
	}
	if os.Geteuid() != 0 {
		missing = append(missing, errors.New("this needs root, to make network namespaces"))
	}
	for program, pkg := range map[string]string{"ip": "iproute2", "nft": "nftables"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Errorf("the program %s is missing: install the package %s", program, pkg))
		}
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		missing = append(missing, fmt.Errorf("the kernel has no tun devices: %w", err))
	}
	return errors.Join(missing...)
}

// sweep removes the namespaces of runs that were killed.
func sweep() {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if pid, ok := owner(e.Name()); ok && !alive(pid) {
			_ = (&namespace{name: e.Name()}).remove()
		}
	}
}

// owner tells which process has made a namespace.
func owner(name string) (pid int, ok bool) {
	rest, ok := strings.CutPrefix(name, namespacePrefix)
	if !ok {
		return 0, false
	}
	digits, _, ok := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(digits)
	return pid, ok && err == nil
}

func alive(pid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err == nil
}
