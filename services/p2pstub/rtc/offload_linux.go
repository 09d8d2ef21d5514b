package rtc

import (
	"encoding/binary"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Linux takes and gives several datagrams of one length in one call: segmentation of
// what is sent (UDP_SEGMENT), and the reverse of it (UDP_GRO).

// controlSize is what the length of the datagrams takes beside a message.
var controlSize = unix.CmsgSpace(4)

// joinsDatagrams asks the system to give what came together in one read.
func joinsDatagrams(socket *net.UDPConn) bool {
	return setUDP(socket, unix.UDP_GRO, 1)
}

// cutsDatagrams tells whether the system cuts what is sent into datagrams.
func cutsDatagrams(socket *net.UDPConn) bool {
	return setUDP(socket, unix.UDP_SEGMENT, 0)
}

func setUDP(socket *net.UDPConn, option, value int) bool {
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_UDP, option, value) // a descriptor
	})
	return err == nil && failed == nil
}

// joinedSize reads the length of the datagrams that came in one read; 0: it was one.
func joinedSize(control []byte) int {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return 0
		}
		if header.Level == unix.SOL_UDP && header.Type == unix.UDP_GRO && len(data) >= 4 {
			return int(binary.NativeEndian.Uint32(data))
		}
		control = rest
	}
	return 0
}

// cutInto is the control message that has the system cut what is sent. It writes to b,
// which has controlSize.
func cutInto(b []byte, size int) []byte {
	header := (*unix.Cmsghdr)(unsafe.Pointer(&b[0])) // b is long enough, and aligned as an allocation is
	header.Level, header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	header.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size)) // of a datagram
	return b[:unix.CmsgSpace(2)]
}
