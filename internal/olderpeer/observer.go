package olderpeer

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
)

var candidateAttribute = regexp.MustCompile(`^` + candidatesName + `\.\d+$`)

// observer is a Connection object of the other side (section 7, steps 4 to 6).
// Updates that come before the answer to the subscription wait for it.
type observer struct {
	url   string
	apply func(update Message) error // of the next version; an error ends the set-up
	fail  func(error)

	mu      sync.Mutex
	started bool
	version int             // of what has been applied
	waiting map[int]Message // updates ahead of their turn, by version
}

const waitingUpdates = 256

// observe subscribes an object: first its changes at the node of its domain, then
// the object itself. The updates begin with start.
func (c *connection) observe(ctx context.Context, url string) (*observer, snapshot, error) {
	p := c.peer
	o := &observer{url: url, apply: c.apply, fail: c.fail, waiting: map[int]Message{}}
	c.listen(url+changesSuffix, func(m Message) {
		if m.Type == "update" {
			c.echo(m)
			o.update(m)
		}
	})
	manager := p.config.RuntimeURL + "/sm"
	err := p.subscribe(ctx, domainOf(url), manager,
		Body{"resources": []string{url + changesSuffix, url + childrenSuffix}, "source": c.stub})
	if err != nil {
		return nil, snapshot{}, err
	}
	answer, err := p.ask(ctx, Message{
		Type: "subscribe", From: manager, To: url + subscriptionSuffix, Body: Body{"subscriber": c.stub},
	})
	if err != nil {
		return nil, snapshot{}, err
	}
	s, err := readSnapshot(answer)
	if err != nil {
		return nil, snapshot{}, p.violate("%w", err)
	}
	return o, s, nil
}

// start begins to apply updates, from the version of the snapshot on.
func (o *observer) start(version int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.started, o.version = true, version
	o.drain()
}

// update takes an update: each version once, and in order.
func (o *observer) update(m Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	version := numberAt(m.Body, "version")
	switch {
	case len(o.waiting) >= waitingUpdates:
		o.fail(fmt.Errorf("more than %d updates of %s wait for their turn", waitingUpdates, o.url))
		return
	case o.started && version <= o.version:
		return
	}
	o.waiting[version] = m
	o.drain()
}

// drain applies what has its turn; the caller holds mu.
func (o *observer) drain() {
	for o.started {
		m, ok := o.waiting[o.version+1]
		if !ok {
			return
		}
		delete(o.waiting, o.version+1)
		o.version++
		if err := o.apply(m); err != nil {
			o.fail(err)
			return
		}
	}
}

// apply does what an update of the observed object says.
func (c *connection) apply(update Message) error {
	attribute := stringAt(update.Body, "attribute")
	switch {
	case attribute == descriptionName:
		description, err := readDescription(update.Body["value"])
		if err != nil {
			return c.peer.violate("%w", err)
		}
		return c.accept(description)
	case attribute == descriptionName+".sdp" || attribute == descriptionName+".type":
		return c.peer.violate("the description comes in pieces: an update of %s", attribute)
	case candidateAttribute.MatchString(attribute):
		return c.candidate(update)
	case attribute == candidatesName:
		return c.peer.violate("an update of %s as a whole", attribute)
	}
	return nil // what a newer peer has besides
}

func (c *connection) candidate(update Message) error {
	candidate, err := readCandidate(update)
	if err == nil && c.pc.RemoteDescription() == nil {
		err = errors.New("a candidate comes before the description")
	}
	if err == nil {
		err = c.pc.AddICECandidate(candidate)
	}
	if err != nil {
		return c.peer.violate("%w", err)
	}
	return nil
}
