package worker

import "encoding/json"

// maxLine bounds a line: a description of a peer connection has some KiB.
const maxLine = 1 << 20

type call struct {
	ID   int             `json:"id"`
	Do   string          `json:"do"`
	Args json.RawMessage `json:"args,omitempty"`
}

type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}
