package gateway

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

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
	last := r.Header.Get("Last-Event-ID")
	if last != "" && !sse {
		return fault.New(fault.BadRequest, "Last-Event-ID is for %s: lines of JSON have no ids, and cannot be resumed", typeSSE).In("Last-Event-ID")
	}
	ctx, end, err := g.begin(r.Context())
	if err != nil {
		return err
	}
	defer end()
	s, ctx, release, after, err := g.join(ctx, last, addresses)
	if err != nil {
		return err
	}
	if !sse {
		defer g.drop(s) // nobody can come back to it
	}
	defer release()
	missed, position, ok := s.after(after)
	out, closeStream, err := g.openStream(ctx, w, sse, s.eventID(position))
	defer closeStream()
	if err == nil && !ok {
		err = g.tellGap(s, out, position)
	}
	if err == nil { // else the client is gone; it may come back
		g.pump(ctx, s, out, missed)
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
func (g *Gateway) pump(ctx context.Context, s *subscription, out *eventWriter, missed []*event) {
	for _, e := range missed {
		if out.event("message", s.eventID(e.number), e.data) != nil {
			return
		}
		g.metrics.events.WithLabelValues(kindReplayed).Inc()
	}
	if out.flush() != nil {
		return
	}
	beat := time.NewTicker(g.limits.Heartbeat)
	defer beat.Stop()
	for ctx.Err() == nil { // else a replaced connection would go on taking events
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
		}
	}
}

// tellGap says that what the client asks for is not kept any more.
func (g *Gateway) tellGap(s *subscription, out *eventWriter, position uint64) error {
	g.metrics.gaps.Inc()
	text, err := json.Marshal(bodyOf(fault.New(fault.NotFound, "some of what came after Last-Event-ID is not kept any more").In("Last-Event-ID")))
	if err != nil {
		return err
	}
	return out.event("gap", s.eventID(position), text)
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
