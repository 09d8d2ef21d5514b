package drive

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	"github.com/peerbus/peerbus/internal/fault"
)

// Member is a process of a side.
type Member interface {
	PID() int
	// Mallocs is how many objects it has allocated since its start.
	Mallocs(ctx context.Context) (uint64, error)
	// Profile writes a CPU profile into a file, of so many whole seconds.
	Profile(ctx context.Context, file string, lasts time.Duration) error
}

// Worker is a process of this program as a Member.
type Worker struct{ *worker.Process }

// Mallocs asks the worker.
func (w Worker) Mallocs(ctx context.Context) (uint64, error) {
	var heap load.Heap
	err := w.Call(ctx, load.DoMemory, nil, &heap)
	return heap.Mallocs, err
}

// Service is a process of peerbus as a Member.
type Service struct {
	ID       int
	Name     string // for files
	HTTPAddr string // where its metrics are
	// ProfileAddr is where its profiles are, if it serves them.
	ProfileAddr string
	// Dial is how that is reached; nil when it is from this network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// PID of the process.
func (s Service) PID() int { return s.ID }

// Mallocs reads the metrics of the service.
func (s Service) Mallocs(ctx context.Context) (uint64, error) {
	n, err := s.Metric(ctx, "go_memstats_mallocs_total")
	return uint64(n), err
}

// Metric gives the value of a metric, by its name with its labels as they are served.
func (s Service) Metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTPAddr+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fault.New(fault.NotFound, "the metrics at %s have no %s", s.HTTPAddr, name)
}

// fetch gets a profile, into a file or for what it does.
func (s Service) fetch(ctx context.Context, what string, into io.Writer) error {
	url := "http://" + s.ProfileAddr + "/debug/pprof/" + what
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DialContext: s.Dial, DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fault.New(fault.Unavailable, "%s says %s", url, resp.Status)
	}
	_, err = io.Copy(into, resp.Body)
	return err
}
