package rpc

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// Both ends of a connection have the bounds by which a dead one is found.
func TestSilenceIsBounded(t *testing.T) {
	lis, err := Listen("127.0.0.1:0", Security{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	dialed, err := DialTCP(t.Context(), "tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dialed.Close() }()
	soon, err := DialTCPWithin(t.Context(), "tcp", lis.Addr().String(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = soon.Close() }()
	if got := option(t, soon, syscall.IPPROTO_TCP, tcpUserTimeout); got != 1000 {
		t.Errorf("with a bound of its own it is %d", got)
	}
	accepted, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = accepted.Close() }()
	for name, conn := range map[string]net.Conn{"dialed": dialed, "accepted": accepted} {
		for _, o := range []struct{ level, option, want int }{
			{syscall.IPPROTO_TCP, tcpUserTimeout, int(deadAfter.Milliseconds())},
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, int(probeIdle.Seconds())},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, int(probeEvery.Seconds())},
		} {
			if got := option(t, conn, o.level, o.option); got != o.want {
				t.Errorf("%s: option %d is %d, want %d", name, o.option, got, o.want)
			}
		}
	}
}

func option(t *testing.T, conn net.Conn, level, option int) (value int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { value, err = syscall.GetsockoptInt(int(fd), level, option) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return value
}
