package bus

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/internal/tracing"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// Config of a bus.
type Config struct {
	// RuntimeURL is the address of the runtime that the bus belongs to.
	RuntimeURL string
	// Registry is the connection to the runtime's registry. It stays the
	// caller's, and need not be up.
	Registry grpc.ClientConnInterface
	// Limits that are zero take their defaults.
	Limits Limits
	// Log defaults to slog.Default().
	Log *slog.Logger
	// Metrics is where the metrics are registered; nil registers none.
	Metrics prometheus.Registerer
	// Tracer makes the spans; nil for none.
	Tracer *tracing.Tracer
	// NoFlows has all messages to other runtimes leave as plain ones, whatever those have
	// announced. What comes in a flow is taken as ever.
	NoFlows bool
	// Replicas are the other buses of the runtime, and Dial makes a connection to one.
	// Without Replicas there are none.
	Replicas Replicas
	Dial     func(members.Member) (*grpc.ClientConn, error)
}

// Bus routes messages between the listeners of one runtime. Register makes it
// a gRPC service, which may serve before Run and must have stopped, or will be
// stopped by Run's end.
type Bus struct {
	runtimeURL string
	own        string // address of clients that have none
	limits     Limits
	log        *slog.Logger
	registry   pb.RegistryClient
	metrics    *metrics
	point      *tracing.Point

	streams  *streams
	origins  *origins
	keyed    *keyed
	ask      *asker
	sources  *sources
	table    *table
	flows    *flows
	requests *requests
	asked    *asked
	mesh     *mesh // nil without other replicas; so its methods do nothing then
}

// New makes a bus; Run keeps it in touch with the registry.
func New(cfg Config) (*Bus, error) {
	runtime, err := address.ParseRuntime(cfg.RuntimeURL)
	if err != nil {
		return nil, err
	}
	if cfg.Registry == nil {
		return nil, fault.New(fault.BadRequest, "bus: no connection to the registry")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	b := &Bus{
		runtimeURL: runtime.Runtime, own: address.Bus(runtime.Runtime), limits: cfg.Limits.orDefaults(),
		log: cfg.Log, registry: pb.NewRegistryClient(cfg.Registry), metrics: newMetrics(),
		point: cfg.Tracer.Point("bus", runtime.Runtime),
	}
	b.streams = newStreams(&b.limits)
	b.origins, b.keyed = newOrigins(&b.limits), newKeyed(b.limits.Calls)
	b.ask = newAsker(b.limits.Questions)
	b.table = newTable(&b.limits, b.metrics, b.ask, b.carryOut)
	b.sources = newSources(&b.limits, b.ask, b.deliver, b.carryOut)
	b.requests = newRequests(&b.limits, b.metrics, b.finish, b.table.hopeless)
	b.asked = newAsked(b.limits.Traced)
	if cfg.Replicas != nil {
		b.mesh = newMesh(b, cfg)
		b.table.mesh = b.mesh
	}
	b.flows = newFlows(b, time.Now())
	b.flows.none = cfg.NoFlows
	b.table.flows = b.flows
	if cfg.Metrics != nil {
		if err := b.metrics.register(cfg.Metrics, b); err != nil {
			return nil, fault.New(fault.Conflict, "bus metrics: %w", err)
		}
	}
	return b, nil
}

// Run keeps the stream to the registry up until ctx is done; then it ends all
// streams and calls, and waits for them. It is called once.
func (b *Bus) Run(ctx context.Context) error {
	var flows sync.WaitGroup
	flows.Go(func() { b.flows.run(ctx) })
	flows.Go(func() { b.mesh.run(ctx) })
	err := b.askRegistry(ctx)
	flows.Wait()
	b.streams.end()
	b.origins.end()
	b.flows.end()
	over := fault.New(fault.Unavailable, "the bus is stopping")
	b.sources.end(over)
	b.carryOut(b.table.end(over))
	return err
}

// post takes a message in: it is checked, then its source is, then it is
// delivered. Each step may put it into a line, and whoever lets it go from
// there goes on with the next step.
func (b *Bus) post(p *post) {
	b.metrics.posted(p.by.component())
	if p.m.GetFlow() == nil {
		p.trail.tally = b.metrics.tally
	}
	if err := b.admit(p); err != nil {
		b.settle(p, err)
		return
	}
	if p.m.Flow != nil {
		if _, _, err := sourceOf(p); err != nil {
			b.settle(p, err)
			return
		}
		b.flows.arrive(p)
		b.settle(p, nil)
		return
	}
	b.verify(p)
}

// verify has the source of a post checked, and delivers it.
func (b *Bus) verify(p *post) {
	b.tracePosted(p)
	key, needed, err := sourceOf(p)
	switch {
	case err != nil:
		b.settle(p, err)
	case !needed || key == (sourceKey{from: b.own}):
		b.deliver(p)
	default:
		b.sources.check(p, key)
	}
}

// admit checks a post by itself. What a local client leaves out is filled in;
// only what comes from outside has a via.
func (b *Bus) admit(p *post) error {
	if p.m != nil && p.ingress == nil {
		b.complete(p)
	}
	p.measure()
	err := message.ValidateSized(p.m, p.size)
	if p.m.GetFlow() == nil { // what comes in a flow is a post once it is in order
		b.begin(p)
	}
	if err != nil {
		return &refusal{reasonInvalid, fault.From(err)}
	}
	switch {
	case p.wait == pb.Wait_WAIT_DELIVERED:
		late := errLate(p.m.To)
		p.patience = time.AfterFunc(b.requests.patience(p), func() {
			p.countLate()
			p.tell(outcomeOf(p.sequence, late))
		})
		return nil
	case p.wait != pb.Wait_WAIT_RESPONSE:
		return nil
	case message.IsResponse(p.m):
		return wrong(fault.New(fault.BadRequest, "wait: a response is not answered").In("wait"))
	case p.sequence == 0:
		return wrong(fault.New(fault.BadRequest, "wait: a post without a sequence number cannot wait for a response").In("wait"))
	}
	if err := b.requests.add(p); err != nil {
		return err
	}
	b.answerLate(p.request.key)
	return nil
}

func errLate(to string) error {
	return fault.New(fault.Timeout, "%s did not say in time that it has the message", to)
}

// fromStub tells whether a stub posts.
func fromStub(p *post) bool { return isStub(p.by.component()) }

func isStub(c pb.Component) bool {
	return c == pb.Component_COMPONENT_P2P_STUB || c == pb.Component_COMPONENT_NODE_STUB
}

// complete fills in what a poster leaves out, and takes out what is not its to say.
// A stub's own word may be that a message of a flow has not left.
func (b *Bus) complete(p *post) {
	m := p.m
	if m.Id == "" {
		m.Id, p.encoded = message.StringID(uuid.NewString()), nil
	}
	if m.From == "" {
		m.From, p.encoded = b.own, nil
	}
	if m.Via != "" {
		m.Via, p.encoded = "", nil
	}
	if m.Flow != nil && !(fromStub(p) && m.Flow.Refused) {
		m.Flow, p.encoded = nil, nil
	}
}

// deliver takes a post whose source is approved where it has to go: a response
// to its request, anything else to the listeners of its address or its route.
func (b *Bus) deliver(p *post) {
	p.verified = true
	if p.flowing && !b.flows.seen.first(p) {
		b.metrics.duplicates.Inc()
		return
	}
	if message.IsResponse(p.m) && b.answers(p) {
		return
	}
	if p.m.To == b.own && b.answerPing(p) {
		return
	}
	if p.ingress != nil && !b.forUs(p.m.To) {
		if p.flowing && b.table.young() {
			if done, err := b.table.expect(p); done {
				b.settle(p, err)
			}
			return
		}
		b.settle(p, nobodyListens(p.m.To))
		return
	}
	if done, err := b.table.route(p); done {
		b.settle(p, err)
	}
}

// answers gives a response to the request that waits for it, here or at another
// replica; false when none does.
func (b *Bus) answers(p *post) bool {
	if b.mesh != nil && b.answersElsewhere(p) {
		return true
	}
	q, final := b.requests.answer(p.m)
	switch {
	case final:
		q.adopt(p)
		b.respond(q, p)
	case q != nil:
		q.adopt(p)
		if done, err := b.table.local(p); done {
			b.settle(p, err)
		}
	default:
		return b.handOver(p)
	}
	return true
}

// pingType is the type of what the bus itself answers, for whoever wants to know
// whether and how a runtime is reached.
const pingType = "ping"

// answerPing answers a ping to the bus itself.
func (b *Bus) answerPing(p *post) bool {
	if p.m.Type != pingType {
		return false
	}
	p.went(pb.Component_COMPONENT_UNSPECIFIED)
	b.settle(p, nil)
	b.deliver(b.ownPost(message.Answer(b.point.Hop(p.m, message.HopDelivered), fault.OK, nil)))
	return true
}

// forUs tells whether what comes from outside may go to an address: to a listener
// here, or to this runtime's own services, which may be starting. A runtime
// forwards nothing for others.
func (b *Bus) forUs(to string) bool {
	return address.Within(to, b.runtimeURL) || b.table.heard(to)
}

// offer offers a post to some listeners, past the table.
func (b *Bus) offer(p *post, takers []*inbox) {
	if done, err := offer(p, takers); done {
		b.settle(p, err)
	}
}

// addListener puts a listener in place.
func (b *Bus) addListener(s *stream, c *pb.ListenerChange) error {
	if c.GetAddress() == anyAddress && s.comp == pb.Component_COMPONENT_APPLICATION {
		return wrong(fault.New(fault.BadRequest, "address * is for stubs alone").In("address"))
	}
	verdicts, err := b.table.add(s, c)
	if err != nil {
		return err
	}
	if b.tracing() {
		b.log.Debug("listener added",
			"address", c.GetAddress(), "leads_to", c.GetLeadsTo(), "component", label(s.comp))
	}
	b.carryOut(verdicts)
	return nil
}

func (b *Bus) removeListener(s *stream, address, leadsTo string) error {
	verdicts, err := b.table.remove(s, address, leadsTo)
	b.carryOut(verdicts)
	return err
}
