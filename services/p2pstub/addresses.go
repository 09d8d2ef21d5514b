package p2pstub

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// addresses keeps some addresses for Connection objects ahead, and gives back
// those that are done with, several at a time (wire contract, sections 4 and 5).
type addresses struct {
	bus     *client.Bus
	runtime address.URL
	limits  Limits
	log     *slog.Logger
	metrics *metrics

	mu      sync.Mutex
	ready   []objectAddress
	waiting int
	failure error               // of the last attempt, while there is none ready
	came    chan struct{}       // closed and made anew when there are more
	done    []string            // allocated ones to free
	leave   map[string][]string // subscriptions to end, by domain
	wake    chan struct{}

	asking *pb.Message // an allocation that was not answered; run has it
}

// objectAddress is one that was allocated, and whether that of its subscription came with it; else it is
// to be subscribed, as at a Message Node that is not ours.
type objectAddress struct {
	url   string
	whole bool
}

func newAddresses(bus *client.Bus, runtime address.URL, l Limits, log *slog.Logger, m *metrics) *addresses {
	return &addresses{
		bus: bus, runtime: runtime, limits: l, log: log, metrics: m,
		came: make(chan struct{}), leave: map[string][]string{}, wake: make(chan struct{}, 1),
	}
}

// take gives an address, and waits for one if it must.
func (a *addresses) take(ctx context.Context) (objectAddress, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting++
	defer func() { a.waiting-- }()
	for len(a.ready) == 0 {
		came := a.came
		a.mu.Unlock()
		a.signal()
		select {
		case <-came:
		case <-ctx.Done():
		}
		a.mu.Lock()
		if ctx.Err() != nil {
			if a.failure != nil {
				return objectAddress{}, a.failure
			}
			return objectAddress{}, fault.From(ctx.Err())
		}
	}
	one := a.ready[0]
	a.ready = a.ready[1:]
	a.signal()
	return one, nil
}

// release frees an object's address, and ends its subscriptions.
func (a *addresses) release(object objectAddress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	subscription := object.url + address.SubscriptionSuffix
	if a.done = append(a.done, object.url); object.whole {
		a.done = append(a.done, subscription)
	} else {
		a.leave[a.runtime.Domain] = append(a.leave[a.runtime.Domain], object.url, subscription)
	}
	a.signal()
}

// unfollow ends the subscriptions of the other side's object.
func (a *addresses) unfollow(object string) {
	u, err := address.Parse(object)
	if err != nil || u.Domain == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leave[u.Domain] = append(a.leave[u.Domain], object+address.ChangesSuffix, object+address.ChildrenSuffix)
	a.signal()
}

func (a *addresses) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run allocates and frees until ctx is done, then frees what is left.
func (a *addresses) run(ctx context.Context) error {
	var wait retry.Backoff
	for ctx.Err() == nil {
		wake, again := a.wake, (<-chan time.Time)(nil)
		failed, left := a.refill(ctx), a.giveBack(ctx)
		switch {
		case failed != nil: // those who wait do not hurry it
			wake, again = nil, time.After(wait.Next())
		case left != nil:
			again = time.After(wait.Next())
		default:
			wait.Reset()
		}
		select {
		case <-wake:
		case <-again:
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.limits.Stop)
	defer cancel()
	wait.Reset()
	for a.giveAllBack(last); a.asking != nil && wait.Wait(last) == nil; a.giveAllBack(last) {
		got, _ := a.allocate(last, 0) // it may have been done, or is under way
		a.mu.Lock()
		a.ready = got
		a.mu.Unlock()
	}
	return nil
}

// giveAllBack is for the end: there is no other time.
func (a *addresses) giveAllBack(ctx context.Context) {
	a.mu.Lock()
	for _, one := range a.ready {
		if a.done = append(a.done, one.url); one.whole {
			a.done = append(a.done, one.url+address.SubscriptionSuffix)
		}
	}
	a.ready = nil
	a.mu.Unlock()
	_ = a.giveBack(ctx)
}

// wanted is how many addresses to ask for: none while half the pool is there.
func (a *addresses) wanted() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.ready) > a.limits.Pool/2 && a.waiting == 0 {
		return 0
	}
	return min(max(a.limits.Pool+a.waiting-len(a.ready), 0), a.limits.Allocate)
}

func (a *addresses) refill(ctx context.Context) error {
	number := a.wanted()
	if number == 0 {
		return nil
	}
	got, err := a.allocate(ctx, number)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failure = err; err != nil {
		a.metrics.addresses.WithLabelValues("failed").Inc()
		a.log.Debug("no addresses for Connection objects", "error", err)
		return err
	}
	a.metrics.addresses.WithLabelValues("allocated").Inc()
	a.ready = append(a.ready, got...)
	close(a.came)
	a.came = make(chan struct{})
	return nil
}

// allocate asks for addresses. One that was not answered may have been done, or half of it:
// it is repeated as it is: a Message Node of ours makes the same addresses of it.
func (a *addresses) allocate(ctx context.Context, number int) ([]objectAddress, error) {
	if a.asking == nil {
		a.asking = &pb.Message{
			Id: newID(), Type: message.Create, From: address.SyncManager(a.runtime.Text), To: address.AddressAllocation(a.runtime.Domain),
			Body: message.MarshalBody(map[string]any{
				"scheme": "connection", "subscription": true, "value": map[string]any{"number": number},
			}),
		}
	}
	resp, err := a.request(ctx, a.asking)
	if !isLost(err) && fault.CodeOf(err) != fault.TooMany {
		a.asking = nil
	}
	if err != nil {
		return nil, err
	}
	var body struct {
		Value struct {
			Allocated    []string `json:"allocated"`
			Subscription bool     `json:"subscription"`
		} `json:"value"`
	}
	if err := message.UnmarshalBody(resp, &body); err != nil {
		return nil, err
	}
	if len(body.Value.Allocated) == 0 {
		return nil, fault.New(fault.Unavailable, "the Message Node of %s allocated no address", a.runtime.Domain)
	}
	all := make([]objectAddress, 0, len(body.Value.Allocated))
	for _, url := range body.Value.Allocated {
		all = append(all, objectAddress{url, body.Value.Subscription})
	}
	return all, nil
}

// isLost tells whether it is not known what has become of a request.
func isLost(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Timeout, fault.Unavailable, fault.Conflict: // the last: it is under way still
		return true
	}
	return false
}

// giveBack frees and unsubscribes. What the own Message Node does not answer, or
// nobody has room for on the way to it, is kept for another time, which the error says, as its session may last; what it does not take, and
// another one does not, is let go: it forgets the addresses of a session that is over. What
// was under way when ctx ended is kept for the last time.
func (a *addresses) giveBack(ctx context.Context) (left error) {
	a.mu.Lock()
	done, leave := a.done, a.leave
	a.done, a.leave = nil, map[string][]string{}
	a.mu.Unlock()
	from, own := address.SyncManager(a.runtime.Text), a.runtime.Domain
	tell := func(domain string, keep func(), m *pb.Message) {
		err := left
		if domain != own || left == nil { // else it does not answer now
			_, err = a.request(ctx, m)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil, domain == own && (isLost(err) || fault.CodeOf(err) == fault.TooMany) && a.mayKeep():
			a.mu.Lock()
			defer a.mu.Unlock()
			if keep(); domain == own {
				left = err
			}
		default:
			a.log.Debug("addresses could not be given back", "to", m.To, "error", err)
		}
	}
	for domain, resources := range leave {
		for part := range slices.Chunk(resources, a.limits.Allocate) {
			tell(domain, func() { a.leave[domain] = append(a.leave[domain], part...) }, &pb.Message{
				Type: message.Unsubscribe, From: from, To: address.SubscriptionManager(domain),
				Body: message.MarshalBody(map[string]any{"resources": part}),
			})
		}
	}
	for part := range slices.Chunk(done, a.limits.Allocate) {
		tell(own, func() { a.done = append(a.done, part...) }, &pb.Message{
			Type: message.Delete, From: from, To: address.AddressAllocation(own),
			Body: message.MarshalBody(map[string]any{"childrenResources": part}),
		})
	}
	return left
}

// mayKeep tells whether there is room for what is to be given back another time.
func (a *addresses) mayKeep() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.done)+len(a.leave[a.runtime.Domain]) < a.limits.GiveBack
}

func (a *addresses) request(ctx context.Context, m *pb.Message) (*pb.Message, error) {
	return request(ctx, a.bus, a.limits.Request, m)
}

// request posts a message and waits for its response; one of 400 and above is
// an error.
func request(ctx context.Context, bus *client.Bus, limit time.Duration, m *pb.Message) (*pb.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, err := bus.Request(ctx, m)
	if err != nil {
		return nil, err
	}
	_, err = message.Result(resp)
	return resp, err
}
