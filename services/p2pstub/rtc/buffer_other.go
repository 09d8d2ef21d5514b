//go:build !unix

package rtc

import "net"

func receiveBuffer(*net.UDPConn) (int, bool) { return 0, false }
