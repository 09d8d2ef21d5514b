package gateway

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a gateway. Routes are patterns, never paths.
type metrics struct {
	requests *prometheus.CounterVec   // route, code
	duration *prometheus.HistogramVec // route
	events   *prometheus.CounterVec   // kind
	gaps     prometheus.Counter
	bytes    *prometheus.CounterVec // direction
	routes   []string               // that are counted
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "peerbus_gateway_requests_total", Help: "Requests that have ended, by route and status.",
		}, []string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "peerbus_gateway_request_seconds", Help: "Time until a request has ended. Streams and WebSockets are not in it.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60},
		}, []string{"route"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "peerbus_gateway_events_total", Help: "Messages written to streams, by kind: new, replayed or websocket.",
		}, []string{"kind"}),
		gaps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "peerbus_gateway_gaps_total", Help: "Streams that could not be resumed where their client had left off.",
		}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "peerbus_gateway_bytes_total", Help: "Bytes of the bodies of requests (in) and answers (out); WebSockets are not in it.",
		}, []string{"direction"}),
	}
}

func (m *metrics) register(r prometheus.Registerer, g *Gateway) error {
	if r == nil {
		return nil
	}
	for _, kind := range []string{kindNew, kindReplayed, kindSocket} {
		m.events.WithLabelValues(kind)
	}
	m.bytes.WithLabelValues(directionIn)
	m.bytes.WithLabelValues(directionOut)
	all := []prometheus.Collector{
		begun{m.requests, sync.OnceFunc(m.beginRequests)}, begun{m.duration, sync.OnceFunc(m.beginDurations)},
		m.events, m.gaps, m.bytes,
	}
	for _, s := range []struct {
		name, help string
		size       func() int
	}{
		{"subscriptions", "Subscriptions, those without a connection among them.", func() int { n, _, _ := g.sizes(); return n }},
		{"sockets", "WebSockets.", func() int { _, n, _ := g.sizes(); return n }},
		{"feeds", "Feeds of connections.", func() int { _, _, n := g.sizes(); return n }},
	} {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "peerbus_gateway_" + s.name, Help: s.help},
			func() float64 { return float64(s.size()) }))
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Kinds of events.
const (
	kindNew      = "new"
	kindReplayed = "replayed"
	kindSocket   = "websocket"
)

// routeNone is the route of what is at none.
const routeNone = "none"

// count counts the requests of a route.
func (m *metrics) count(route string, next http.HandlerFunc) http.HandlerFunc {
	m.routes = append(m.routes, route)
	in, out := m.bytes.WithLabelValues(directionIn), m.bytes.WithLabelValues(directionOut)
	return func(w http.ResponseWriter, r *http.Request) {
		started, seen := time.Now(), &statusWriter{ResponseWriter: w, code: http.StatusOK, written: out}
		r.Body = &countedBody{r.Body, in}
		next(seen, r)
		m.requests.WithLabelValues(route, statusLabel(seen.code)).Inc()
		if !seen.stream() {
			m.duration.WithLabelValues(route).Observe(time.Since(started).Seconds())
		}
	}
}

// statusWriter remembers the status, and counts what is written.
type statusWriter struct {
	http.ResponseWriter
	code    int
	written prometheus.Counter
}

// Write is http.ResponseWriter's.
func (w *statusWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.written.Add(float64(n))
	return n, err
}

// WriteHeader is http.ResponseWriter's.
func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController find what the writer can do besides.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// stream tells whether it has become one.
func (w *statusWriter) stream() bool {
	return w.code == http.StatusSwitchingProtocols || isStream(w.Header())
}
