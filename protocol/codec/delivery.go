package codec

// InPlace makes the post of a run a delivery where it is in its frame: in memory of Buffers
// that is the caller's from Give on. Nil when it has no room there, or there is too much else. What is before it in the frame is written over, and is
// to be done with.
func (r *Request) InPlace(run *Run, listener string, origin []byte) (memory *[]byte, delivery []byte) {
	plain, in := r.plain[run.from].Encoded, &r.pieces[run.piece]
	if run.Len() != 1 || r.plain[run.from].sequel() || !in.holds(plain, r.Room) || OriginSize(origin, run.First) > r.Room {
		return nil, nil
	}
	var space [front]byte
	head := appendDeliveryHead(space[:0], listener, len(plain)+OriginSize(origin, run.First), 0)
	end := in.front + len(in.data)
	from := end - len(plain) - len(head)
	if from < 0 {
		return nil, nil
	}
	copy((*in.memory)[from:], head)
	delivery = AppendOrigin((*in.memory)[from:end], origin, run.First)
	return in.memory, delivery
}

// Give gives the memory away that InPlace gave.
func (r *Request) Give(run *Run) { r.pieces[run.piece].memory = nil }

// appendDeliveryHead appends what is in front of a message of so many bytes, behind which are
// so many bytes of sequels.
func appendDeliveryHead(frame []byte, listener string, size, sequels int) []byte {
	frame = appendLength(frame, 3, sizeText(listener)+sizeWith(size)+sequels)
	return appendLength(appendText(frame, 1, listener), 2, size)
}

// MaxDelivery bounds the bytes of a delivery besides its id and body, and besides what its
// message has in common with others.
func MaxDelivery(listener string) int {
	const lengths, number = 5 * (1 + maxVarint32), 1 + maxVarint64
	return len(listener) + lengths + number
}

const maxVarint32, maxVarint64 = 5, 10
