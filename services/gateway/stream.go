package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// Media types of streams.
const (
	typeSSE    = "text/event-stream"
	typeNDJSON = "application/x-ndjson"
)

// retryMillis is after how long a browser comes back whose stream broke: soon
// enough to be there well before its subscription ends.
const retryMillis = 1000

// lastWrite is how long the end of a stream may take to be written.
const lastWrite = 200 * time.Millisecond

// accepts tells what kind of stream a request wants: lines of JSON unless it says
// otherwise.
func accepts(r *http.Request) (sse bool, err error) {
	kinds := acceptable(r)
	if len(kinds) == 0 {
		return false, nil
	}
	for _, kind := range kinds {
		switch kind {
		case typeSSE, "text/*":
			return true, nil
		case typeNDJSON, "application/json", "application/*", "*/*":
			return false, nil
		}
	}
	return false, fault.New(http.StatusNotAcceptable, "Accept %.80q: want %s or %s", strings.Join(kinds, ", "), typeSSE, typeNDJSON).In("Accept")
}

// acceptable are the media types of Accept, in the order in which they stand there,
// without those that are refused (q=0).
func acceptable(r *http.Request) []string {
	var kinds []string
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, parameters, _ := strings.Cut(part, ";")
		if kind = strings.ToLower(strings.TrimSpace(kind)); kind != "" && !refused(parameters) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func refused(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		if q, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
			weight, err := strconv.ParseFloat(q, 64)
			return err == nil && weight == 0
		}
	}
	return false
}

// eventWriter writes a stream, as Server-Sent Events or as lines of JSON. It is used
// by one goroutine.
type eventWriter struct {
	ctx   context.Context // ends a write that is under way
	w     http.ResponseWriter
	ctl   *http.ResponseController
	sse   bool
	write time.Duration
	line  []byte
}

// openStream sends the header and a first byte at once, so that the client knows
// that from now on it misses nothing. position is the event id that it has reached;
// it is for SSE alone, and may be empty. close is called before the handler returns.
func (g *Gateway) openStream(ctx context.Context, w http.ResponseWriter, sse bool, position string) (e *eventWriter, closeStream func(), err error) {
	ctl := http.NewResponseController(w)
	e = &eventWriter{ctx: ctx, w: w, ctl: ctl, sse: sse, write: g.limits.Write}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // of proxies that would hold events back
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", typeNDJSON)
	if sse {
		h.Set("Content-Type", typeSSE)
	}
	closeStream = interruptible(ctx, ctl)
	w.WriteHeader(http.StatusOK)
	if sse && position != "" {
		e.line = fmt.Appendf(e.line, "retry: %d\nid: %s\n", retryMillis, position)
		if err := e.put(); err != nil {
			return e, closeStream, err
		}
	}
	return e, closeStream, e.beat()
}

// interruptible lets the end of ctx cut a write to a client that takes nothing.
// release leaves a moment for the stream's own end.
func interruptible(ctx context.Context, ctl *http.ResponseController) (release func()) {
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		_ = ctl.SetWriteDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-over
		}
		_ = ctl.SetWriteDeadline(time.Now().Add(lastWrite))
	}
}

// beat shows that the stream is alive: a comment, or an empty line.
func (e *eventWriter) beat() error {
	e.line = e.line[:0]
	if e.sse {
		e.line = append(e.line, ":\n"...)
	}
	e.line = append(e.line, '\n')
	if err := e.put(); err != nil {
		return err
	}
	return e.ctl.Flush()
}

// event writes one event, and leaves it to flush. kind and id are for SSE alone.
func (e *eventWriter) event(kind, id string, data []byte) error {
	e.line = e.line[:0]
	if e.sse {
		if id != "" {
			e.line = fmt.Appendf(e.line, "id: %s\n", id)
		}
		e.line = fmt.Appendf(e.line, "event: %s\ndata: ", kind)
	}
	e.line = append(e.line, oneLine(data)...)
	e.line = append(e.line, '\n')
	if e.sse {
		e.line = append(e.line, '\n')
	}
	return e.put()
}

// oneLine takes the line breaks out of a JSON text: they are space there, as a
// string has them escaped.
func oneLine(text []byte) []byte {
	if !bytes.ContainsAny(text, "\r\n") {
		return text
	}
	var out bytes.Buffer
	if json.Compact(&out, text) != nil {
		return bytes.Map(func(r rune) rune {
			if r == '\r' || r == '\n' {
				return ' '
			}
			return r
		}, text)
	}
	return out.Bytes()
}

// put writes as long as the client takes something.
func (e *eventWriter) put() error {
	_, err := writePaced(e.ctx, e.w, e.ctl, e.write, e.line)
	return err
}

func (e *eventWriter) flush() error { return e.ctl.Flush() }
