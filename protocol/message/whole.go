package message

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/peerbus/peerbus/internal/fault"
)

// Whole is a whole number in a body, however it is written: 2, 2.0 and 2e0 are the same
// number in JSON, and older peers write "2". Null leaves it as it is.
type Whole int

// maxExact is up to where a number with a fraction or an exponent is read exactly.
const maxExact = min(1<<53, math.MaxInt)

// UnmarshalJSON reads one.
func (w *Whole) UnmarshalJSON(raw []byte) error {
	var n *json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return errNotWhole(raw)
	}
	if n == nil {
		return nil
	}
	i, err := strconv.Atoi(n.String())
	if err == nil {
		*w = Whole(i)
		return nil
	}
	f, err := n.Float64()
	if err != nil || f != math.Trunc(f) || math.Abs(f) > maxExact {
		return errNotWhole(raw)
	}
	*w = Whole(f)
	return nil
}

func errNotWhole(raw []byte) error {
	return fault.New(fault.BadRequest, "%.20s is no whole number", raw)
}
