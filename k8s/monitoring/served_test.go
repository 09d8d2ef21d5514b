package monitoring

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metric is what is served under a name: the values of each label.
type metric struct {
	kind   dto.MetricType
	labels map[string]map[string]bool
}

// served has all metrics of all services, from processes that run. It is made once.
var served = sync.OnceValues(serve)

func metrics(t *testing.T) map[string]*metric {
	t.Helper()
	all, err := served()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// serve builds the program, runs each of its services as a process of its own, and
// reads what each serves. They need not find each other for that.
func serve() (map[string]*metric, error) {
	dir, err := os.MkdirTemp("", "peerbus-monitoring-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "peerbus")
	build := exec.Command("go", "build", "-o", binary, "./cmd/peerbus")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	all := map[string]*metric{}
	for mode, flags := range map[string][]string{
		"msgnode":  {"--domain", "example.org", "--grpc-addr", "127.0.0.1:0"},
		"registry": {"--registry-addr", "127.0.0.1:0"},
		"bus":      {"--bus-addr", "127.0.0.1:0"},
		"p2pstub":  {"--p2pstub-addr", "127.0.0.1:0"},
		"nodestub": {"--nodestub-addr", "127.0.0.1:0"},
		"gateway":  {},
	} {
		if mode != "msgnode" {
			flags = append(flags, "--runtime-url", "hyperty-runtime://example.org/alice")
		}
		if mode == "msgnode" || mode == "registry" {
			flags = append(flags, "--data-dir", filepath.Join(dir, mode))
		}
		if err := serveOne(all, binary, mode, flags); err != nil {
			return nil, fmt.Errorf("%s: %w", mode, err)
		}
	}
	return all, nil
}

// patience bounds the start of a process, on a machine that may be slow.
const patience = 30 * time.Second

func serveOne(all map[string]*metric, binary, mode string, flags []string) error {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := lis.Addr().String()
	_ = lis.Close()
	var log strings.Builder
	process := exec.Command(binary, append([]string{mode, "--http-addr", addr}, flags...)...)
	process.Stdout, process.Stderr = &log, &log
	if err := process.Start(); err != nil {
		return err
	}
	families, err := read(addr)
	_ = process.Process.Signal(os.Interrupt)
	if end := process.Wait(); err != nil {
		return fmt.Errorf("%w, %v\n%s", err, end, log.String())
	}
	for name, f := range families {
		if all[name] == nil {
			all[name] = &metric{kind: f.GetType(), labels: map[string]map[string]bool{}}
		}
		all[name].add(f)
	}
	return nil
}

// read asks for the metrics of a process until it serves them.
func read(addr string) (map[string]*dto.MetricFamily, error) {
	tick, late := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		resp, err := http.Get("http://" + addr + "/metrics")
		if err == nil {
			parser := expfmt.NewTextParser(model.LegacyValidation)
			families, err := parser.TextToMetricFamilies(resp.Body)
			_ = resp.Body.Close()
			return families, err
		}
		select {
		case <-tick.C:
		case <-late:
			return nil, err
		}
	}
}

func (m *metric) add(f *dto.MetricFamily) {
	for _, series := range f.Metric {
		for _, l := range series.Label {
			if m.labels[l.GetName()] == nil {
				m.labels[l.GetName()] = map[string]bool{}
			}
			m.labels[l.GetName()][l.GetValue()] = true
		}
	}
}

// byPrometheus are labels that Prometheus sets itself.
var byPrometheus = map[string]bool{"job": true, "instance": true}

// find gives the metric of a series' name; a histogram has three.
func find(all map[string]*metric, name string) (m *metric, bucket, ok bool) {
	if name == "up" {
		return &metric{}, false, true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base, cut := strings.CutSuffix(name, suffix)
		if m := all[base]; cut && m != nil && m.kind == dto.MetricType_HISTOGRAM {
			return m, suffix == "_bucket", true
		}
	}
	m = all[name]
	return m, false, m != nil && m.kind != dto.MetricType_HISTOGRAM
}
