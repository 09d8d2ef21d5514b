package gateway

import (
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// countedBody counts what is read of a request.
type countedBody struct {
	io.ReadCloser
	read prometheus.Counter
}

// Read is io.Reader's.
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Add(float64(n))
	return n, err
}

// Directions: to a gateway, and from it.
const (
	directionIn  = "in"
	directionOut = "out"
)

// statuses are those that are counted by themselves. Their series are all there when one
// is, so that a rate misses none.
var statuses = []int{
	http.StatusSwitchingProtocols, http.StatusOK, http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound,
	http.StatusMethodNotAllowed, http.StatusRequestTimeout, http.StatusConflict, http.StatusRequestEntityTooLarge,
	http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable,
}

// otherStatus is the label of all others.
const otherStatus = "other"

// beginRequests makes the series of all routes.
func (m *metrics) beginRequests() {
	for _, route := range m.routes {
		for _, status := range statuses {
			m.requests.WithLabelValues(route, statusLabel(status))
		}
		m.requests.WithLabelValues(route, otherStatus)
	}
}

// beginDurations makes those of their durations.
func (m *metrics) beginDurations() {
	for _, route := range m.routes {
		m.duration.WithLabelValues(route)
	}
}

// begun is a collector whose series begin when they are collected first: those of routes
// are hundreds.
type begun struct {
	prometheus.Collector
	begin func()
}

// Collect is of prometheus.Collector.
func (b begun) Collect(ch chan<- prometheus.Metric) {
	b.begin()
	b.Collector.Collect(ch)
}

func statusLabel(status int) string {
	if slices.Contains(statuses, status) {
		return strconv.Itoa(status)
	}
	return otherStatus
}
