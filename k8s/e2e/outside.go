package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// outside is a runtime on this machine, carol. It reaches a node of the cluster and no
// pod, as a machine beyond the cluster's own network does: where this machine has a route
// to the pods, what the user of its process sends there is refused.
type outside struct {
	binary, addr string
	process      *exec.Cmd
	log          string
}

// outsideUser is the user of carol's process, whom nobody else is.
const outsideUser = 64_999

// outsideTable is the one of nftables that refuses.
const outsideTable = "inet peerbus_e2e"

func (o *outside) url() string { return "hyperty-runtime://example.org/carol" }

func (o *outside) peerbusCommand(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, o.binary, append(args, "--addr", o.addr)...)
}

// startOutside starts carol, with the Message Node at a port of a node.
func (t *test) startOutside(ctx context.Context) (*outside, error) {
	node, err := t.node(ctx)
	if err != nil {
		return nil, err
	}
	if err := refuse(ctx, node); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	binary, err := t.copyBinary()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(t.dir, "carol")
	_ = os.RemoveAll(dir) // of the step before
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, outsideUser, outsideUser)); err != nil {
		return nil, err
	}
	o := &outside{binary: binary, addr: addr, log: filepath.Join(t.dir, "carol.log")}
	file, err := os.Create(o.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the process has it
	o.process = exec.Command(binary, "runtime", "--runtime-url", o.url(), "--grpc-addr", addr, "--http-addr", "",
		"--data-dir", dir, "--node", "example.org="+net.JoinHostPort(node, "30400"), "--log-format", "json")
	o.process.Stdout, o.process.Stderr = file, file
	o.process.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: outsideUser, Gid: outsideUser}, Pdeathsig: syscall.SIGKILL,
	}
	if err := o.process.Start(); err != nil {
		return nil, err
	}
	_, err = ask(ctx, o, "status", "--wait", "--timeout", "30s")
	if err != nil {
		o.stop()
	}
	return o, err
}

// copyBinary puts the program where carol's user may read it.
func (t *test) copyBinary() (string, error) {
	text, err := os.ReadFile(t.binary)
	if err != nil {
		return "", err
	}
	path := filepath.Join(t.dir, "peerbus")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return path, os.WriteFile(path, text, 0o755)
}

// stop ends the process, and takes the table away.
func (o *outside) stop() {
	_ = o.process.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(10*time.Second, func() { _ = o.process.Process.Kill() })
	_ = o.process.Wait() // it was told to
	late.Stop()
	_ = nft(context.Background(), "delete table "+outsideTable)
}

// node gives the address of a node.
func (t *test) node(ctx context.Context) (string, error) {
	var list struct {
		Items []struct {
			Status struct {
				Addresses []struct{ Type, Address string }
			}
		}
	}
	if err := t.get(ctx, &list, "nodes"); err != nil {
		return "", err
	}
	for _, n := range list.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == "InternalIP" {
				return a.Address, nil
			}
		}
	}
	return "", errors.New("no node has an address")
}

// refuse keeps carol from all but the node.
func refuse(ctx context.Context, node string) error {
	_ = nft(ctx, "delete table "+outsideTable) // of a run that was killed
	return nft(ctx, fmt.Sprintf(`table %s {
		chain out { type filter hook output priority 0; meta skuid %d ip daddr != { 127.0.0.0/8, %s } reject; }
	}`, outsideTable, outsideUser, node))
}

func nft(ctx context.Context, rules string) error {
	_, err := execute(ctx, []byte(rules), nil, "nft", "-f", "-")
	return err
}

// freeAddr is one on loopback that nobody listens at.
func freeAddr() (string, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = lis.Close() }()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(lis.Addr().(*net.TCPAddr).Port)), nil
}
