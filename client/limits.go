package client

import "time"

// Limits bound an attachment.
type Limits struct {
	// Outbox is how many bytes of messages may wait for the stream before Send,
	// Post and Request wait too. Default 1 MiB: some tens of full frames.
	Outbox int
	// Window is how many bytes the bus may have under way to a listener whose
	// handler has not returned. Default 256 KiB: keeps a handler busy over any
	// local stream, and is what a stopped handler costs.
	Window int
	// Calls is how many calls may wait for their outcome. Default 65,536: more
	// means that the bus does not answer.
	Calls int
	// RequestTimeout is for a Request whose context has no deadline. Default
	// 15 s, what older buses wait.
	RequestTimeout time.Duration
}

// DefaultLimits are used for the fields of Limits that are zero.
func DefaultLimits() Limits {
	return Limits{Outbox: 1 << 20, Window: 256 << 10, Calls: 1 << 16, RequestTimeout: 15 * time.Second}
}

func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	if l.Outbox <= 0 {
		l.Outbox = d.Outbox
	}
	if l.Window <= 0 {
		l.Window = d.Window
	}
	if l.Calls <= 0 {
		l.Calls = d.Calls
	}
	if l.RequestTimeout <= 0 {
		l.RequestTimeout = d.RequestTimeout
	}
	return l
}

// Bounds of a frame: many small messages share one, a long one goes alone.
const frameBytes = 16 << 10
