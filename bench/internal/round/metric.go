package round

// Metric is one thing that a Sample says, with its unit. Two are the same when both
// fields are.
type Metric struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
}

// Metrics that more than one case has.
var (
	Throughput = Metric{"throughput", "messages/s"}
	Latency    = Metric{"median", "µs"}
	Tail       = Metric{"99th percentile", "µs"}
	CPU        = Metric{"CPU", "µs/message"}
	Allocs     = Metric{"allocations", "1/message"}
	Memory     = Metric{"resident memory", "MiB"}
)

// Sample is what one side has shown in one round.
type Sample map[Metric]float64

// Bound is the direction of a Goal.
type Bound string

// Bounds.
const (
	AtLeast Bound = "at least"
	AtMost  Bound = "at most"
)

// Goal is a ratio, ours to the baseline's, that is to be reached in a Metric.
type Goal struct {
	Metric Metric  `json:"metric"`
	Bound  Bound   `json:"bound"`
	Ratio  float64 `json:"ratio"`
}

// Least and Most make goals.
func Least(m Metric, ratio float64) Goal { return Goal{m, AtLeast, ratio} }

// Most is Least the other way.
func Most(m Metric, ratio float64) Goal { return Goal{m, AtMost, ratio} }

// Reached tells whether a ratio is as good as the goal wants it.
func (g Goal) Reached(ratio float64) bool {
	if g.Bound == AtLeast {
		return ratio >= g.Ratio
	}
	return ratio <= g.Ratio
}
