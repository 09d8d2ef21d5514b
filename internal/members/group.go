package members

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/internal/run"
)

// markerFor is how long the mark of a removed key is kept, for members that were
// cut off meanwhile.
const markerFor = time.Minute

// watchWithin bounds the beginning of a watch, whose answer may be lost with a server.
const watchWithin = 5 * time.Second

// Config of a Group.
type Config struct {
	// Engine has the bucket. It outlives the group.
	Engine *engine.Engine
	// RuntimeURL is the runtime whose services find one another.
	RuntimeURL string
	// Self is the member that this process is.
	Self Member

	Limits Limits       // zero fields: DefaultLimits
	Log    *slog.Logger // nil: slog.Default()
}

// Group is the members of a runtime as one of them sees them. Its methods may be
// called at the same time; all but New wait for what Run finds.
type Group struct {
	engine *engine.Engine
	bucket string
	about  string
	limits Limits
	log    *slog.Logger
	beats  chan struct{} // asks for a beat now; holds one signal
	gone   chan struct{} // closed when Run has ended
	// stalled asks for another watch; holds one signal.
	stalled chan struct{}

	clearing sync.WaitGroup // of Run

	mu      sync.Mutex
	self    Member
	kv      jetstream.KeyValue // nil until Run has opened it
	view    *view
	loaded  bool          // all that was in the bucket has been seen
	beaten  time.Time     // when this member's key was last written, or Run began; zero before
	refused error         // why that was not written since
	changed chan struct{} // closed, and replaced, with each change
}

// New makes a group. It starts nothing.
func New(cfg Config) (*Group, error) {
	if cfg.Engine == nil {
		return nil, fault.New(fault.BadRequest, "engine is missing")
	}
	if err := cfg.Self.Check(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(cfg.RuntimeURL))
	g := &Group{
		engine: cfg.Engine, bucket: "peerbus_members_" + hex.EncodeToString(sum[:10]), about: "members of " + cfg.RuntimeURL,
		limits: cfg.Limits.orDefaults(), log: cfg.Log, beats: make(chan struct{}, 1), gone: make(chan struct{}), stalled: make(chan struct{}, 1),
		self: cfg.Self, changed: make(chan struct{}),
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	g.view = newView(cfg.Self, g.limits)
	return g, nil
}

// Run keeps the member's key alive and follows those of others until ctx is done;
// then it takes the key away, so that the others know at once. It is called once.
func (g *Group) Run(ctx context.Context) error {
	defer close(g.gone)
	defer g.clearing.Wait()
	g.noteBeat(nil)
	kv, err := g.open(ctx)
	switch {
	case ctx.Err() != nil: // it has written nothing yet
		return nil
	case err != nil:
		return err
	}
	g.mu.Lock()
	g.kv = kv
	g.mu.Unlock()
	err = run.All(ctx, g.beatOn, g.follow)
	g.remove()
	return err
}

// open opens the bucket, and makes it where it is not there.
func (g *Group) open(ctx context.Context) (jetstream.KeyValue, error) {
	return g.engine.Bucket(ctx, jetstream.KeyValueConfig{
		Bucket: g.bucket, Description: g.about, History: 1, LimitMarkerTTL: markerFor,
	})
}

// Self is the member that this process is.
func (g *Group) Self() Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.self
}

// Leave tells the others that this member is told to stop.
func (g *Group) Leave() {
	g.mu.Lock()
	g.self.Leaving = true
	g.mu.Unlock()
	select {
	case g.beats <- struct{}{}:
	default:
	}
}

// beatOn writes the member's key until ctx is done. When another server of NATS is found
// it does so at once: what was on its way to the one before is lost.
func (g *Group) beatOn(ctx context.Context) error {
	tick := time.NewTicker(g.limits.Beat)
	defer tick.Stop()
	moved := g.engine.Conn().StatusChanged(nats.CONNECTED)
	defer g.engine.Conn().RemoveStatusListener(moved)
	failing := false
	var w written
	for {
		revision, err := g.beat(ctx, moved)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errMoved):
			continue
		case err != nil && !failing:
			g.log.Warn("the other members cannot be told that this one is there, trying again", "error", err)
		case err == nil && failing:
			g.log.Info("the other members are told again that this one is there")
		}
		g.noteBeat(err)
		switch failing = err != nil; {
		case errors.Is(err, jetstream.ErrNoStreamResponse): // nobody takes what is written
			g.mend(ctx)
		case !failing:
			if w.isStale(revision, g.seen(), g.limits.Misses) {
				g.stall()
			}
		}
		select {
		case <-tick.C:
		case <-g.beats:
		case <-moved:
		case <-ctx.Done():
		}
	}
}

// mend makes the bucket anew when it is known not to be there any more.
func (g *Group) mend(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, g.limits.Write)
	defer cancel()
	_, err := g.kv.Status(within)
	if !errors.Is(err, jetstream.ErrStreamNotFound) && !errors.Is(err, jetstream.ErrBucketNotFound) {
		return
	}
	if _, err := g.open(within); err == nil { // of the same name, so it is used as the one before
		g.log.Warn("the members' bucket was gone, and is made anew", "bucket", g.bucket)
		g.stall()
	}
}

// stall has the bucket watched anew.
func (g *Group) stall() {
	select {
	case g.stalled <- struct{}{}:
	default: // it is on its way already
	}
}

// noteBeat notes how a beat has ended.
func (g *Group) noteBeat(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused = err; err == nil {
		g.beaten = time.Now()
	}
}

// Trouble says what NATS lacks, and since when, while this member can write nothing
// there: nobody can begin to lead then, nor come or go. It is nil while it can.
func (g *Group) Trouble() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	since := time.Since(g.beaten)
	if g.beaten.IsZero() || since <= g.limits.Write {
		return nil
	}
	why := g.engine.Lacks()
	if g.refused != nil && !engine.IsPassing(g.refused) { // it says so itself, as one that is full does
		why = "NATS takes no write: " + g.refused.Error()
	}
	return fault.New(fault.Unavailable, "%s, for %s now", why, since.Round(time.Second))
}

// errMoved gives a beat up whose server is lost.
var errMoved = errors.New("another server is connected")

// beat writes the member's key once, and gives the revision.
func (g *Group) beat(ctx context.Context, moved <-chan nats.Status) (uint64, error) {
	self := g.Self()
	value, err := json.Marshal(self)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.limits.Write)
	defer cancel()
	var revision uint64
	done := make(chan struct{})
	go func() {
		defer close(done)
		revision, err = g.kv.Put(ctx, memberKey(self), value)
	}()
	select {
	case <-done:
		return revision, err
	case <-moved:
	}
	cancel()
	if <-done; err == nil {
		return revision, nil
	}
	return 0, errMoved
}

// seen is the revision of this member's key as the watch has brought it last.
func (g *Group) seen() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.view.records[g.view.own].revision
}

// remove takes the member's key away, when it stops. If that fails, the others
// find it gone by themselves.
func (g *Group) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), g.limits.Write)
	defer cancel()
	if err := g.kv.Purge(ctx, memberKey(g.Self()), jetstream.PurgeTTL(markerFor)); err != nil {
		g.log.Debug("the member's key could not be removed", "error", err)
	}
}

// follow applies what comes through the bucket until ctx is done, and watches it anew
// when the watch has ended or is of no use.
func (g *Group) follow(ctx context.Context) error {
	retry.Keep(ctx, g.watch,
		func(err error) { g.log.Warn("the members are watched anew", "error", err) },
		nil)
	return nil
}

// watch applies what comes until ctx is done, or nothing comes any more: the bucket was
// made anew, or the server is lost that the watch was at.
func (g *Group) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the watch, and waits for no answer as Stop does
	late := time.AfterFunc(watchWithin, cancel)
	w, err := g.kv.WatchAll(ctx)
	if err != nil || !late.Stop() {
		return g.engine.Unable(errors.Join(err, ctx.Err()))
	}
	g.begin()
	select {
	case <-g.stalled: // that was the watch before
	default:
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.stalled:
			return fault.New(fault.Unavailable, "the watch does not show what is written")
		case e, ok := <-w.Updates():
			if !ok {
				return fault.New(fault.Unavailable, "the watch of %s has ended", g.bucket)
			}
			g.apply(ctx, e)
		}
	}
}

// begin takes what a new watch brings. Those that were known count as there until they
// miss their beats.
func (g *Group) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.view, g.loaded = g.view.again(), false
}

// apply takes one entry of the bucket; nil when all that was there has come.
func (g *Group) apply(ctx context.Context, e jetstream.KeyValueEntry) {
	g.mu.Lock()
	changed := false
	var err error
	switch {
	case e == nil:
		g.loaded, changed = true, true
	case e.Operation() == jetstream.KeyValuePut:
		before := g.ready()
		changed, err = g.view.put(e.Key(), e.Value(), e.Revision())
		changed = changed || g.ready() != before
	default:
		changed = g.view.drop(e.Key())
	}
	var lost []gone
	if e != nil && e.Key() == g.view.own {
		lost = g.forget()
		changed = changed || len(lost) > 0
	}
	if changed {
		close(g.changed)
		g.changed = make(chan struct{})
	}
	g.mu.Unlock()
	if err != nil {
		g.log.Warn("a member's key cannot be read", "member", e.Key(), "error", err)
	}
	for _, l := range lost {
		g.log.Warn("a member is gone without a word", "member", l.key, "kind", l.member.Kind, "addr", l.member.Addr)
		g.clearing.Go(func() { g.clear(ctx, l.key, l.revision) })
	}
}

// ready tells whether it is known who is there: this member has seen itself among
// them. It is called with mu held.
func (g *Group) ready() bool { return g.loaded && g.view.clock > 0 }

// forget takes those out of the view that are gone without a word. It is called
// with mu held.
func (g *Group) forget() (lost []gone) {
	if !g.ready() {
		return nil
	}
	for _, key := range g.view.lost() {
		lost = append(lost, gone{key, g.view.records[key]})
		g.view.drop(key)
	}
	return lost
}

// gone is a key whose member does not write it any more.
type gone struct {
	key string
	record
}

// clear removes the key of one that is gone from the bucket, unless it has written
// it meanwhile. It tries until it knows: nobody sees the key any more, and that of a
// leader keeps all others from leading. Without a revision the bucket has not brought the
// key, and NATS would remove whatever it has by then.
func (g *Group) clear(ctx context.Context, key string, revision uint64) {
	if revision == 0 {
		return
	}
	wait := retry.Backoff{Min: g.limits.Beat}
	for {
		err := g.tryClear(ctx, key, revision)
		if err == nil || errors.Is(err, jetstream.ErrKeyRevisionMismatch) || errors.Is(err, jetstream.ErrKeyExists) {
			return
		}
		g.log.Debug("the key of a member that is gone is not removed yet", "member", key, "error", err)
		if wait.Wait(ctx) != nil {
			return
		}
	}
}

func (g *Group) tryClear(ctx context.Context, key string, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, g.limits.Write)
	defer cancel()
	return g.kv.Purge(ctx, key, jetstream.LastRevision(revision), jetstream.PurgeTTL(markerFor))
}

// Watch calls f with the members of a kind, this one among them, once it is known
// who is there and then with each change, until ctx is done. f is called by one
// goroutine; changes that come while it runs are told as one.
func (g *Group) Watch(ctx context.Context, kind string, f func([]Member)) error {
	var told []Member
	for first := true; ; {
		g.mu.Lock()
		ready, changed, now := g.ready(), g.changed, g.view.of(kind)
		g.mu.Unlock()
		if ready && (first || !slices.Equal(told, now)) {
			first, told = false, now
			f(slices.Clone(now))
		}
		if !g.await(ctx, changed) {
			return nil
		}
	}
}

// WatchLeader calls f with the member that leads a kind, as Watch does; not ok
// while there is none.
func (g *Group) WatchLeader(ctx context.Context, kind string, f func(m Member, ok bool)) error {
	var told Member
	var was bool
	for first := true; ; {
		g.mu.Lock()
		ready, changed := g.ready(), g.changed
		m, ok := g.view.leader(kind)
		g.mu.Unlock()
		if ready && (first || ok != was || m != told) {
			first, told, was = false, m, ok
			f(m, ok)
		}
		if !g.await(ctx, changed) {
			return nil
		}
	}
}

// await waits for a change. It gives false when there is none any more.
func (g *Group) await(ctx context.Context, changed <-chan struct{}) bool {
	select {
	case <-changed:
		return true
	case <-g.gone:
		return false
	case <-ctx.Done():
		return false
	}
}
