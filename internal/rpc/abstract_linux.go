package rpc

import (
	"net"
	"os"
	"syscall"
)

// hasAbstract tells whether the system has abstract unix sockets.
const hasAbstract = true

// overflowUID is what the system gives for a user that is not of this process's user
// namespace (user_namespaces(7)): it may be anybody.
const overflowUID = 65534

// trusted tells whether who listens at the other side of a unix socket is of the same user
// as this process, or root.
func trusted(conn net.Conn) bool {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return false
	}
	var peer *syscall.Ucred
	if e := raw.Control(func(fd uintptr) {
		peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); e != nil || err != nil {
		return false
	}
	return isTrusted(int(peer.Uid), os.Geteuid())
}

func isTrusted(uid, own int) bool { return uid == 0 || uid == own && uid != overflowUID }
