package codec

// A row is messages that follow each other and differ in id and body alone; their numbers
// rise by one. The first is there whole, the others are its sequels (Post.sequels,
// Delivery.sequels), which are the same bytes from a client to its bus and from there to
// another client:
//
//	post      number │ message: id heading body               │ sequel: id body │ …
//	delivery  listener │ message: id heading body origin number │ sequel: id body │ …
//
// Who cuts a row puts the first of what is behind together. Between two buses the messages
// are in a flow (pb.Row): what follows says nothing of that either, as sequences rise like
// numbers.

// Heading is what the messages of a row have in common, encoded.
type Heading struct {
	Front []byte // what is between id and body
	Back  []byte // what is between body and number
	Flow  RowFlow
}

// RowFlow is the flow that the messages of a row are in. The zero value is none.
type RowFlow struct {
	Name   FlowName
	Number uint64    // of the message whose place is
	At     FlowPlace // without acks or a receiver
}

// at is the place of the message with a number. Nothing is left out before one that is behind
// another one.
func (f *RowFlow) at(number uint64) FlowPlace {
	at := f.At
	if number != f.Number {
		at.Sequence, at.After = at.Sequence+number-f.Number, 0
	}
	return at
}

// Size is how many bytes the flow adds to the message with a number.
func (f *RowFlow) Size(number uint64) int {
	if f.Name == nil {
		return 0
	}
	at := f.at(number)
	return sizeWith(at.size(f.Name, nil))
}

func (f *RowFlow) append(b []byte, number uint64) []byte {
	if f.Name == nil {
		return b
	}
	at := f.at(number)
	return appendFlow(b, f.Name, &at, nil, at.size(f.Name, nil))
}

// In gives the heading of the same messages when they are in a flow. It is in the memory
// behind b, which must have room for it.
func (h *Heading) In(b []byte, flow RowFlow) ([]byte, Heading) {
	from := len(b)
	front := from + len(h.Front)
	b = append(append(b, h.Front...), h.Back...)
	return b, Heading{Front: b[from:front:front], Back: b[front:len(b):len(b)], Flow: flow}
}

// Size is the size of a message of the row, with its number, or without one (0).
func (h *Heading) Size(p *Plain, number uint64) int {
	return h.sizeOf(sizeLong(len(p.ID))+sizeLong(len(p.Body)), number)
}

// sizeOf is Size of a message whose id and body take so many bytes.
func (h *Heading) sizeOf(own int, number uint64) int {
	return own + len(h.Front) + len(h.Back) + sizeNumber(number) + h.Flow.Size(number)
}

// AppendMessage appends the whole message that a sequel stands for, with its number, or
// without one (0).
func (h *Heading) AppendMessage(b, sequel []byte, number uint64) []byte {
	own := cutSequel(sequel)
	id := idEnd(own)
	b = append(append(b, own[:id]...), h.Front...)
	b = append(append(b, own[id:]...), h.Back...)
	return h.Flow.append(appendNumber(b, 13, number), number)
}

func (h *Heading) size(sequel []byte, number uint64) int {
	return h.sizeOf(len(cutSequel(sequel)), number)
}

// AppendContent appends the content of a post of the message that a sequel stands for.
func (h *Heading) AppendContent(b, sequel []byte) []byte {
	return h.AppendMessage(appendLength(b, 2, h.size(sequel, 0)), sequel, 0)
}

// ContentSize is how much AppendContent appends.
func (h *Heading) ContentSize(sequel []byte) int { return sizeWith(h.size(sequel, 0)) }

// AppendDelivery appends to an AttachResponse a delivery to a listener of that name, of the
// message that a sequel stands for. The sequels that are to follow it have so many bytes.
func (h *Heading) AppendDelivery(frame []byte, listener string, sequel []byte, number uint64, others int) []byte {
	frame = appendDeliveryHead(frame, listener, h.size(sequel, number), others)
	return h.AppendMessage(frame, sequel, number)
}

// AppendWhole is AppendDelivery of a post without sequels.
func (h *Heading) AppendWhole(frame []byte, listener string, p *Plain, number uint64) []byte {
	frame = appendDeliveryHead(frame, listener, h.Size(p, number), 0)
	frame = append(appendBytes(frame, 1, p.ID), h.Front...)
	frame = append(appendBytes(frame, 10, p.Body), h.Back...)
	return appendNumber(frame, 13, number)
}

// FrontSize bounds what AppendDelivery appends besides id and body.
func (h *Heading) FrontSize(listener string) int {
	return MaxDelivery(listener) + len(h.Front) + len(h.Back) + MaxFlow(h.Flow.Name)
}

// SequelSize is that of a post as one that follows another one of the row, and of what that has of
// its message.
func (p *Plain) SequelSize() (size, own int) {
	if p.sequel() {
		return len(p.Encoded), p.own
	}
	own = sizeLong(len(p.ID)) + sizeLong(len(p.Body))
	return sizeWith(own), own
}

// AppendSequels appends posts of a run in the form of sequels.
func AppendSequels(b []byte, posts []Plain) []byte {
	for len(posts) > 0 {
		p, n, size := &posts[0], 0, 0
		for ; n < len(posts) && posts[n].sequel(); n++ {
			size += len(posts[n].Encoded)
		}
		if n > 0 { // they are one behind the other
			b, posts = append(b, p.Encoded[:size]...), posts[n:]
			continue
		}
		b, posts = appendSequel(b, p.ID, p.Body), posts[1:]
	}
	return b
}

func appendSequel(b, id, body []byte) []byte {
	b = appendLength(b, 9, sizeLong(len(id))+sizeLong(len(body)))
	return appendBytes(appendBytes(b, 1, id), 10, body)
}

// cutSequel gives the fields of a sequel.
func cutSequel(sequel []byte) []byte {
	_, n := uvarint(sequel[1:])
	return sequel[1+n:]
}

// HeadingOf is the heading of the row that a post may begin, from the content of that post.
func HeadingOf(content []byte) Heading {
	_, n := uvarint(content[1:])
	return Heading{Front: headOf(content[1+n:])}
}
