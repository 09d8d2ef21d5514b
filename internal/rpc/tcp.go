package rpc

import (
	"context"
	"net"
	"time"
)

// A TCP connection whose other side is gone without a word, as behind a network
// that drops every packet, is ended by the kernel after deadAfter, whether something
// is under way or not. A side that is only slow is not given up, since its kernel
// answers; nor is one behind a lossy network, since each probe has two more behind
// it.
const (
	deadAfter  = 5 * time.Second
	probeIdle  = 2 * time.Second // of silence, until the first probe
	probeEvery = time.Second
	probeCount = 3
)

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: probeIdle, Interval: probeEvery, Count: probeCount}

// DialTCP opens a TCP connection that ends soon after its other side is gone.
func DialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	return DialTCPWithin(ctx, network, addr, deadAfter)
}

// DialTCPWithin has another bound for what is sent and not acknowledged.
func DialTCPWithin(ctx context.Context, network, addr string, silence time.Duration) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: boundSilence(silence)}
	return d.DialContext(ctx, network, addr)
}

// listenTCP opens a listener whose connections are such.
func listenTCP(addr string) (net.Listener, error) {
	l := net.ListenConfig{KeepAliveConfig: keepAlive, Control: boundSilence(deadAfter)}
	return l.Listen(context.Background(), "tcp", addr)
}
