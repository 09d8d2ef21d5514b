package main

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// metrics are those of a process. They are put together when they are asked for first: to
// register 150 takes half a millisecond, which the start does not wait for. Its methods
// may be called side by side.
type metrics struct {
	mu       sync.Mutex
	waiting  []prometheus.Collector // to be registered
	errs     []error                // of those that could not be
	registry *prometheus.Registry
}

func newMetrics() *metrics { return &metrics{registry: prometheus.NewRegistry()} }

// Register is of prometheus.Registerer. What cannot be registered is said by Gather.
func (m *metrics) Register(c prometheus.Collector) error {
	m.MustRegister(c)
	return nil
}

// MustRegister is of prometheus.Registerer.
func (m *metrics) MustRegister(all ...prometheus.Collector) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting = append(m.waiting, all...)
}

// Unregister is of prometheus.Registerer.
func (m *metrics) Unregister(c prometheus.Collector) bool {
	_ = m.together()
	return m.registry.Unregister(c)
}

// Gather is of prometheus.Gatherer.
func (m *metrics) Gather() ([]*dto.MetricFamily, error) {
	err := m.together()
	families, failed := m.registry.Gather()
	return families, errors.Join(err, failed)
}

// together registers what waits.
func (m *metrics) together() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.waiting {
		if err := m.registry.Register(c); err != nil {
			m.errs = append(m.errs, err)
		}
	}
	m.waiting = nil
	return errors.Join(m.errs...)
}
