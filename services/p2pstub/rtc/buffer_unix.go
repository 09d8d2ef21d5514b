//go:build unix

package rtc

import (
	"net"
	"runtime"
	"syscall"
)

// receiveBuffer is what the system has granted, in bytes.
func receiveBuffer(socket *net.UDPConn) (int, bool) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false
	}
	var size int
	var failed error
	err = raw.Control(func(fd uintptr) {
		size, failed = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF) // a descriptor
	})
	if err != nil || failed != nil {
		return 0, false
	}
	if runtime.GOOS == "linux" {
		size /= 2 // Linux reports its own overhead too
	}
	return size, true
}
