// Package codec encodes and decodes messages and the frames that carry them: what
// protobuf's reflection does for every type, written out for the few types of which
// there are hundreds of thousands a second.
//
// The bytes are the same protobuf, and any protobuf reads them. The fields below
// are written out; every other field, which is rare, goes through package proto, and so
// does every other type:
//
//	AttachRequest   posts: sequence, message, wait, timeout, ingress, number, again; credits │ rest: proto
//	AttachResponse  outcomes; deliveries: listener, message; settled                        │ rest: proto
//	ListenResponse  deliveries                                                              │ rest: proto
//	Frame           messages; a fragment                                                    │ rest: proto
//	Message         all but the acks of its flow, and its trace                             │ rest: proto
//
// A decoded message has one copy of its bytes, made for it alone: a message that is kept keeps
// nothing of the frame that it came in. There are exceptions. Messages of a session (Messages)
// share a copy with those behind them that have the same receiver, up to a bound, and keep the
// bytes that they came in. Short messages of an attachment, at a bus (Request) and at a client
// (Received), share 3 KiB with some others, and texts with the one before. And those that
// follow each other and are alike stay in the memory of their frame until they are opened.
//
// The fields before the body mostly have the same bytes as in the message before: those are
// compared, and not read again (known).
//
// Messages that follow each other are mostly alike: they differ in id, body and number, and in
// their place in a flow, only. These are the words for that:
//
//	row      messages that follow each other and are alike: the first one, and its sequels
//	sequel   what a row has of each later message: id and body
//	Heading  what the messages of a row have in common
//	Run      posts of a frame that are alike, as a bus reads them
//	Lot      deliveries of a frame that are alike, as a client reads them
//	Carried  a message, or a row, with its bytes: for whoever passes it on, and looks at the
//	         first message of a row only
//
// Rows travel between a client and its bus, and in a flow between two buses. Of a packet whose
// messages are alike one is decoded, and the others stay bytes (UnmarshalPacket).
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
