package load

import "time"

// DoSetUp has a worker set up a connection, and close it: → SetUp. The connection of the
// one before is over by then.
const DoSetUp = "set-up"

// DoRest has it close the connection that there is: →. Nothing happens then until the next
// call.
const DoRest = "rest"

// SetUp is how long one took.
type SetUp struct {
	Open  time.Duration // until the connection could be used
	First time.Duration // until the first message was there, and this was known
}
