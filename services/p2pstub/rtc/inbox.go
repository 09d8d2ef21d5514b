package rtc

import (
	"net"
	"net/netip"
)

// inbox reads a socket: several datagrams in one call, where the system joins those of
// one length from one address. It is for one goroutine.
type inbox struct {
	socket    *net.UDPConn
	buf       []byte
	control   []byte
	datagrams [][]byte // of the last read, in buf
}

func newInbox(socket *net.UDPConn) *inbox {
	if joinsDatagrams(socket) {
		return &inbox{socket: socket, buf: make([]byte, 64<<10), control: make([]byte, controlSize)}
	}
	return &inbox{socket: socket, buf: make([]byte, maxDatagram)}
}

// read waits for datagrams of one address.
func (i *inbox) read() (netip.AddrPort, error) {
	n, size, from, err := i.readMessage()
	if err != nil {
		return netip.AddrPort{}, err
	}
	if size <= 0 {
		size = n
	}
	i.datagrams = i.datagrams[:0]
	for b := i.buf[:n]; len(b) > 0; {
		one := b[:min(size, len(b))]
		i.datagrams = append(i.datagrams, one)
		b = b[len(one):]
	}
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), nil
}

// readMessage gives the length of the datagrams too; 0: it is one.
func (i *inbox) readMessage() (n, size int, from netip.AddrPort, err error) {
	if i.control == nil {
		n, from, err = i.socket.ReadFromUDPAddrPort(i.buf)
		return n, 0, from, err
	}
	n, controlled, _, from, err := i.socket.ReadMsgUDPAddrPort(i.buf, i.control)
	return n, joinedSize(i.control[:controlled]), from, err
}
