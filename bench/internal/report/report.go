package report

import (
	"encoding/json"
	"io"
	"time"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// Report of a run.
type Report struct {
	Program Program   `json:"program,omitzero"`
	Machine Machine   `json:"machine"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"` // that it took
	Short   bool      `json:"short"`   // little of everything: the figures say nothing
	Results []Result  `json:"results"`
}

// Result of a case.
type Result struct {
	Name    string      `json:"name"`
	What    string      `json:"what"`
	Beside  string      `json:"beside"`
	Rounds  int         `json:"rounds"`
	Seconds float64     `json:"seconds"`
	Rows    []round.Row `json:"rows,omitempty"`
	// Goals are what is to be reached; they are in Rows too, once there are any.
	Goals []round.Goal `json:"goals,omitempty"`
	// Missing says what is not built yet, Error why the case could not run.
	Missing string `json:"missing,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Failed tells how many cases could not run.
func (r *Report) Failed() (n int) {
	for _, x := range r.Results {
		if x.Error != "" {
			n++
		}
	}
	return n
}

// WriteJSON writes all of it.
func (r *Report) WriteJSON(w io.Writer) error { return write(w, r) }

func write(w io.Writer, all any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(all)
}

// Read reads what WriteJSON has written.
func Read(from io.Reader) (*Report, error) {
	r := &Report{}
	return r, read(from, "results", r)
}
