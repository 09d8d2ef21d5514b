package codec

// InPlace makes the post of a run a delivery, as AppendDelivery does, where it is in its
// frame: in memory of Buffers that is the caller's from Give on. Nil when it has no room
// there, or there is too much else. What is before it in the frame is written over, and is
// to be done with.
func (r *Request) InPlace(run *Run, listener string, origin []byte) (memory *[]byte, delivery []byte) {
	plain, in := r.plain[run.from].Encoded, &r.pieces[run.piece]
	if run.Len() != 1 || r.plain[run.from].sequel || !in.holds(plain, r.Room) || OriginSize(origin, run.First) > r.Room {
		return nil, nil
	}
	var space [front]byte
	head := appendDeliveryHead(space[:0], listener, len(plain)+OriginSize(origin, run.First))
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

// AppendDelivery appends a delivery to an AttachResponse, for a listener of that name: of
// a plain message, with whose post it is and which one.
func AppendDelivery(frame []byte, listener string, plain, origin []byte, number uint64) []byte {
	frame = appendDeliveryHead(frame, listener, len(plain)+OriginSize(origin, number))
	return AppendOrigin(append(frame, plain...), origin, number)
}

// appendDeliveryHead appends what is in front of a message of so many bytes.
func appendDeliveryHead(frame []byte, listener string, size int) []byte {
	frame = append(frame, tag(3, bytes))
	frame = appendVarint(frame, uint64(sizeText(listener)+sizeWith(size))) //nolint:gosec // a size
	if listener != "" {
		frame = append(frame, tag(1, bytes))
		frame = appendVarint(frame, uint64(len(listener)))
		frame = append(frame, listener...)
	}
	return appendVarint(append(frame, tag(2, bytes)), uint64(size)) //nolint:gosec // likewise
}

// MaxDelivery bounds what AppendDelivery appends to the bytes of a message.
func MaxDelivery(listener string, origin []byte) int {
	const lengths = 3*(1+maxVarint32) + 1 + maxVarint64 + 2
	return lengths + len(listener) + len(origin) + maxVarint32
}

const maxVarint32, maxVarint64 = 5, 10
