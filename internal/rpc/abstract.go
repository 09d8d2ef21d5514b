package rpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"google.golang.org/grpc"
)

// Abstract opens listeners at abstract unix sockets beside those at TCP ports on loopback,
// where the system has such sockets and s neither has TLS nor forbids them: gRPC over them
// takes a fifth less CPU, and who dials the port (Near) takes the socket of itself (ADR
// 0033). The error tells of those that could not be opened, as their name is in
// use; their ports are served nonetheless.
//
// A socket is named after its port, is of the same network namespace, and is gone with its
// listener.
func Abstract(listeners []net.Listener, s Security) (all []net.Listener, err error) {
	if !s.abstract() {
		return nil, nil
	}
	for _, lis := range listeners {
		for _, addr := range onLoopback(lis.Addr()) {
			near, wrong := net.Listen("unix", abstractName(addr))
			if wrong == nil {
				all = append(all, near)
			}
			err = errors.Join(err, wrong)
		}
	}
	return all, err
}

// abstract tells whether connections of this process may go over abstract sockets.
func (s Security) abstract() bool {
	return hasAbstract && !s.NoAbstract && s.CertFile == "" && s.CAFile == ""
}

// abstractName is the name of the socket beside a TCP port.
func abstractName(port netip.AddrPort) string { return "@peerbus/" + port.String() }

// onLoopback gives the ports on loopback at which a listener is reached.
func onLoopback(a net.Addr) []netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return nil
	}
	at := func(ip netip.Addr) netip.AddrPort { return netip.AddrPortFrom(ip, uint16(tcp.Port)) } // a port
	v4, ip := netip.AddrFrom4([4]byte{127, 0, 0, 1}), tcp.AddrPort().Addr().Unmap()
	switch {
	case ip.IsLoopback():
		return []netip.AddrPort{at(ip)}
	case ip == netip.IPv4Unspecified():
		return []netip.AddrPort{at(v4)}
	case ip == netip.IPv6Unspecified():
		return []netip.AddrPort{at(v4), at(netip.IPv6Loopback())}
	}
	return nil
}

// Near has a connection without TLS to HOST:PORT on loopback, or to several of them, go
// over the abstract sockets beside the ports, where there are some. It gives no option for
// a target of another form.
func Near(target string) []grpc.DialOption {
	for addr := range strings.SplitSeq(target, ",") {
		host, _, err := net.SplitHostPort(strings.TrimSpace(addr))
		ip, _ := netip.ParseAddr(host)
		if err != nil || host != "localhost" && !ip.IsLoopback() {
			return nil
		}
	}
	return []grpc.DialOption{grpc.WithContextDialer(Security{}.DialAddr)}
}

// DialAddr opens a connection for gRPC to IP:PORT or unix:///PATH: over the abstract socket
// beside the port, where there is one that is trusted, or else as the function DialAddr does.
func (s Security) DialAddr(ctx context.Context, addr string) (net.Conn, error) {
	if s.abstract() {
		if conn := dialAbstract(ctx, addr); conn != nil {
			return conn, nil
		}
	}
	return DialAddr(ctx, addr)
}

// dialAbstract gives a connection to the abstract socket beside a TCP port, or nil. Its
// other side must be of the same user or root: unlike a port, a name can be taken by others
// and its server go on without.
func dialAbstract(ctx context.Context, addr string) net.Conn {
	port, err := netip.ParseAddrPort(addr)
	if err != nil || !port.Addr().IsLoopback() {
		return nil
	}
	port = netip.AddrPortFrom(port.Addr().Unmap(), port.Port()) // as the listener has it
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", abstractName(port))
	if err != nil {
		return nil
	}
	if !trusted(conn) {
		_ = conn.Close()
		return nil
	}
	return conn
}
