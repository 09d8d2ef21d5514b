package flow

// ID names a flow of a runtime: when its bus was started, and which of its flows
// it is.
type ID struct{ Epoch, Number uint64 }

// Path is a set of ways to the remote runtime.
type Path uint8

// The ways.
const (
	Direct Path = 1 << iota // the p2p connection
	Relay                   // the Message Node
	Both   = Direct | Relay
)

// String of a path is for logs and stories.
func (p Path) String() string {
	switch p {
	case Direct:
		return "direct"
	case Relay:
		return "relay"
	case Both:
		return "both"
	}
	return "none"
}

// Paths says which ways there are now.
type Paths struct {
	Direct, Relay bool
	// Doubt: the direct way is quiet; everything goes both ways.
	Doubt bool
}

// there are these ways.
func (p Paths) there() Path {
	var ways Path
	if p.Direct {
		ways |= Direct
	}
	if p.Relay {
		ways |= Relay
	}
	return ways
}

// Place is what a message says of its flow, as in the fields of the same names of
// pb.Flow.
type Place struct {
	// Sequence is the place of the message. In a Transmission without a value it
	// is no place: 0, or that of a message that has come and that After is about.
	Sequence uint64
	// Base: everything below it has been dealt with or given up.
	Base uint64
	// After: nothing comes between it and Sequence any more. 0: there is nothing
	// between Sequence and the one before.
	After uint64
}

// Item is a message that is posted.
type Item struct {
	Address string
	// Lane is what the ways keep the order of: what has another one may overtake.
	// All of a lane has one address. Empty: the address.
	Lane string
	// Size in bytes with all that it takes in memory. It is what counts for all
	// limits; less than 256 counts as that.
	Size  int
	Value any // not nil
}

// Several is the Value of messages that are posted together: they have one address and
// one lane, and follow each other.
type Several interface {
	Len() int
	// Size is that of the messages from one to before another, as in Item; each counts
	// for 256 at least.
	Size(from, to int) int
}

// Transmission is a message to be sent now, or are several: then Place is that of the
// first, those behind it have the sequences that follow, and After is for the first alone.
type Transmission struct {
	Place
	Path  Path // the way or ways
	Again bool // it has been sent before
	// Receiver is the latest one that has acknowledged the flow, when this is sent
	// again or asks; 0: there was none. A receiver in its place has to be a later one.
	Receiver uint64
	// Value is that of the Item. Nil: the message has no body and is of type
	// `flow`, and the receiver has to be told of the Place alone.
	Value any
	// From and Count say which of Several; 0 and 1 of another Value.
	From, Count int
}

// Settled is a message that the sender keeps no more, or are several.
type Settled struct {
	Sequence uint64 // of the first; 0: it was never sent
	Value    any
	// From and Count say which of Several; 0 and 1 of another Value.
	From, Count int
	Ways        Path // those that it has been sent
	// Code is 0 when it has been dealt with, else that of a refusal: 408 when it
	// was given up, and what became of it is not known.
	Code        int32
	Description string
	// Plain: it went, or has to go, as a message without a flow.
	Plain bool
	// Unsent: it has to be sent; with Plain only.
	Unsent bool
}

// Delivery is a message whose turn it is.
type Delivery struct {
	Sequence uint64
	Value    any
}

// Stats count since the beginning of a flow.
type Stats struct {
	Sent  uint64 // transmissions of messages
	Again uint64 // of these, of what had been sent before
	Lost  uint64 // messages that were found to be lost on a way
	Bare  uint64 // transmissions without a message: questions and passed places
}

// overhead is the least that a message counts for: what is kept of it here.
const overhead = 256
