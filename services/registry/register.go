package registry

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// Register makes a hyperty or a data object known here and in the domain registry,
// and keeps it alive there. Registering what is registered changes its entry.
// Errors: BadRequest and Forbidden when it cannot be, TooMany when there are too
// many, and what the Message Node or the store say.
func (r *Registry) Register(ctx context.Context, in *pb.Registration) (*pb.Registration, error) {
	what, err := complete(in, &r.known, r.limits)
	if err != nil {
		return nil, err
	}
	if err := r.haveRoom(what.Url); err != nil {
		return nil, err
	}
	before := r.registrationOf(what.Url) // nil: it is a new one
	reg := &registration{what: what, allocated: before != nil && before.allocated, flow: true}
	if err := r.takeAddress(ctx, reg); err != nil {
		if before == nil && reg.allocated {
			r.leave(reg)
		}
		return nil, r.orDeposed(err)
	}
	if err := r.createEntry(ctx, reg); err != nil {
		err = r.orDeposed(fault.New(fault.CodeOf(err), "registering %s at the domain registry: %w", reg.url(), err))
		if before == nil && (reg.allocated || !errors.Is(err, errDeposed)) {
			r.leave(reg)
		}
		return nil, err
	}
	if err := r.store.saveRegistration(ctx, reg); err != nil {
		// One that was given may be that of the registry which has taken over, by now.
		if before == nil && (reg.allocated || !errors.Is(err, errDeposed)) {
			r.withdraw(ctx, reg)
		}
		return nil, err
	}
	r.enter(reg)
	return what, nil
}

// orDeposed gives errDeposed in the place of an error of a registry that leads no more: its
// attachment ends under whatever it does.
func (r *Registry) orDeposed(err error) error {
	select {
	case <-r.deposed:
		return errDeposed
	default:
		return err
	}
}

func (r *Registry) registrationOf(url string) *registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known.registrations[url]
}

func (r *Registry) haveRoom(url string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known.registrations[url] == nil && len(r.known.registrations) >= r.limits.Registrations {
		return fault.New(fault.TooMany, "%d hyperties and data objects are registered already", len(r.known.registrations))
	}
	return nil
}

// takeAddress has an address allocated, or subscribes the one that is given.
func (r *Registry) takeAddress(ctx context.Context, reg *registration) error {
	if reg.url() == "" {
		url, err := r.allocate(ctx, reg.what.Scheme)
		if err != nil {
			return fault.New(fault.CodeOf(err), "allocating an address: %w", err)
		}
		reg.what.Url, reg.allocated = url, true
		if reg.what.Kind == hypertyKind {
			return nil // it belongs to the session already
		}
	}
	m := r.subscription(message.Subscribe, address.Registry(r.rules.own), reg.addresses()...)
	if _, err := r.request(ctx, r.limits.RequestWait, m); err != nil {
		return fault.New(fault.CodeOf(err), "subscribing %s: %w", reg.url(), err)
	}
	return nil
}

func (r *Registry) fromRegistry(typ, to string, body any) *pb.Message {
	return &pb.Message{
		Id: message.StringID(uuid.NewString()), Type: typ, From: address.Registry(r.rules.own), To: to,
		Body: message.MarshalBody(body),
	}
}

// allocate asks our node for one address (wire contract, section 4). Its answer counts though
// the caller has left, as an address that nobody knows is not freed; and what is not answered
// is repeated as it is when the like is wanted next: the node makes the same address of it.
func (r *Registry) allocate(ctx context.Context, scheme string) (string, error) {
	m := r.unansweredOr(r.fromRegistry(message.Create, address.AddressAllocation(r.known.domain), map[string]any{
		"scheme": scheme, "value": map[string]int{"number": 1},
	}))
	resp, err := r.request(context.WithoutCancel(ctx), r.limits.RequestWait, m)
	if err != nil {
		r.noteUnanswered(m, err)
		return "", err
	}
	var body struct {
		Value struct {
			Allocated []string `json:"allocated"`
		} `json:"value"`
	}
	if err := message.UnmarshalBody(resp, &body); err != nil {
		return "", err
	}
	if len(body.Value.Allocated) != 1 || body.Value.Allocated[0] == "" {
		return "", fault.New(fault.Unavailable, "the Message Node gave %d addresses, not one", len(body.Value.Allocated))
	}
	return body.Value.Allocated[0], nil
}

// unansweredOr takes an allocation out of which it is not known what became, or gives m.
func (r *Registry) unansweredOr(m *pb.Message) *pb.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, old := range r.unanswered {
		if bytes.Equal(old.Body, m.Body) {
			r.unanswered = slices.Delete(r.unanswered, i, i+1)
			return old
		}
	}
	return m
}

// noteUnanswered keeps an allocation that may have been done, or half of it.
func (r *Registry) noteUnanswered(m *pb.Message, err error) {
	switch fault.CodeOf(err) {
	case fault.Timeout, fault.Unavailable, fault.Conflict, fault.TooMany: // Conflict: it is under way still
	default:
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unanswered) >= r.limits.Unanswered {
		r.unanswered = slices.Delete(r.unanswered, 0, 1)
	}
	r.unanswered = append(r.unanswered, m)
}

// entryBody is an entry of the domain registry (wire contract, section 6).
type entryBody struct {
	URL         string   `json:"url"`
	Descriptor  string   `json:"descriptor,omitempty"`
	User        string   `json:"user,omitempty"`
	GUID        string   `json:"guid,omitempty"`
	Runtime     string   `json:"runtime"`
	P2PHandler  string   `json:"p2pHandler"`
	DataSchemes []string `json:"dataSchemes"`
	Resources   []string `json:"resources"`
	Flow        []string `json:"flow"` // our extension: this runtime knows flows
	Status      string   `json:"status"`
	Expires     int64    `json:"expires"`
}

func (r *Registry) createEntry(ctx context.Context, reg *registration) error {
	w := reg.what
	_, err := r.request(ctx, r.limits.RequestWait,
		r.fromRegistry(message.Create, address.DomainRegistry(r.known.domain), map[string]any{"value": entryBody{
			URL: w.Url, Descriptor: w.DescriptorUrl, User: w.User, GUID: w.Guid,
			Runtime: r.rules.own, P2PHandler: r.handler,
			DataSchemes: append([]string{}, w.DataSchemes...), Resources: append([]string{}, w.Resources...),
			Flow: []string{message.FlowV1}, Status: "live", Expires: int64((w.Expires.AsDuration() + time.Second - 1) / time.Second),
		}}))
	return err
}

// enter makes a registration known here, and tells all who should know.
func (r *Registry) enter(reg *registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reg.due = r.nextKeepAlive(reg)
	if r.known.registrations[reg.url()] == nil {
		r.metrics.registrations.WithLabelValues(reg.kind()).Inc()
	}
	r.known.registrations[reg.url()] = reg
	r.feed.add(reg.url())
	r.ownChangedLocked(reg.url())
}

// ownChangedLocked looks again at what hangs on an address of ours.
func (r *Registry) ownChangedLocked(url string) {
	r.known.cache.remove(url)
	listings := &r.known.table.listings
	listings.remove(listings.of(url).url(), url) // it is here, whatever another one says
	r.staleLocked([]string{url})
	r.rerouteLocked([]string{url})
}

// Unregister takes a registration away, here and in the domain. Errors: BadRequest,
// NotFound, and Unavailable when the store cannot remove it; then nothing has changed.
func (r *Registry) Unregister(ctx context.Context, url string) error {
	if err := address.Check("url", url); err != nil {
		return err
	}
	reg := r.registrationOf(url)
	if reg == nil {
		return fault.New(fault.NotFound, "%s is not registered in this runtime", url).In("url")
	}
	if err := r.store.removeRegistration(ctx, url); err != nil {
		return err
	}
	if !r.remove(reg) {
		return fault.New(fault.NotFound, "%s has been unregistered or registered anew meanwhile", url).In("url")
	}
	r.withdraw(ctx, reg)
	return nil
}

// remove takes a registration out of what runs here, unless someone else did.
func (r *Registry) remove(reg *registration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known.registrations[reg.url()] != reg {
		return false
	}
	delete(r.known.registrations, reg.url())
	r.metrics.registrations.WithLabelValues(reg.kind()).Dec()
	r.feed.remove(reg.url())
	r.ownChangedLocked(reg.url())
	return true
}

// withdraw takes back what the domain knows of a registration.
func (r *Registry) withdraw(ctx context.Context, reg *registration) {
	if err := r.deleteEntry(ctx, reg.url()); err != nil {
		r.log.Warn("the domain registry keeps an entry until it expires", "address", reg.url(), "error", err)
	}
	r.leave(reg)
}

func (r *Registry) deleteEntry(ctx context.Context, url string) error {
	_, err := r.request(ctx, r.limits.RequestWait,
		r.fromRegistry(message.Delete, address.DomainRegistry(r.known.domain), map[string]any{"value": map[string]string{"url": url}}))
	if fault.CodeOf(err) == fault.NotFound {
		return nil
	}
	return err
}

// leave gives an address back to the node, beside the caller.
func (r *Registry) leave(reg *registration) {
	m := r.subscription(message.Unsubscribe, address.Registry(r.rules.own), reg.addresses()...)
	r.lanes.spawn(func(ctx context.Context) {
		_, err := r.request(ctx, r.limits.RequestWait, m)
		if reg.allocated {
			_, err = r.request(ctx, r.limits.RequestWait,
				r.fromRegistry(message.Delete, address.AddressAllocation(r.known.domain), map[string]string{"resource": reg.url()}))
		}
		if err != nil && ctx.Err() == nil {
			r.log.Debug("an address is not given back", "address", reg.url(), "error", err)
		}
	})
}

// Registrations gives the registrations of a kind, sorted by address; unspecified is all.
func (r *Registry) Registrations(kind pb.RegistrationKind) []*pb.Registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*pb.Registration, 0, len(r.known.registrations))
	for _, url := range r.feed.sorted() {
		what := r.known.registrations[url].what
		if kind == pb.RegistrationKind_REGISTRATION_KIND_UNSPECIFIED || kind == what.Kind {
			all = append(all, what)
		}
	}
	return all
}

// keepRegistered refreshes registrations at the domain registry before they
// expire there.
func (r *Registry) keepRegistered(ctx context.Context) error {
	return every(ctx, r.limits.Tick, func() { r.keepAlive(ctx) })
}

// keepAlive refreshes all that are due, some at once.
func (r *Registry) keepAlive(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, r.limits.KeepAlives)
	for _, reg := range r.dueRegistrations() {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			r.refresh(ctx, reg)
		})
	}
}

func (r *Registry) dueRegistrations() []*registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	var due []*registration
	for _, reg := range r.known.registrations {
		if !now.Before(reg.due) {
			due = append(due, reg)
		}
	}
	return due
}

// refresh keeps one alive. A domain registry that does not know it is told again; so
// is one whose entry was made before this runtime knew flows.
func (r *Registry) refresh(ctx context.Context, reg *registration) {
	var err error = fault.New(fault.NotFound, "its entry does not announce flows")
	if r.announces(reg) {
		_, err = r.request(ctx, r.limits.RequestWait,
			r.fromRegistry(message.Update, address.DomainRegistry(r.known.domain),
				map[string]string{"resource": reg.url(), "method": "refresh"}))
	}
	if fault.CodeOf(err) == fault.NotFound && r.isRegistered(reg) {
		if err = r.createAgain(ctx, reg); err == nil && r.registrationOf(reg.url()) == nil {
			_ = r.deleteEntry(ctx, reg.url()) // it was unregistered meanwhile, perhaps before it was there again
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		reg.failures++
		reg.due = r.cfg.Now().Add(r.limits.retryAfter(reg.failures, rand.Float64()))
		if reg.failures == 3 {
			r.log.Warn("a registration cannot be kept alive", "address", reg.url(), "error", err)
		}
		return
	}
	reg.failures, reg.due = 0, r.nextKeepAlive(reg)
}

func (r *Registry) announces(reg *registration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return reg.flow
}

func (r *Registry) createAgain(ctx context.Context, reg *registration) error {
	if err := r.createEntry(ctx, reg); err != nil || r.announces(reg) {
		return err
	}
	r.mu.Lock()
	reg.flow = true
	r.mu.Unlock()
	if err := r.store.saveRegistration(ctx, reg); err != nil {
		return err
	}
	if r.registrationOf(reg.url()) == nil { // unregistered meanwhile
		return r.store.removeRegistration(ctx, reg.url())
	}
	return nil
}

func (r *Registry) isRegistered(reg *registration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known.registrations[reg.url()] == reg
}

// nextKeepAlive is spread by a tenth, so that what is registered together is not
// refreshed together.
func (r *Registry) nextKeepAlive(reg *registration) time.Time {
	d := reg.refreshAfter()
	return r.cfg.Now().Add(d - time.Duration(rand.Float64()*float64(d)/10))
}
