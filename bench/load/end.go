package load

import (
	"bytes"
	"context"
)

// End of a way. Send and Ask are not called side by side.
type End interface {
	// Send hands over one message. It may wait while there is no room for it. The
	// body must stay as it is.
	Send(ctx context.Context, body []byte) error
	// Flush has all leave that was sent.
	Flush(ctx context.Context) error
	// Ask sends a request, and waits for its answer.
	Ask(ctx context.Context, body []byte) error
}

// Body makes a JSON object of so many bytes, at least 12.
func Body(size int) []byte {
	const before, after = `{"value":"`, `"}`
	return bytes.Join([][]byte{[]byte(before), bytes.Repeat([]byte{'x'}, max(0, size-len(before)-len(after))), []byte(after)}, nil)
}
