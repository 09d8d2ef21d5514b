package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// Media types of streams.
const (
	typeSSE    = "text/event-stream"
	typeNDJSON = "application/x-ndjson"
)

// eventWriter writes a stream, as Server-Sent Events or as lines of JSON. It is used
// by one goroutine.
type eventWriter struct {
	w     http.ResponseWriter
	ctl   *http.ResponseController
	sse   bool
	write time.Duration
	line  []byte
}

// accepts tells what kind of stream a request wants.
func accepts(r *http.Request) (sse bool, err error) {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if header == "" {
		return false, nil
	}
	for part := range strings.SplitSeq(header, ",") {
		kind, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		switch kind {
		case typeSSE:
			return true, nil
		case typeNDJSON, "application/json", "application/*", "*/*":
			return false, nil
		}
	}
	return false, fault.New(http.StatusNotAcceptable, "Accept %q: want %s or %s", header, typeSSE, typeNDJSON).In("Accept")
}

// openStream sends the header and a first byte at once, so that the client knows
// that from now on it misses nothing.
func (g *Gateway) openStream(w http.ResponseWriter, sse bool) (*eventWriter, error) {
	e := &eventWriter{w: w, ctl: http.NewResponseController(w), sse: sse, write: g.limits.Write}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // of proxies that would hold events back
	h.Set("X-Content-Type-Options", "nosniff")
	if sse {
		h.Set("Content-Type", typeSSE)
	} else {
		h.Set("Content-Type", typeNDJSON)
	}
	w.WriteHeader(http.StatusOK)
	return e, e.beat()
}

// beat shows that the stream is alive.
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
		if kind != "" {
			e.line = fmt.Appendf(e.line, "event: %s\n", kind)
		}
		e.line = append(e.line, "data: "...)
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

// put writes within the time that a client may take nothing.
func (e *eventWriter) put() error {
	if err := e.ctl.SetWriteDeadline(time.Now().Add(e.write)); err != nil {
		return err
	}
	_, err := e.w.Write(e.line)
	return err
}

func (e *eventWriter) flush() error { return e.ctl.Flush() }

// serveMessages is GET /v1/messages: what comes for some addresses, as it comes.
func (g *Gateway) serveMessages(w http.ResponseWriter, r *http.Request) {
	if err := g.streamMessages(w, r); err != nil {
		writeError(w, err)
	}
}

// streamMessages gives an error when nothing has been sent yet.
func (g *Gateway) streamMessages(w http.ResponseWriter, r *http.Request) error {
	sse, err := accepts(r)
	if err != nil {
		return err
	}
	addresses, err := g.addresses(r)
	if err != nil {
		return err
	}
	ctx, end, err := g.begin(r.Context())
	if err != nil {
		return err
	}
	defer end()
	s, ctx, release, after, err := g.join(ctx, r.Header.Get("Last-Event-ID"), addresses)
	if err != nil {
		return err
	}
	defer release()
	out, err := g.openStream(w, sse)
	if err == nil { // else the client is gone; it may come back
		g.pump(ctx, s, out, after)
	}
	return nil
}

// join finds the subscription that a client comes back to, or makes one, and makes
// this connection its own. after is the event behind which to go on.
func (g *Gateway) join(ctx context.Context, last string, addresses []string) (s *subscription, mine context.Context, release func(), after uint64, err error) {
	if last != "" {
		if s, after, err = g.resume(last, addresses); err != nil {
			return nil, nil, nil, 0, err
		}
	}
	if s != nil {
		mine, release, err = s.connect(ctx, g)
		if err != errOver {
			return s, mine, release, after, err
		}
	}
	if last != "" {
		after = gone
	}
	if s, err = g.subscribe(ctx, addresses); err != nil {
		return nil, nil, nil, 0, err
	}
	if mine, release, err = s.connect(ctx, g); err != nil {
		g.drop(s)
	}
	return s, mine, release, after, err
}

// gone is an event that no subscription has: its client has missed what is not kept.
const gone = math.MaxUint64

// addresses are what a request wants to listen to, in order and each once.
func (g *Gateway) addresses(r *http.Request) ([]string, error) {
	q, err := query(r, "address")
	if err != nil {
		return nil, err
	}
	list := slices.Clone(q["address"])
	slices.Sort(list)
	list = slices.Compact(list)
	if len(list) == 0 {
		return nil, fault.New(fault.BadRequest, "address is missing").In("address")
	}
	if len(list) > g.limits.Addresses {
		return nil, fault.New(fault.TooLarge, "%d addresses, more than %d", len(list), g.limits.Addresses).In("address")
	}
	for _, a := range list {
		if err := checkAddress(a); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func checkAddress(a string) error {
	switch {
	case a == "":
		return fault.New(fault.BadRequest, "address is missing").In("address")
	case a == "*":
		return fault.New(fault.BadRequest, "address * is for stubs alone").In("address")
	case len(a) > address.MaxLength:
		return fault.New(fault.BadRequest, "address is longer than %d bytes", address.MaxLength).In("address")
	}
	return nil
}

// pump writes what a connection has missed, then what comes, until either side ends.
func (g *Gateway) pump(ctx context.Context, s *subscription, out *eventWriter, after uint64) {
	missed, ok := s.after(after)
	if !ok && g.tellGap(s, out) != nil {
		return
	}
	for _, e := range missed {
		if ctx.Err() != nil || out.event("message", s.eventID(e.number), e.data) != nil {
			return
		}
		g.metrics.events.WithLabelValues(kindReplayed).Inc()
	}
	if out.flush() != nil {
		return
	}
	beat := time.NewTicker(g.limits.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case e := <-s.incoming:
			if !g.burst(s, out, e) {
				return
			}
			beat.Reset(g.limits.Heartbeat)
		case <-beat.C:
			if out.beat() != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// tellGap says that what the client asks for is not kept any more. Lines of JSON are
// messages, and have no place for it.
func (g *Gateway) tellGap(s *subscription, out *eventWriter) error {
	g.metrics.gaps.Inc()
	if !out.sse {
		return nil
	}
	text, err := json.Marshal(bodyOf(fault.New(fault.NotFound, "some of what came after Last-Event-ID is not kept any more")))
	if err != nil {
		return err
	}
	return out.event("gap", "", text)
}

// burst writes an event and those that are there already, and sends them together.
func (g *Gateway) burst(s *subscription, out *eventWriter, e *event) bool {
	for size := 0; ; {
		s.note(e)
		if out.event("message", s.eventID(e.number), e.data) != nil {
			return false
		}
		g.metrics.events.WithLabelValues(kindNew).Inc()
		if size += len(e.data); size > burstBytes {
			return out.flush() == nil
		}
		select {
		case e = <-s.incoming:
		default:
			return out.flush() == nil
		}
	}
}

// burstBytes is how much may wait for more to be sent with it.
const burstBytes = 16 << 10

// serveConnections is GET /v1/connections:watch: the table, then its changes.
func (g *Gateway) serveConnections(w http.ResponseWriter, r *http.Request) {
	if err := g.streamConnections(w, r); err != nil {
		writeError(w, err)
	}
}

func (g *Gateway) streamConnections(w http.ResponseWriter, r *http.Request) error {
	sse, err := accepts(r)
	if err != nil {
		return err
	}
	if _, err := query(r); err != nil {
		return err
	}
	select {
	case g.feeds <- struct{}{}:
		defer func() { <-g.feeds }()
	default:
		return fault.New(fault.TooMany, "there are %d feeds, which is the bound", cap(g.feeds))
	}
	ctx, end, err := g.begin(r.Context())
	if err != nil {
		return err
	}
	defer end()
	feed, err := g.registry.WatchConnections(ctx, &pb.WatchConnectionsRequest{})
	if err != nil {
		return fault.From(err)
	}
	first, err := feed.Recv()
	if err != nil {
		return fault.From(err)
	}
	out, err := g.openStream(w, sse)
	if err == nil {
		g.pumpConnections(ctx, out, first, feed.Recv)
	}
	return nil
}

// pumpConnections writes changes until either side ends.
func (g *Gateway) pumpConnections(ctx context.Context, out *eventWriter, first *pb.WatchConnectionsResponse, next func() (*pb.WatchConnectionsResponse, error)) {
	changes := make(chan *pb.WatchConnectionsResponse)
	go func() { // ends with ctx
		defer close(changes)
		for c, err := first, error(nil); err == nil; c, err = next() {
			select {
			case changes <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	beat := time.NewTicker(g.limits.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case c, ok := <-changes:
			if !ok {
				return // the client comes again, and gets the table anew
			}
			text, err := newCodec().Marshal(c)
			if err != nil || out.event("connections", "", text) != nil || out.flush() != nil {
				return
			}
		case <-beat.C:
			if out.beat() != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
