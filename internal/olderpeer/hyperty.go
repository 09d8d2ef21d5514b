package olderpeer

import (
	"context"
	"errors"
	"fmt"
)

// subscribe subscribes addresses at the Message Node of a domain (section 5), on
// behalf of a component of the runtime.
func (p *Peer) subscribe(ctx context.Context, domain, from string, body Body) error {
	s, err := p.session(ctx, domain)
	if err != nil {
		return err
	}
	return s.subscribe(ctx, Message{
		Type: "subscribe", From: from, To: "domain://msg-node." + domain + "/sm", Body: body,
	})
}

// registryURL is the address of the peer's registry, ended as older runtimes do.
func (p *Peer) registryURL() string { return p.config.RuntimeURL + "/registry/" }

// Register makes hyperties reachable and registers them at the domain registry of
// the peer's own domain. Without addresses it has the node allocate one. It returns
// their addresses.
func (p *Peer) Register(ctx context.Context, urls ...string) ([]string, error) {
	home := domainOf(p.config.RuntimeURL)
	var err error
	if len(urls) == 0 {
		urls, err = p.allocate(ctx, home)
	} else {
		err = p.subscribe(ctx, home, p.registryURL(), Body{"subscribe": urls, "source": p.registryURL()})
	}
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	for _, url := range urls {
		if err := p.announce(ctx, home, url); err != nil {
			return nil, fmt.Errorf("register %s: %w", url, err)
		}
	}
	return urls, nil
}

// allocate has the node draw the address of a hyperty (section 4).
func (p *Peer) allocate(ctx context.Context, domain string) ([]string, error) {
	answer, err := p.ask(ctx, Message{
		Type: "create", From: p.registryURL(), To: "domain://msg-node." + domain + "/hyperty-address-allocation",
		Body: Body{"scheme": "hyperty", "value": Body{"number": 1}},
	})
	if err != nil {
		return nil, err
	}
	allocated, _ := at(answer.Body, "value", "allocated").([]any)
	if len(allocated) != 1 {
		return nil, p.violate("an allocation of 1 address answered %v", at(answer.Body, "value"))
	}
	url, _ := allocated[0].(string)
	return []string{url}, nil
}

// announce registers one hyperty at the domain registry (section 6).
func (p *Peer) announce(ctx context.Context, domain, url string) error {
	_, err := p.ask(ctx, Message{
		Type: "create", From: p.registryURL(), To: "domain://registry." + domain,
		Body: Body{"value": Body{
			"url": url, "descriptor": "hyperty-catalogue://catalogue." + domain + "/.well-known/hyperty/OlderPeer",
			"user": "user://" + domain + "/older", "guid": "user-guid://older",
			"runtime": p.config.RuntimeURL, "p2pHandler": p.handler,
			"dataSchemes": []string{}, "resources": []string{},
			"status": StatusLive, "expires": leaseSeconds,
		}},
	})
	return err
}

// Lookup asks the domain registry of a hyperty's domain for its runtime and the
// handler of that: what Connect needs.
func (p *Peer) Lookup(ctx context.Context, url string) (runtimeURL, handlerURL string, err error) {
	answer, err := p.ask(ctx, Message{
		Type: "read", From: p.registryURL(), To: "domain://registry." + domainOf(url),
		Body: Body{"resource": url},
	})
	if err != nil {
		return "", "", err
	}
	runtimeURL = stringAt(answer.Body, "value", "runtime")
	handlerURL = stringAt(answer.Body, "value", "p2pHandler")
	if runtimeURL == "" || handlerURL == "" {
		err = errors.New("the entry of " + url + " lacks runtime or p2pHandler")
	}
	return runtimeURL, handlerURL, err
}
