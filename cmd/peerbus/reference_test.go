package main

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peerbus/peerbus/internal/config"
	"github.com/peerbus/peerbus/internal/local"
)

// updateReference writes docs/reference anew: `make reference`.
var updateReference = flag.Bool("update", false, "write docs/reference anew")

// isWritten compares a page with what the program says, or writes it.
func isWritten(t *testing.T, page, want string) {
	t.Helper()
	path := "../../docs/reference/" + page
	if *updateReference {
		if err := os.MkdirAll("../../docs/reference", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { // likewise
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) == want {
		return
	}
	old := strings.Split(string(have), "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(old) || old[i] != line {
			t.Fatalf("docs/reference/%s is not fresh: run make reference. Line %d should be\n%s", page, i+1, line)
		}
	}
	t.Fatalf("docs/reference/%s is not fresh: run make reference. It is too long", page)
}

func TestReferenceOfFlags(t *testing.T) {
	isWritten(t, "flags.md", flagsPage(newRoot(nil)))
}

// flagsPage has every command with its flags, from the tree that the program runs.
func flagsPage(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Commands and flags\n\n" +
		"Made from the program by `make reference`; do not edit.\n\n" +
		"Each flag can be given as an environment variable, or in the YAML file of `--config` under the name of the flag. " +
		"The command line comes first, then the environment, then the file. " +
		"A flag that may be given several times takes its values separated by spaces in the environment, and as a list in the file.\n")
	section(&b, "All commands", "", root.PersistentFlags())
	walk(root, func(c *cobra.Command) {
		if c == root || c.Hidden || !c.IsAvailableCommand() {
			return
		}
		about := c.Short + ".\n\n`" + strings.TrimSuffix(c.UseLine(), " [flags]") + "`\n"
		if c.HasAvailableSubCommands() {
			about = c.Short + ".\n"
		}
		section(&b, c.CommandPath(), about, c.NonInheritedFlags())
	})
	return b.String()
}

func section(b *strings.Builder, title, about string, flags *pflag.FlagSet) {
	fmt.Fprintf(b, "\n## %s\n", title)
	if about != "" {
		fmt.Fprintf(b, "\n%s", about)
	}
	var rows [][]string
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" && f.Name != "version" {
			rows = append(rows, flagRow(f))
		}
	})
	markdownTable(b, []string{"flag", "default", "environment", "meaning"}, rows)
}

func flagRow(f *pflag.Flag) []string {
	placeholder, usage := pflag.UnquoteUsage(f)
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if placeholder != "" {
		name += " " + placeholder
	}
	value := ""
	if f.DefValue != "" && f.DefValue != "[]" {
		value = "`" + f.DefValue + "`"
	}
	env := config.Prefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
	return []string{"`" + name + "`", value, "`" + env + "`", usage}
}

// markdownTable writes rows as Markdown; none at all without rows.
func markdownTable(b *strings.Builder, head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			b.WriteString(" " + strings.ReplaceAll(c, "|", `\|`) + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	line(head)
	b.WriteString("|" + strings.Repeat(" --- |", len(head)) + "\n")
	for _, r := range rows {
		line(r)
	}
}

// The page of metrics comes from what each service really serves, in a process of its
// own; and a runtime in one process serves the same.
func TestReferenceOfMetrics(t *testing.T) {
	system := newSystem(t)
	node := startNode(t, system)
	separate := startRuntime(t, system, "alice", local.Separate, []*local.Node{node})
	whole := startRuntime(t, system, "bob", local.AllInOne, []*local.Node{node})
	gateway := startGateway(t, system, separate)
	pages := []servicePage{
		{"registry", scrape(t, separate.MetricsAddrs["registry"])}, {"bus", scrape(t, separate.MetricsAddrs["bus"])},
		{"p2pstub", scrape(t, separate.MetricsAddrs["p2pstub"])}, {"nodestub", scrape(t, separate.MetricsAddrs["nodestub"])},
		{"gateway", scrape(t, gateway)}, {"msgnode", scrape(t, node.HTTPAddr)},
	}
	isWritten(t, "metrics.md", metricsPage(t, pages))

	together := map[string]bool{}
	for _, p := range pages[:5] {
		for name := range p.families {
			together[name] = true
		}
	}
	for name := range scrape(t, whole.MetricsAddrs["runtime"]) {
		if !together[name] {
			t.Errorf("a runtime in one process has %s, which no service has", name)
		}
		delete(together, name)
	}
	for name := range together {
		t.Errorf("a runtime in one process has no %s", name)
	}
}

// startGateway runs the gateway of a runtime as a process of its own.
func startGateway(t *testing.T, system *local.System, of *local.Runtime) (addr string) {
	t.Helper()
	addrs, err := local.FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = system.Start("gateway of "+of.URL, "gateway", "--runtime-url", of.URL, "--http-addr", addrs[0],
		"--bus-addr", of.BusAddr, "--registry-addr", of.RegistryAddr)
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0]
}

// servicePage is what one service serves.
type servicePage struct {
	service  string
	families map[string]*dto.MetricFamily
}

// everywhere are the metrics of Go and of the process that the page names; which others
// there are depends on the version of Go.
var everywhere = []string{"go_goroutines", "go_memstats_heap_alloc_bytes", "process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"}

func metricsPage(t *testing.T, pages []servicePage) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Metrics\n\n" +
		"Made from what the services serve by `make reference`; do not edit.\n\n" +
		"Each process serves its metrics for Prometheus at `/metrics` of its `--http-addr`. " +
		"A runtime in one process serves those of registry, bus, p2pstub, nodestub and gateway together. " +
		"Every series is there from the start, at zero; no label has an address in it.\n\n" +
		"[k8s/monitoring](../../k8s/monitoring) has a dashboard and alerts made of them.\n\n## Every process\n")
	build := pages[0].families["peerbus_build_info"]
	if build == nil {
		t.Fatal("no peerbus_build_info")
	}
	markdownTable(&b, metricsHead, [][]string{{"`peerbus_build_info`", "gauge", "`go_version`, `version`", build.GetHelp()}})
	b.WriteString("\nBesides, those of the Go runtime (`go_…`) and of the process (`process_…`):")
	for _, name := range everywhere {
		for _, p := range pages {
			if p.families[name] == nil {
				t.Errorf("%s has no %s", p.service, name)
			}
		}
		b.WriteString(" `" + name + "`")
	}
	b.WriteString(" and others.\n")
	stores := map[string]*dto.MetricFamily{}
	for _, p := range pages {
		var rows [][]string
		for _, name := range slices.Sorted(maps.Keys(p.families)) {
			switch {
			case !ours(name) || name == build.GetName():
			case strings.HasPrefix(name, "peerbus_store_") && slices.Contains(keeping, p.service):
				stores[name] = p.families[name]
			case !strings.HasPrefix(name, "peerbus_"+p.service+"_"):
				t.Errorf("%s serves %s", p.service, name)
			default:
				rows = append(rows, metricRow(p.families[name]))
			}
		}
		fmt.Fprintf(&b, "\n## %s\n", p.service)
		markdownTable(&b, metricsHead, rows)
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(stores)) {
		rows = append(rows, metricRow(stores[name]))
	}
	fmt.Fprintf(&b, "\n## The store\n\nOf those that keep something: %s.\n", strings.Join(keeping, ", "))
	markdownTable(&b, metricsHead, rows)
	return b.String()
}

// keeping are the services that have a store.
var keeping = []string{"registry", "msgnode"}

var metricsHead = []string{"metric", "type", "labels", "meaning"}

func metricRow(f *dto.MetricFamily) []string {
	values := map[string][]string{}
	for _, m := range f.Metric {
		for _, l := range m.Label {
			values[l.GetName()] = append(values[l.GetName()], l.GetValue())
		}
	}
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		slices.Sort(values[name])
		labels = append(labels, "`"+name+"`: "+strings.Join(slices.Compact(values[name]), ", "))
	}
	return []string{
		"`" + f.GetName() + "`", strings.ToLower(f.GetType().String()),
		cmp.Or(strings.Join(labels, "; "), " "), f.GetHelp(),
	}
}
