// Package framing turns messages into the packets of a data channel, and back
// (wire contract, section 11). A packet is one SCTP message.
//
// There are two framings. Both ends announce `peerbus.v1` in the data of their
// Connection objects to get the first; every other peer gets the older one.
//
//	peerbus.v1   ┌──────────────┐ ┌──────┐ ┌───────────────────┐ ┌──────┐
//	             │ Frame: m1 m2 │ │ m3.0 │ │ Frame: m4 m5 m6   │ │ m3.1 │ …
//	             └──────────────┘ └──────┘ └───────────────────┘ └──────┘
//	             small messages share a packet of some 16 or 32 KiB; a long one is
//	             cut up, and the pieces of several take turns with the rest;
//	             m2 leaves out what it has in common with m1 (sequel.go). Rows of a flow
//	             have packets of their own, to a peer that takes them
//
//	rethink      ┌────────────────────────────────┐ ┌──────────────────┐
//	             │ text {"uuid","data":{…m1…}}    │ │ binary uuid data │ …
//	             └────────────────────────────────┘ └──────────────────┘
//	             a text packet a message; content that is no text follows it
//
// An Encoder takes messages and gives packets; a Decoder the other way. Both are
// pure: no goroutine, no lock, no clock of their own. Each belongs to one
// goroutine: the Encoder to the writer of a channel, the Decoder to its reader.
//
// Invariants:
//   - messages with the same from and to come out in the order they went in;
//   - no packet is larger than Limits.Packet and Headroom, but for a text packet of the
//     older framing, which is bounded by Limits.Text, and one for a peer that takes longer
//     ones (Options.Packet), which is at most LongPacket;
//   - whatever comes in, a Decoder holds at most Limits.Reassembly bytes in at
//     most Limits.Transfers transfers. When a peer opens more, the transfer that
//     has been still for longest is given up, so that truncated ones cannot fill
//     the table;
//   - an error of Decode is about one packet; the channel goes on.
package framing
