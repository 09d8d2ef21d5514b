package report

import (
	"encoding/json"
	"io"

	"github.com/peerbus/peerbus/internal/fault"
)

// read reads a report of the kind that has this key: results of cases, or curves. That of
// the other kind is told apart by what it has.
func read(from io.Reader, key string, to any) error {
	text, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	var has map[string]json.RawMessage
	if err := json.Unmarshal(text, &has); err != nil {
		return err
	}
	_, results := has["results"]
	_, curves := has["curves"]
	switch {
	case !results && !curves:
		return fault.New(fault.BadRequest, "it has neither results of cases nor curves")
	case key == "results" && !results:
		return fault.New(fault.BadRequest, "it has the curves of -growth, and no cases: give -growth too")
	case key == "curves" && !curves:
		return fault.New(fault.BadRequest, "it has results of cases, and no curves: leave out -growth")
	}
	return json.Unmarshal(text, to)
}
