package rpc

import (
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT (RFC 5482), which package syscall does not
// name.
const tcpUserTimeout = 18

// boundSilence bounds how long what was sent may go without an acknowledgement.
// A connection has it from its listener.
func boundSilence(most time.Duration) func(network, addr string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(most.Milliseconds()))
		}); e != nil {
			return e
		}
		return err
	}
}
