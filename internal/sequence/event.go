package sequence

import (
	"encoding/json"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// Event is one line of a trace.
type Event struct {
	Time    time.Time
	Service string
	Runtime string // empty for a Message Node
	Message string
	Attrs   map[string]string
}

// ParseEvent reads a line of a JSON log.
func ParseEvent(line []byte) (Event, error) {
	var raw map[string]any
	if err := json.Unmarshal(line, &raw); err != nil {
		return Event{}, fault.New(fault.BadRequest, "log line: %w", err)
	}
	e := Event{Attrs: map[string]string{}}
	for key, value := range raw {
		text, ok := value.(string)
		if !ok {
			continue
		}
		switch key {
		case "time":
			at, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				return Event{}, fault.New(fault.BadRequest, "log line: %w", err)
			}
			e.Time = at
		case "service":
			e.Service = text
		case "msg":
			e.Message = text
		default:
			e.Attrs[key] = text
		}
	}
	// A Message Node's line may name the runtime that it relays to; its own
	// place is the node.
	if e.Service != "msgnode" {
		e.Runtime = e.Attrs["runtime"]
	}
	if e.Message == "" || e.Time.IsZero() {
		return Event{}, fault.New(fault.BadRequest, "log line has no msg or no time")
	}
	return e, nil
}
