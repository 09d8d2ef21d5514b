package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cable leads to a gateway, and can be cut.
type cable struct {
	lis   net.Listener
	to    string
	parts sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{lis: lis, to: to}
	c.parts.Go(c.accept)
	t.Cleanup(func() {
		_ = lis.Close()
		c.cut()
		c.parts.Wait()
	})
	return c
}

func (c *cable) addr() string { return c.lis.Addr().String() }

func (c *cable) accept() {
	for {
		near, err := c.lis.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, near, far)
		c.mu.Unlock()
		c.parts.Go(func() { pass(near, far) })
		c.parts.Go(func() { pass(far, near) })
	}
}

// pass copies until either side ends, which ends the other.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

// cut ends all connections; new ones may be made.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}
