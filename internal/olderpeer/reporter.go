package olderpeer

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v3"
)

// reporter is a Connection object that this peer reports (section 7, steps 2, 3
// and 6). Its address is invented, and only subscribed.
type reporter struct {
	peer  *Peer
	url   string
	owner string // the stub
	born  string
	fail  func(error) // ends the set-up

	described  chan struct{} // closed when the description is in the object
	subscribed chan struct{} // closed when the first subscription is answered

	mu         sync.Mutex // also keeps updates in the order of their versions
	version    int
	data       Body
	candidates []any
	answered   bool // subscribed is closed
}

// newReporter subscribes a new object and listens for its observer.
func newReporter(ctx context.Context, c *connection) (*reporter, error) {
	p := c.peer
	domain := domainOf(p.config.RuntimeURL)
	r := &reporter{
		peer:       p,
		url:        "connection://" + domain + "/" + rand.Text(),
		owner:      c.stub,
		fail:       c.fail,
		born:       time.Now().UTC().Format(time.RFC3339),
		described:  make(chan struct{}),
		subscribed: make(chan struct{}),
		data:       Body{"runtimeURL": p.config.RuntimeURL, "owner": c.stub},
		candidates: []any{},
	}
	c.listen(r.url, func(m Message) { p.spawn(func(ctx context.Context) { r.read(ctx, m) }) })
	c.listen(r.url+subscriptionSuffix, func(m Message) {
		p.spawn(func(context.Context) { r.subscription(c.ctx, m) })
	})
	return r, p.subscribe(ctx, domain, p.config.RuntimeURL+"/sm",
		Body{"resources": []string{r.url, r.url + subscriptionSuffix}, "source": r.owner})
}

// invitation is the invitation to the object as it is now.
func (r *reporter) invitation(to string) Message {
	value := r.header()
	if !r.peer.config.EmptyInvitation {
		value["data"] = r.content()
	}
	return Message{
		Type: "create", From: r.url + subscriptionSuffix, To: to,
		Body: Body{"source": r.owner, "schema": value["schema"], "value": value},
	}
}

func (r *reporter) header() Body {
	return Body{
		"name": objectName, "schema": schemaOf(domainOf(r.url)),
		"reporter": r.owner, "runtime": r.peer.config.RuntimeURL,
	}
}

// content is data as it is now.
func (r *reporter) content() Body {
	r.mu.Lock()
	defer r.mu.Unlock()
	data := maps.Clone(r.data)
	data[candidatesName] = slices.Clone(r.candidates)
	return data
}

// whole is the object as it stands in an answer.
func (r *reporter) whole() Body {
	value := r.header()
	value["data"] = r.content()
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(value, Body{
		"url": r.url, "created": r.born, "lastModified": r.born,
		"status": StatusLive, "resources": []string{}, "version": r.version,
	})
	return value
}

// subscription answers an observer: at once, or when there is a description.
func (r *reporter) subscription(ctx context.Context, m Message) {
	if m.Type != "subscribe" {
		return // a response to the invitation that came twice, or a delete
	}
	if err := checkIdentity(m); err != nil {
		r.fail(r.peer.violate("%w: it is never answered", err))
		return
	}
	if stringAt(m.Body, "subscriber") == "" {
		r.fail(r.peer.violate("a subscription of %s names no subscriber", r.url))
		return
	}
	if !r.peer.config.DescriptionInUpdates {
		select {
		case <-r.described:
		case <-ctx.Done():
			return
		}
	}
	value := r.whole()
	answer := m.Response(200, Body{"schema": value["schema"], "owner": r.owner, "value": value})
	if err := r.peer.Send(ctx, answer); err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.answered {
		r.answered = true
		close(r.subscribed)
	}
}

// read gives a receiver that has missed a version the whole object.
func (r *reporter) read(ctx context.Context, m Message) {
	if m.Type == "read" {
		_ = r.peer.Send(ctx, m.Response(200, Body{"value": r.whole()}))
	}
}

// describe puts the description into the object and returns when the observer has
// been told.
func (r *reporter) describe(ctx context.Context, d webrtc.SessionDescription) error {
	if !r.peer.config.DescriptionInUpdates {
		r.mu.Lock()
		r.version++
		r.data[descriptionName] = describe(d)
		r.mu.Unlock()
		close(r.described)
	}
	select {
	case <-r.subscribed:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !r.peer.config.DescriptionInUpdates {
		return nil
	}
	parts := describe(d)
	for _, part := range []string{"sdp", "type"} {
		err := r.update(ctx, func() Body {
			r.data[descriptionName] = parts
			return Body{"attribute": descriptionName + "." + part, "value": parts[part]}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trickle adds a candidate.
func (r *reporter) trickle(ctx context.Context, candidate *webrtc.ICECandidate) error {
	element := writeCandidate(candidate)
	return r.update(ctx, func() Body {
		r.candidates = append(r.candidates, element)
		return Body{
			"attribute": fmt.Sprintf("%s.%d", candidatesName, len(r.candidates)-1), "value": element,
			"attributeType": "array", "operation": "add",
		}
	})
}

// update applies a change, which returns what to say of it, and sends it. The lock is
// held while it is sent, since the order on the wire is that of the versions.
func (r *reporter) update(ctx context.Context, change func() Body) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
	body := change()
	body["version"] = r.version
	body["source"] = r.owner
	body["lastModified"] = time.Now().UTC().Format(time.RFC3339)
	return r.peer.Send(ctx, Message{Type: "update", From: r.url, To: r.url + changesSuffix, Body: body})
}
