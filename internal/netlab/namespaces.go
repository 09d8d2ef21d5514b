package netlab

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

const namespacePrefix = "peerbus-lab-"

// commandTime bounds one call of ip or nft: they take some milliseconds.
const commandTime = 10 * time.Second

// Namespace is a network namespace of this run.
type Namespace struct {
	Short string // alice, bob or node
	Name  string // as ip knows it
}

func NewNamespace(ctx context.Context, short string) (*Namespace, error) {
	n := &Namespace{Short: short, Name: fmt.Sprintf("%s%d-%s", namespacePrefix, os.Getpid(), short)}
	if err := command(ctx, "", "ip", "netns", "add", n.Name); err != nil {
		return nil, err
	}
	for _, set := range [][]string{
		{"ip", "link", "set", "dev", "lo", "up"},
		// The Message Node's namespace is no router between the other two.
		{"sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"},
	} {
		if err := n.Run(ctx, "", set...); err != nil {
			_ = n.Remove()
			return nil, err
		}
	}
	return n, nil
}

// Remove takes the namespace away, with all devices in it.
func (n *Namespace) Remove() error {
	return command(context.Background(), "", "ip", "netns", "delete", n.Name)
}

// Inside makes a command line run in the namespace.
func (n *Namespace) Inside(args ...string) []string {
	return append([]string{"ip", "netns", "exec", n.Name}, args...)
}

func (n *Namespace) Run(ctx context.Context, stdin string, args ...string) error {
	return command(ctx, stdin, n.Inside(args...)...)
}

// NFT gives rules to the packet filter of the namespace.
func (n *Namespace) NFT(ctx context.Context, rules string) error {
	return n.Run(ctx, rules, "nft", "-f", "-")
}

// Dial connects from within the namespace. addr is an IP address and a port.
func (n *Namespace) Dial(ctx context.Context, addr string) (net.Conn, error) {
	var conn net.Conn
	err := inNamespace(n.Name, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		return err
	})
	return conn, err
}

// Address gives a device an address, and a way to its network.
func (n *Namespace) Address(ctx context.Context, device, addr, network string) error {
	for _, set := range [][]string{
		{"ip", "addr", "add", addr + "/32", "dev", device},
		{"ip", "link", "set", "dev", device, "up"},
		{"ip", "route", "replace", network, "dev", device},
	} {
		if err := n.Run(ctx, "", set...); err != nil {
			return err
		}
	}
	return nil
}

// Join connects two namespaces by a veth; the device at each end has the name of
// the other end's namespace.
func Join(ctx context.Context, a, b *Namespace) error {
	return command(ctx, "", "ip", "link", "add", b.Short, "netns", a.Name, "type", "veth",
		"peer", "name", a.Short, "netns", b.Name)
}

// command runs a program to its end. The error has what the program said.
func command(ctx context.Context, stdin string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Requirements says what is missing here to run at all.
func Requirements() error {
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

// Sweep removes the namespaces of runs that were killed.
func Sweep() {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if pid, ok := owner(e.Name()); ok && !alive(pid) {
			_ = (&Namespace{Name: e.Name()}).Remove()
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
