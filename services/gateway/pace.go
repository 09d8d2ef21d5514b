package gateway

import (
	"context"
	"net/http"
	"time"
)

// writePiece is how much is written before a client is given its time anew, in bytes:
// what a link of 20 kB/s carries within Limits.Write, with room to spare.
const writePiece = 64 << 10

// pacedWriter writes an answer in pieces, so that one who takes nothing holds nothing
// for ever, and one whose link is slow gets all of it. Streams look after themselves,
// as they can be interrupted (stream.go).
type pacedWriter struct {
	http.ResponseWriter
	ctl  *http.ResponseController
	most time.Duration // that a client may take nothing
}

// paced gives all answers of a handler a time.
func (g *Gateway) paced(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		next(&pacedWriter{w, http.NewResponseController(w), g.limits.Write}, r)
	}
}

// WriteHeader is http.ResponseWriter's.
func (w *pacedWriter) WriteHeader(code int) {
	if !isStream(w.Header()) {
		_ = w.ctl.SetWriteDeadline(time.Now().Add(w.most)) // what cannot have one is not from outside
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write is http.ResponseWriter's.
func (w *pacedWriter) Write(b []byte) (int, error) {
	if isStream(w.Header()) {
		return w.ResponseWriter.Write(b)
	}
	return writePaced(context.Background(), w.ResponseWriter, w.ctl, w.most, b)
}

// Unwrap lets http.ResponseController find what the writer can do besides.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// writePaced gives each piece its time, until ctx is over.
func writePaced(ctx context.Context, w http.ResponseWriter, ctl *http.ResponseController, most time.Duration, b []byte) (n int, err error) {
	for {
		_ = ctl.SetWriteDeadline(time.Now().Add(most))
		if err := ctx.Err(); err != nil {
			return n, err // what was to cut this write may have come before its deadline
		}
		m, err := w.Write(b[n:min(len(b), n+writePiece)])
		if n += m; err != nil || n == len(b) {
			return n, err
		}
	}
}

// isStream tells whether an answer is one.
func isStream(h http.Header) bool {
	kind := h.Get("Content-Type")
	return kind == typeSSE || kind == typeNDJSON
}
