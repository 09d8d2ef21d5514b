package gateway

import "slices"

// replay is the end of what was written of a subscription: a queue with a bound in
// events and in bytes, whose oldest make room for new ones. Its events are numbered
// from 1.
type replay struct {
	maxEvents, maxBytes int

	events []*event // in order
	bytes  int
	last   uint64 // number of the newest
}

func newReplay(maxEvents, maxBytes int) *replay {
	return &replay{maxEvents: maxEvents, maxBytes: maxBytes}
}

// add keeps an event and numbers it. The newest is kept whatever its size.
func (r *replay) add(data []byte) uint64 {
	r.last++
	r.events = append(r.events, &event{number: r.last, data: data})
	r.bytes += len(data)
	for len(r.events) > 1 && (len(r.events) > r.maxEvents || r.bytes > r.maxBytes) {
		r.bytes -= len(r.events[0].data)
		r.events[0] = nil
		r.events = r.events[1:]
	}
	return r.last
}

// after gives what follows an event, as far as it is kept, and the number behind
// which that begins; ok is false when some of it is not kept, or when there is no such
// event yet.
func (r *replay) after(number uint64) (events []*event, position uint64, ok bool) {
	if number > r.last {
		return nil, r.last, false
	}
	follows := min(r.last-number, uint64(len(r.events)))
	position = r.last - follows
	return slices.Clone(r.events[uint64(len(r.events))-follows:]), position, position == number
}
