package monitoring

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

var promQL = parser.NewParser(parser.Options{})

// check says what is wrong with an expression: a metric, a label or a value that no
// service serves, or a rate of what is no counter. It gives the labels of its result.
func check(all map[string]*metric, text string) (result map[string]bool, used []string, wrong []string) {
	expr, err := promQL.ParseExpr(text)
	if err != nil {
		return nil, nil, []string{err.Error()}
	}
	c := &checker{all: all, used: map[string]bool{}}
	result = c.labelsOf(expr)
	return result, slices.Sorted(maps.Keys(c.used)), c.wrong
}

type checker struct {
	all   map[string]*metric
	used  map[string]bool // names of metrics
	wrong []string
}

func (c *checker) say(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// labelsOf gives the labels of an expression's result, and looks at all below it.
func (c *checker) labelsOf(e parser.Expr) map[string]bool {
	switch e := e.(type) {
	case *parser.VectorSelector:
		return c.selector(e)
	case *parser.MatrixSelector:
		return c.labelsOf(e.VectorSelector)
	case *parser.SubqueryExpr:
		return c.labelsOf(e.Expr)
	case *parser.ParenExpr:
		return c.labelsOf(e.Expr)
	case *parser.UnaryExpr:
		return c.labelsOf(e.Expr)
	case *parser.AggregateExpr:
		return c.aggregate(e)
	case *parser.BinaryExpr:
		return c.binary(e)
	case *parser.Call:
		return c.call(e)
	case *parser.NumberLiteral, *parser.StringLiteral:
		return nil
	default:
		c.say("%T is not looked at: teach the test", e)
		return nil
	}
}

func (c *checker) selector(s *parser.VectorSelector) map[string]bool {
	m, bucket, ok := find(c.all, s.Name)
	if !ok {
		c.say("no service serves %s", s.Name)
		return nil
	}
	c.used[s.Name] = true
	has := maps.Clone(byPrometheus)
	for name := range m.labels {
		has[name] = true
	}
	if bucket {
		has["le"] = true
	}
	for _, l := range s.LabelMatchers {
		if l.Name != model.MetricNameLabel && !byPrometheus[l.Name] && l.Name != "le" {
			c.matcher(s.Name, m, l)
		}
	}
	return has
}

// matcher wants each value that is named, and each alternative, to be served.
func (c *checker) matcher(name string, m *metric, l *labels.Matcher) {
	values, ok := m.labels[l.Name]
	if !ok {
		c.say("%s has no label %s", name, l.Name)
		return
	}
	for alternative := range strings.SplitSeq(l.Value, "|") {
		pattern := regexp.QuoteMeta(alternative)
		if l.Type == labels.MatchRegexp || l.Type == labels.MatchNotRegexp {
			pattern = alternative
		}
		exact, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			c.say("%s: %v", l, err)
			continue
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(values)), exact.MatchString) {
			c.say("%s is never %q at %s: it is one of %v", l.Name, alternative, name, slices.Sorted(maps.Keys(values)))
		}
	}
}

func (c *checker) aggregate(e *parser.AggregateExpr) map[string]bool {
	below := c.labelsOf(e.Expr)
	if e.Without {
		c.say("without: name the labels that are kept")
		return nil
	}
	out := map[string]bool{}
	for _, name := range e.Grouping {
		if !below[name] {
			c.say("by (%s): %s has no such label", name, e.Expr)
		}
		out[name] = true
	}
	return out
}

func (c *checker) binary(e *parser.BinaryExpr) map[string]bool {
	left, right := c.labelsOf(e.LHS), c.labelsOf(e.RHS)
	if e.VectorMatching == nil {
		if left == nil {
			return right
		}
		return left
	}
	if e.VectorMatching.On {
		for _, name := range e.VectorMatching.MatchingLabels {
			if !left[name] || !right[name] {
				c.say("on (%s): not both sides have that label in %s", name, e)
			}
		}
		return left
	}
	if !maps.Equal(left, right) {
		c.say("the sides have other labels, so nothing matches: %v and %v in %s",
			slices.Sorted(maps.Keys(left)), slices.Sorted(maps.Keys(right)), e)
	}
	return left
}

func (c *checker) call(e *parser.Call) map[string]bool {
	var out map[string]bool
	for _, arg := range e.Args {
		if l := c.labelsOf(arg); l != nil {
			out = l
		}
	}
	switch e.Func.Name {
	case "rate", "increase", "irate":
		c.counter(e)
	case "histogram_quantile":
		if !out["le"] {
			c.say("%s has no le", e)
		}
		out = maps.Clone(out)
		delete(out, "le")
	}
	return out
}

// counter wants what a rate is taken of to be one.
func (c *checker) counter(e *parser.Call) {
	m, ok := e.Args[0].(*parser.MatrixSelector)
	if !ok {
		return
	}
	s, ok := m.VectorSelector.(*parser.VectorSelector)
	if !ok {
		return
	}
	if found, _, ok := find(c.all, s.Name); ok && found.kind == dto.MetricType_GAUGE {
		c.say("%s of the gauge %s", e.Func.Name, s.Name)
	}
}

// What is looked for is found: the check can fail.
func TestMistakesAreFound(t *testing.T) {
	all := metrics(t)
	for expr, want := range map[string]string{
		`sum(rate(peerbus_bus_message_total[5m]))`:                                                "no service serves peerbus_bus_message_total",
		`sum by (reason) (rate(peerbus_bus_messages_total[5m]))`:                                  "no such label",
		`peerbus_bus_messages_total{outcome="sent"}`:                                              `never "sent"`,
		`peerbus_bus_messages_total{outcome=~"delivered|sent"}`:                                   `never "sent"`,
		`peerbus_bus_messages_total{domain="x"}`:                                                  "no label domain",
		`rate(peerbus_bus_listeners[5m])`:                                                         "of the gauge",
		`peerbus_p2pstub_setup_seconds`:                                                           "no service serves",
		`histogram_quantile(0.9, sum by (role) (rate(peerbus_p2pstub_setup_seconds_bucket[5m])))`: "no le",
		`sum by (job) (peerbus_bus_listeners) / sum(peerbus_bus_routes)`:                          "nothing matches",
		`sum by (path) (peerbus_bus_listeners`:                                                    "parse error",
	} {
		if _, _, wrong := check(all, expr); len(wrong) == 0 || !strings.Contains(strings.Join(wrong, "\n"), want) {
			t.Errorf("%s: %v, want %s", expr, wrong, want)
		}
	}
	if result, used, wrong := check(all, `sum by (path) (rate(peerbus_bus_messages_total{outcome="delivered"}[5m])) > 0`); len(wrong) > 0 ||
		!maps.Equal(result, map[string]bool{"path": true}) || !slices.Equal(used, []string{"peerbus_bus_messages_total"}) {
		t.Errorf("%v %v %v", result, used, wrong)
	}
}
