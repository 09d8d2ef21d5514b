package codec

// Deliveries for who passes messages on are read in two steps: first it is found where
// each message is, then those that follow each other for one listener are read together,
// as those of a session are (Messages): mostly they go on together.

// readPassed reads the messages of the deliveries that have been noted.
func (m *Received) readPassed(f frame) error {
	all := m.Deliveries
	for _, g := range m.Groups {
		for of := all[:g.Length]; len(of) > 0; {
			n, size := togetherFor(of)
			if err := m.readTogether(f, of[:n], size); err != nil {
				return err
			}
			of = of[n:]
		}
		all = all[g.Length:]
	}
	return nil
}

// togetherFor gives how many of the first deliveries of a listener are read together, and
// of how many bytes.
func togetherFor(all []Delivered) (n, size int) {
	for n, size = 1, len(all[0].Encoded); n < len(all) && !all[0].isRead(); n++ {
		next := all[n].Encoded
		if n == mostTogether || all[n].isRead() || size+len(next) > together {
			break
		}
		size += len(next)
	}
	return n, size
}

// isRead tells whether it has been read, or has no message.
func (d *Delivered) isRead() bool { return d.Encoded == nil || d.row != nil }

func (m *Received) readTogether(f frame, all []Delivered, size int) error {
	if all[0].isRead() {
		return nil
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
