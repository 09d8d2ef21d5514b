package engine

import (
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what a process with this engine shows of it. They may be asked for until
// and after Close.
func (e *Engine) Metrics() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "peerbus_store_" + name, Help: help}, value)
	}
	counter := func(name, help, direction string, value func(nats.Statistics) uint64) prometheus.Collector {
		opts := prometheus.CounterOpts{Name: "peerbus_store_" + name, Help: help}
		if direction != "" {
			opts.ConstLabels = prometheus.Labels{"direction": direction}
		}
		return prometheus.NewCounterFunc(opts, func() float64 { return float64(value(e.conn.Stats())) })
	}
	const messages, bytes = "Messages to NATS (out) and from it (in).", "Bytes of messages to NATS (out) and from it (in)."
	return []prometheus.Collector{
		gauge("connected", "1 while NATS can be used, and takes writes where it is in this process.", func() float64 {
			if e.conn.IsConnected() && e.Broken() == nil {
				return 1
			}
			return 0
		}),
		gauge("disk_bytes", "What the NATS in this process keeps on the disk; 0 where it is another's.", e.diskBytes),
		counter("reconnects_total", "Times that a lost NATS was found again.", "", func(s nats.Statistics) uint64 { return s.Reconnects }),
		counter("messages_total", messages, "in", func(s nats.Statistics) uint64 { return s.InMsgs }),
		counter("messages_total", messages, "out", func(s nats.Statistics) uint64 { return s.OutMsgs }),
		counter("bytes_total", bytes, "in", func(s nats.Statistics) uint64 { return s.InBytes }),
		counter("bytes_total", bytes, "out", func(s nats.Statistics) uint64 { return s.OutBytes }),
	}
}

func (e *Engine) diskBytes() float64 {
	if e.embedded == nil {
		return 0
	}
	s := e.embedded.server.Load()
	if s == nil {
		return 0 // it has been stopped
	}
	info, err := s.Jsz(&server.JSzOptions{})
	if err != nil {
		return 0 // it has been stopped
	}
	return float64(info.Store)
}
