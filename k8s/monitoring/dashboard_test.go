package monitoring

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what the test reads of dashboard.json.
type dashboard struct {
	Title         string
	UID           string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
}

type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		RefID, Expr, LegendFormat string
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	data, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// variables of Grafana, as they may stand in an expression, by what they can become.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*")

var legendLabel = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// Each expression of the dashboard is about what the services serve, and each of our
// metrics is on it.
func TestDashboard(t *testing.T) {
	all, d := metrics(t), readDashboard(t)
	shown := map[string]bool{}
	expressions := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			expressions++
			result, used, wrong := check(all, variables.Replace(target.Expr))
			for _, w := range wrong {
				t.Errorf("%s: %s", p.Title, w)
			}
			for _, l := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !result[l[1]] {
					t.Errorf("%s: the legend %q has %s, the result of %s has not", p.Title, target.LegendFormat, l[1], target.Expr)
				}
			}
			for _, name := range used {
				for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
					shown[strings.TrimSuffix(name, suffix)] = true
				}
			}
		}
	}
	if expressions < 50 {
		t.Errorf("%d expressions were read", expressions)
	}
	for name := range all {
		if strings.HasPrefix(name, "peerbus_") && !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// Grafana takes the dashboard: panels have ids of their own and do not overlap, rows
// are those that are promised, and variables lead to what is served.
func TestDashboardIsWellFormed(t *testing.T) {
	d := readDashboard(t)
	if d.Title != "peerbus" || d.UID == "" || d.SchemaVersion < 39 {
		t.Errorf("%q, %q, schema %d", d.Title, d.UID, d.SchemaVersion)
	}
	var rows []string
	ids, cells := map[int]string{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] != "" {
			t.Errorf("%s and %s have the id %d", p.Title, ids[p.ID], p.ID)
		}
		ids[p.ID] = p.Title
		if p.Type == "row" {
			rows = append(rows, p.Title)
		} else if len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s is in the place of %q", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
	want := []string{"Messages", "Paths", "Connections", "Set-up", "Queues", "Message Node", "Gateway", "Process"}
	if !slices.Equal(rows, want) {
		t.Errorf("rows %v, want %v", rows, want)
	}
	all := metrics(t)
	values := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		parts := values.FindStringSubmatch(v.Definition)
		if parts == nil {
			t.Errorf("%s: %q", v.Name, v.Definition)
			continue
		}
		result, _, wrong := check(all, variables.Replace(parts[1]))
		if len(wrong) > 0 || !result[parts[2]] {
			t.Errorf("%s: %v; is %s a label of it?", v.Name, wrong, parts[2])
		}
	}
}
