package rpc

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/peerbus/peerbus/internal/fault"
)

// UnixScheme is what the address of a unix socket begins with; its whole path follows.
const UnixScheme = "unix://"

// SocketMode is the permissions of a unix socket, unless Security has others: who may open
// it can speak for the runtime, and that is its own user alone.
const SocketMode fs.FileMode = 0o600

// maxSocketPath is how long the path of a socket may be on this system, in bytes.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// UnixPath gives the path of the unix socket that `unix:///PATH` names; it is empty for an
// address of another form. The error says what is wrong with the path.
func UnixPath(addr string) (path string, err error) {
	if !strings.HasPrefix(addr, "unix:") {
		return "", nil
	}
	path, ok := strings.CutPrefix(addr, UnixScheme)
	switch {
	case !ok || !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/"):
		return "", fault.New(fault.BadRequest, "want unix:///PATH, with the whole path of the socket")
	case len(path) > maxSocketPath:
		return "", fault.New(fault.BadRequest, "the path of a unix socket has %d bytes at most, not %d", maxSocketPath, len(path))
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("%?#,", r) }):
		return "", fault.New(fault.BadRequest, "the path of a unix socket has no space and none of %%?#, in it")
	}
	return path, nil
}

// DialAddr opens a connection to HOST:PORT, as DialTCP does, or to unix:///PATH.
func DialAddr(ctx context.Context, addr string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(addr, UnixScheme); ok {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return DialTCP(ctx, "tcp", addr)
}

// listenUnix opens a listener whose socket is removed when it is closed. What a process
// that was killed has left there is removed before; what is in use, or no socket, stays.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	unlock, err := lockDir(filepath.Dir(path)) // of two that find the same left one, the second would remove the first's new one
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l := net.ListenConfig{Control: withMode(mode)}
	lis, err := l.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil { // a system may not have taken it before
		_ = lis.Close()
		return nil, err
	}
	return removing(lis, path), nil
}

// socket is a listener that removes its socket, and not one that somebody has put in its
// place since.
type socket struct {
	net.Listener
	path   string
	info   fs.FileInfo
	remove sync.Once
}

func removing(lis net.Listener, path string) net.Listener {
	l, ok := lis.(*net.UnixListener)
	info, err := os.Lstat(path)
	if !ok || err != nil {
		return lis
	}
	l.SetUnlinkOnClose(false)
	return &socket{Listener: l, path: path, info: info}
}

// Close removes the socket, and closes the listener.
func (s *socket) Close() error {
	s.remove.Do(func() {
		if info, err := os.Lstat(s.path); err == nil && os.SameFile(info, s.info) {
			_ = os.Remove(s.path)
		}
	})
	return s.Listener.Close()
}

// answerTime bounds the question whether somebody listens to a socket.
const answerTime = time.Second

// removeStale removes a socket that nobody listens to.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fault.New(fault.Conflict, "there is a file that is no socket")
	}
	conn, err := net.DialTimeout("unix", path, answerTime)
	switch {
	case err == nil:
		_ = conn.Close()
		return syscall.EADDRINUSE
	case !errors.Is(err, syscall.ECONNREFUSED):
		return err
	}
	return os.Remove(path)
}

// PlainOnUnix has connections over unix sockets without TLS, whatever others have: the
// system lets those use them alone who may open the file.
func PlainOnUnix(c credentials.TransportCredentials) credentials.TransportCredentials {
	return plainOnUnix{c}
}

type plainOnUnix struct {
	credentials.TransportCredentials
}

func (c plainOnUnix) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if isUnix(conn.LocalAddr()) {
		return insecure.NewCredentials().ClientHandshake(ctx, authority, conn)
	}
	return c.TransportCredentials.ClientHandshake(ctx, authority, conn)
}

func (c plainOnUnix) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if isUnix(conn.LocalAddr()) {
		return insecure.NewCredentials().ServerHandshake(conn)
	}
	return c.TransportCredentials.ServerHandshake(conn)
}

func (c plainOnUnix) Clone() credentials.TransportCredentials {
	return plainOnUnix{c.TransportCredentials.Clone()}
}

func isUnix(a net.Addr) bool { return a != nil && a.Network() == "unix" }
