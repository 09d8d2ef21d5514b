package codec

import pb "github.com/peerbus/peerbus/gen/peerbus/v1"

// Deliveries for who passes messages on are read in two steps: first it is found where
// each message is, then those that follow each other for one listener are read together,
// as those of a session are (Messages): mostly they go on together.

// pass notes a delivery whose message is to be read. One that is not as an encoder does
// it is read by itself.
func (m *Received) pass(data []byte) error {
	var d Delivered
	r := reader{b: data}
	for r.next() {
		switch {
		case r.tag == tag(1, bytes):
			d.Listener = m.listener(&r)
		case r.tag == tag(2, bytes) && d.Encoded == nil:
			d.Encoded, d.Size = r.long, len(r.long)
		case r.tag == tag(2, bytes):
			r.odd = true
		default:
			r.skip()
		}
	}
	if r.err == nil && (r.odd || len(r.rest) > 0) {
		var whole pb.Delivery
		r.odd = true
		r.err = r.end(data, &whole)
		d = Delivered{Listener: whole.Listener, Carried: Bare(whole.Message), Size: Size(whole.Message)}
	}
	m.Deliveries = append(m.Deliveries, d)
	return r.err
}

// readPassed reads the messages of the deliveries that have been noted.
func (m *Received) readPassed(f frame) error {
	for all := m.Deliveries; len(all) > 0; {
		n, size := togetherFor(all)
		if err := m.readTogether(f, all[:n], size); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// togetherFor gives how many of the first deliveries are read together, and of how many
// bytes.
func togetherFor(all []Delivered) (n, size int) {
	for n, size = 1, len(all[0].Encoded); n < len(all) && all[0].Encoded != nil; n++ {
		next := all[n]
		if n == mostTogether || next.Encoded == nil || next.Listener != all[0].Listener || size+len(next.Encoded) > together {
			break
		}
		size += len(next.Encoded)
	}
	return n, size
}

func (m *Received) readTogether(f frame, all []Delivered, size int) error {
	if all[0].Encoded == nil {
		return nil // it has been read, or has no message
	}
	m.run = m.run[:0]
	for _, d := range all {
		m.run = append(m.run, Carried{Encoded: d.Encoded})
	}
	err := m.run.readRun(f, size)
	for i, c := range m.run {
		all[i].Carried = c
	}
	clear(m.run)
	return err
}
