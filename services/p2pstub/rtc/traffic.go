package rtc

import "sync/atomic"

// Traffic is what has passed the sockets of an Engine, headers of UDP and IP not
// counted. What goes over a TURN server leaves by pion's own sockets, and is not in it.
type Traffic struct {
	Sent, Received Datagrams
	// Dropped are the datagrams that came faster than their connection took them.
	Dropped uint64
}

// Datagrams by what is in them: STUN is of ICE, and DTLS has all else, with what SCTP
// sends again.
type Datagrams struct{ STUN, DTLS Amount }

// Amount of datagrams.
type Amount struct{ Number, Bytes uint64 }

// meter counts the traffic of a mux.
type meter struct {
	sent, received datagramCounts
	dropped        atomic.Uint64
}

type datagramCounts struct{ stun, dtls amountCount }

type amountCount struct{ number, bytes atomic.Uint64 }

func (c *datagramCounts) add(b []byte) {
	switch {
	case isSTUN(b):
		c.stun.add(len(b))
	case isDTLS(b):
		c.dtls.add(len(b))
	}
}

func (c *amountCount) add(bytes int) {
	c.number.Add(1)
	c.bytes.Add(uint64(bytes)) // a length
}

// Traffic of both sockets so far.
func (e *Engine) Traffic() (t Traffic) {
	e.mu.Lock()
	beside := e.beside
	e.mu.Unlock()
	e.mux.meter.addTo(&t)
	if beside != nil {
		beside.meter.addTo(&t)
	}
	return t
}

func (m *meter) addTo(t *Traffic) {
	m.sent.addTo(&t.Sent)
	m.received.addTo(&t.Received)
	t.Dropped += m.dropped.Load()
}

func (c *datagramCounts) addTo(d *Datagrams) {
	c.stun.addTo(&d.STUN)
	c.dtls.addTo(&d.DTLS)
}

func (c *amountCount) addTo(a *Amount) {
	a.Number += c.number.Load()
	a.Bytes += c.bytes.Load()
}
