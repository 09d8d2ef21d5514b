package codec

import (
	stdbytes "bytes" // bytes is a kind of field here
	"strings"
	"unicode/utf8"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// Messages of a flow that a stub posts mostly differ from the one before in id, body,
// number and sequence alone, and the latter two rise by one. Such make a run as well, and
// so does one by itself that might go on:
//
//	via │ id │ type from to │ via │ body │ origin │ number │ flow: name, sequence, base, replica
//	 *          ══════════    *            ══════    + 1           ════    + 1             *
//
// What is marked is the same, byte for byte, also what is at one place or another (*): a
// stub that passes the bytes on has its via in front, and the replica is in the name.

// Inbound is what the messages of a run that came in a flow have in common. Its texts and
// Origin are in the memory of the frame: they are valid until Request.Clear.
type Inbound struct {
	Ingress *pb.Ingress
	Via     string
	Origin  []byte
	// Flow has the name of the flow, and the place of the first message. Its Base is that
	// of the last one, and not above the first's sequence; only the first has an After.
	Flow pb.Flow

	// Of each, encoded: a via that is in front, the flow's name, and a replica behind its place.
	ingress, via, origin, name, replica []byte
}

// readInbound takes a post that is a message of a flow as most are; false for any other.
func (r *Request) readInbound(data []byte, last **pb.Ingress) bool {
	encoded, ingress := field(data, tag(2, bytes))
	ingress, sequels := cutIngress(ingress)
	if encoded == nil || len(ingress) == 0 || len(encoded) > longestPlain {
		return false
	}
	run := r.lastRun()
	if (run == nil || run.In == nil || !run.goesOnInbound(r, ingress, encoded)) && !r.beginInbound(ingress, encoded, last) {
		return false
	}
	if len(sequels) == 0 {
		return true
	}
	run = r.lastRun()
	return run.In.rises() && r.readSequels(run.First+uint64(run.Len())-1, sequels) // not negative
}

// cutIngress cuts off the sequels that are behind an ingress.
func cutIngress(b []byte) (ingress, sequels []byte) {
	_, rest := field(b, tag(5, bytes))
	if empty, ok := stdbytes.CutPrefix(b, []byte(emptyIngress)); ok {
		rest = empty
	}
	if len(rest) == 0 || rest[0] != tag(9, bytes) {
		return b, nil
	}
	return b[:len(b)-len(rest)], rest
}

// rises tells whether sequels may follow: what is theirs ends with their place.
func (in *Inbound) rises() bool { return len(in.replica) == 0 }

// follow makes it that of a run whose first message is n behind that of another one.
func (in *Inbound) follow(before *Inbound, n uint64) {
	in.Ingress, in.Via, in.Origin = before.Ingress, before.Via, before.Origin
	in.ingress, in.via, in.origin, in.name, in.replica = before.ingress, before.via, before.origin, before.name, before.replica
	f, of := &in.Flow, &before.Flow
	f.Runtime, f.Epoch, f.Id, f.Sequence, f.Base, f.Replica = of.Runtime, of.Epoch, of.Id, of.Sequence+n, of.Base, of.Replica
}

// goesOnInbound adds the next message to a run, if it belongs to it.
func (run *Run) goesOnInbound(r *Request, ingress, encoded []byte) bool {
	in, n := run.In, uint64(run.Len()) // not negative
	if run.Before != len(r.Posts) || run.Len() >= runPosts || run.size >= runBytes || string(ingress) != string(in.ingress) {
		return false
	}
	rest, ok := stdbytes.CutPrefix(encoded, in.via)
	id, rest := field(rest, tag(1, bytes))
	if !ok || id == nil || !utf8.Valid(id) || !stdbytes.HasPrefix(rest, run.block) {
		return false
	}
	body, rest := field(rest[len(run.block):], tag(10, bytes))
	if !stdbytes.HasPrefix(rest, in.origin) {
		return false
	}
	number, rest := numberField(rest[len(in.origin):], tag(13, varint))
	flow, rest := field(rest, tag(14, bytes))
	if number == 0 || number != run.First+n || len(rest) > 0 || !stdbytes.HasPrefix(flow, in.name) {
		return false
	}
	sequence, place := numberField(flow[len(in.name):], tag(4, varint))
	base, place := numberField(place, tag(5, varint))
	if sequence == 0 || sequence != in.Flow.Sequence+n || string(place) != string(in.replica) || base < in.Flow.Base || base > in.Flow.Sequence {
		return false
	}
	in.Flow.Base = base
	run.push(r, &Plain{ID: id, Body: body, Encoded: encoded})
	return true
}

// beginInbound begins a run with a message.
func (r *Request) beginInbound(ingress, encoded []byte, last **pb.Ingress) bool {
	run := r.newRun()
	run.In = r.inbound()
	run.In.ingress = ingress
	p, ok := run.readFirst(encoded)
	if !ok || run.In.Via == "" || !run.In.readIngress(last) {
		*run.In = Inbound{} // Clear does not know of it
		return false
	}
	r.inbounds = r.inbounds[:len(r.inbounds)+1]
	r.Runs = append(r.Runs, run)
	r.lastRun().push(r, &p)
	return true
}

// inbound gives the next of those that are made.
func (r *Request) inbound() *Inbound {
	n := len(r.inbounds)
	if n == cap(r.inbounds) {
		r.inbounds = append(r.inbounds, &Inbound{})[:n]
	}
	if next := r.inbounds[:n+1]; next[n] == nil {
		next[n] = &Inbound{}
	}
	return r.inbounds[:n+1][n]
}

// clearInbounds lets go of the frame. It keeps those that are made, unless they are many.
func (r *Request) clearInbounds() {
	for _, in := range r.inbounds {
		*in = Inbound{}
	}
	if r.inbounds = r.inbounds[:0]; cap(r.inbounds) > keptInbounds {
		r.inbounds = nil
	}
}

// keptInbounds is how many a Request keeps: a full frame of messages none of which is alike to
// the one before.
const keptInbounds = 2 * runPosts

// readFirst reads what the first message has, and the others are to have too.
func (run *Run) readFirst(encoded []byte) (p Plain, ok bool) {
	in := run.In
	via, rest := field(encoded, tag(5, bytes))
	in.via = encoded[:len(encoded)-len(rest)]
	p.Encoded = encoded
	p.ID, rest = field(rest, tag(1, bytes))
	if p.ID == nil || !utf8.Valid(p.ID) || !run.begin(rest) {
		return p, false
	}
	head := rest
	rest = rest[len(run.block):]
	if via == nil {
		via, rest = field(rest, tag(5, bytes))
		run.block = head[:len(head)-len(rest)]
	}
	p.Body, rest = field(rest, tag(10, bytes))
	origin, next := field(rest, tag(12, bytes))
	in.origin = rest[:len(rest)-len(next)]
	run.First, next = numberField(next, tag(13, varint))
	flow, next := field(next, tag(14, bytes))
	if origin == nil || run.First == 0 || len(next) > 0 || !utf8.Valid(via) {
		return p, false
	}
	in.Via, in.Origin = lentText(via), origin
	run.heading = len(encoded) - sizeLong(len(p.ID)) - sizeLong(len(p.Body))
	return p, in.readFlow(flow)
}

// readFlow reads name and place of the first message.
func (in *Inbound) readFlow(flow []byte) bool {
	f := &in.Flow
	runtime, rest := field(flow, tag(1, bytes))
	f.Epoch, rest = numberField(rest, tag(2, varint))
	f.Id, rest = numberField(rest, tag(3, varint))
	replica, rest := field(rest, tag(9, bytes))
	in.name = flow[:len(flow)-len(rest)]
	f.Sequence, rest = numberField(rest, tag(4, varint))
	f.Base, rest = numberField(rest, tag(5, varint))
	f.After, rest = numberField(rest, tag(8, varint))
	if in.replica = rest; replica == nil {
		replica, rest = field(rest, tag(9, bytes))
	}
	f.Runtime, f.Replica = lentText(runtime), lentText(replica)
	return runtime != nil && utf8.Valid(runtime) && utf8.Valid(replica) && f.Epoch > 0 && f.Id > 0 &&
		f.Sequence > 0 && f.Base > 0 && f.Base <= f.Sequence && len(rest) == 0
}

// emptyIngress is that of a Message Node, encoded.
var emptyIngress = string([]byte{tag(5, bytes), 0})

// readIngress reads where it came in, which is as the last mostly.
func (in *Inbound) readIngress(last **pb.Ingress) bool {
	value, more := field(in.ingress, tag(5, bytes))
	if string(in.ingress) == emptyIngress {
		value, more = nil, nil
	}
	remote, rest := field(value, tag(1, bytes))
	if len(more) > 0 || len(rest) > 0 || !utf8.Valid(remote) {
		return false
	}
	if isIngress(value, *last) {
		in.Ingress = *last
		return true
	}
	in.Ingress = &pb.Ingress{RemoteRuntimeUrl: strings.Clone(lentText(remote))}
	*last = in.Ingress
	return true
}
