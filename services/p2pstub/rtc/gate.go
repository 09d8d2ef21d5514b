package rtc

import "sync"

// maxHeld is how many DTLS records are kept before pion takes them: some flights, of a
// few records each. More are dropped, as UDP may.
const maxHeld = 32

// gate keeps the DTLS records of a peer until pion has who reads them. Before that pion
// drops them, and the handshake stands still until the other side repeats its flight.
type gate struct {
	mu   sync.Mutex
	open bool
	shut []*muxConn
}

// hold has a conn wait for the gate. It is called before the conn is used.
func (g *gate) hold(c *muxConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open {
		c.shut = true
		g.shut = append(g.shut, c)
	}
}

// lift opens the gate for good.
func (g *gate) lift() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	for _, c := range g.shut {
		c.release()
	}
	g.shut = nil
}

// release hands over what is held.
func (c *muxConn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, c.held...)
	c.held, c.shut = nil, false
	c.more.Signal()
}
