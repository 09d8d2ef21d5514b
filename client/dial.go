package client

import (
	"crypto/tls"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// Dial makes a connection to a bus or a registry at HOST:PORT or unix:///PATH, for
// Config.Conn and for the clients of package peerbusv1. Several addresses, separated by
// commas, or a name that resolves to several, are replicas: each call goes to one that
// serves. The connection takes frames as large as a message can be, reconnects by itself,
// and notices a peer that is gone. It is opened when it is first used; calls wait until
// then, so bound them by their context. Without a config it is plain text, which a runtime
// takes on loopback; over a unix socket it always is.
func Dial(addr string, config *tls.Config, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	creds, near := insecure.NewCredentials(), rpc.Near(addr)
	if config != nil {
		near, creds = nil, rpc.PlainOnUnix(credentials.NewTLS(config))
	}
	target, opts := rpc.Listed(addr, append(append(near, rpc.Spread()), opts...))
	conn, err := grpc.NewClient(target, append(append(rpc.DialOptions(), grpc.WithTransportCredentials(creds)), opts...)...)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "address %q: %w", addr, err).In("addr")
	}
	return conn, nil
}

// Error is what the methods of a Bus fail with. Get it with errors.As. Its fields are
//
//	Code        Code   // an int, with HTTP's meaning (wire contract, section 2)
//	Description string // what is wrong, for people; the method Error gives it too
//	Field       string // the name of what is wrong, as the caller knows it; empty when it is no one thing
//
// and the codes
//
//	400  the message or the setting is malformed
//	403  the sender may not do that
//	404  nobody has that address
//	408  its time ran out; it may have been done
//	409  it stands against what is there
//	413  it is larger than a bound
//	429  there is no room now
//	500  a defect
//	503  it cannot be done now; it can be tried again
//
// besides those that a receiver answers with, which message.Result gives as an Error too.
type Error = fault.Error
