// Package codec encodes and decodes messages and the frames that carry them: what
// protobuf's reflection does for every type, written out for the few types of which
// there are hundreds of thousands a second.
//
// The bytes are the same protobuf, and any protobuf reads them. Of a frame only its
// messages and what stands beside each of them is written out; everything that is rare
// goes through package proto, and so does every other type:
//
//	AttachRequest   posts: sequence, message, wait, timeout, ingress, number, again; credits │ rest: proto
//	AttachResponse  outcomes; deliveries: listener, message; settled                        │ rest: proto
//	ListenResponse  deliveries                                                              │ rest: proto
//	Frame           messages; a fragment                                                    │ rest: proto
//	Message         all but the acks of its flow, and its trace                             │ rest: proto
//
// What is decoded shares one copy of its bytes, made for each message by itself: a
// message that is kept keeps nothing of the frame that it came in.
// Messages of a session (Messages) share one with those behind them that have the same
// receiver, up to a bound, and have the bytes that they came in. Those of an attachment,
// at a bus (Request) and at a client (Received), share 3 KiB with some others when they
// are short, and texts with the one before; but those that follow each other and are alike
// (Run, Lot) stay in the memory of their frame until they are opened.
//
// What one message says before its body is mostly what the one before it says: the bytes
// are compared, and not read (known).
//
// Between a client and its bus, what follows a message that it is alike to is its sequel, and
// says id and body alone (Heading). So does what follows one in its flow, between the two buses:
// who passes such a row on looks at its first message (Carried).
//
// Of a packet whose messages are alike one is decoded, and the others are bytes (UnmarshalPacket).
//
// A client encodes a post as it is posted (Content), and makes frames of such bytes
// (AppendHead, AppendCredit, Encoded).
//
// Texts are checked to be UTF-8 when they are decoded. Whoever makes a message checks
// them (message.CheckText), so encoding does not.
//
// All functions may be called at the same time, as long as nobody changes what they
// encode.
package codec
