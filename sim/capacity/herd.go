package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/services/msgnode"
	"github.com/peerbus/peerbus/services/nodestub"
	"github.com/peerbus/peerbus/sim/sample"
)

// disaster is what happens to many runtimes at once.
type disaster struct {
	name     string
	runtimes int
	replicas int           // that they come back to
	outage   time.Duration // of the network between
	// dead: a replica is gone, and nobody notes its sessions as lost but the sweeps of
	// the others.
	dead bool
	// forgotten: their sessions are not kept any more, so that each starts anew.
	forgotten bool
	// opens bounds the opens under way at a replica, and besides the losses being noted;
	// others wait there, where a client that has given up costs nothing. 0: no bound.
	opens int
}

// herd simulates how they come back.
//
//	nodestub                      replica                       store
//	 wait (backoff) ─► connect ──► its cores, a queue
//	                   open ─────► wait (pace) ─► write ───────► a queue
//	 live  ◄──────────────────────────── answer ◄────────────── applied
//	 lost  ◄── OpenTimeout         lost: write ────────────────► (what had been in vain)
type herd struct {
	params  *params
	what    disaster
	events  *queue
	random  *rand.Rand
	stub    nodestub.Limits
	node    msgnode.Limits
	model   *msgnode.Model
	nodes   []*replica
	clients []*client
	store   *store
	report  comeback
	cost    float64       // CPU of a return without its writes, in seconds
	scale   int           // how many runtimes, replicas, writes one stands for
	last    time.Duration // when someone was back last
}

// replica is one of the node: some cores that do one thing after the other.
type replica struct {
	name    string
	model   *msgnode.Model
	free    time.Duration // when its cores have done what they were given
	applied int           // writes that it has seen
	opens   int           // in the present second
	second  int64
	number  int
	opening turns
	losing  turns
}

// client is a nodestub.
type client struct {
	number   int
	backoff  retry.Backoff
	patient  time.Duration
	attempt  int    // the present one; what belongs to another is over
	token    string // of its session
	replica  *replica
	socket   string
	live     bool
	returned time.Duration
}

// comeback is what came of it.
type comeback struct {
	what                    disaster
	half, most, all         time.Duration // until so many are back, after the network is
	left                    int           // that are not back at the end
	attempts                int
	peakOpens               int // a second, at one replica
	peakWrites              int // a second
	writes, inVain, refused int
	longestQueue            int
}

// herdTime is how long it is watched, after the network is back, and hopeless how long
// when nobody comes back any more.
const (
	herdTime = 10 * time.Minute
	hopeless = 30 * time.Second
)

func (m *model) comeBack(what disaster) (comeback, error) {
	h := &herd{
		params: m.params, what: what, events: &queue{}, report: comeback{what: what},
		random: rand.New(rand.NewPCG(m.params.seed, 2)),
		stub:   nodestub.DefaultLimits(), node: msgnode.DefaultLimits(),
	}
	h.node.Sessions = max(h.node.Sessions, what.runtimes)
	h.model = msgnode.NewModel(h.node)
	h.scale = scaleOf(what.replicas, m.params.herdScale)
	what.runtimes, what.replicas = max(what.runtimes/h.scale, 1), max(what.replicas/h.scale, 1)
	h.what = what
	h.store = newStore(h, m.params.storeWrites, what.replicas)
	n := m.params.costs.Node
	h.cost = (n.ReturnCPU - n.ReturnWrites*n.ApplyCPU) / 1e6
	for i := range what.replicas {
		h.nodes = append(h.nodes, &replica{name: fmt.Sprintf("%016x", i), model: h.model.Replica()})
	}
	if err := h.begin(); err != nil {
		return h.report, err
	}
	h.last = what.outage
	for end := what.outage; end < what.outage+herdTime && h.events.now-h.last < hopeless && len(h.events.events) > 0; {
		end += time.Second
		if err := h.events.run(end); err != nil {
			return h.report, err
		}
	}
	return h.result(), nil
}

// scaleOf is how many one may stand for, so that hardly a replica is left over.
func scaleOf(replicas, most int) int {
	for s := min(most, replicas); s > 1; s-- {
		if replicas%s*10 <= replicas {
			return s
		}
	}
	return 1
}

func (h *herd) now() time.Time { return epoch.Add(h.events.now) }

// begin opens all sessions, and takes them away.
func (h *herd) begin() error {
	for i := range h.what.runtimes {
		c := &client{number: i, token: sample.Token(i), patient: h.stub.ConnectFirst}
		c.backoff = retry.Backoff{Min: h.stub.RetryMin, Max: h.stub.RetryMax, Draw: h.draw}
		h.clients = append(h.clients, c)
		c.replica, c.socket = h.nodes[i%len(h.nodes)], fmt.Sprintf("%s/%d", h.nodes[i%len(h.nodes)].name, i)
		if h.what.dead {
			c.socket = fmt.Sprintf("%016x/%d", 1<<20, i)
		}
		if !h.what.forgotten {
			writes, _, _, err := h.model.Open(sample.URL(i), "", c.token, c.socket, h.now())
			if err == nil {
				err = h.model.Apply(writes...)
			}
			if err != nil {
				return err
			}
		}
		h.events.at(0, func() error { return h.cut(c) })
	}
	if h.what.dead {
		for range h.nodes {
			h.events.after(h.draw(h.node.SweepEvery), h.sweep)
		}
	}
	return nil
}

func (h *herd) draw(below time.Duration) time.Duration {
	return time.Duration(h.random.Int64N(int64(max(below, 1))))
}

// cut is the loss of a connection: the replica notes it, if it is there.
func (h *herd) cut(c *client) error {
	if r, socket := c.replica, c.socket; !h.what.dead && !h.what.forgotten {
		h.lost(r, c.number, socket)
	}
	h.later(c)
	return nil
}

// lost has a socket's end noted by its replica, in its turn; what the session has left
// by then is not.
func (h *herd) lost(r *replica, number int, socket string) {
	url := sample.URL(number)
	gone := func() []msgnode.Write { return h.model.Lost(url, socket, h.now()) }
	if len(gone()) == 0 {
		return
	}
	r.losing.take(h.what.opens, func() bool {
		if len(gone()) == 0 {
			return false
		}
		end := func() { r.losing.end(h.what.opens) }
		h.store.put(&request{make: gone, done: func() error { end(); return nil }, refused: end})
		return true
	})
}

// later is the wait until the next attempt that finds a network: one that began before
// there was one has been in vain.
func (h *herd) later(c *client) {
	c.attempt++
	at := h.events.now + h.wait(c, h.events.now)
	for at < h.what.outage {
		at += c.patient
		c.patient = min(2*c.patient, h.stub.ConnectTimeout)
		at += h.wait(c, at)
	}
	h.events.at(at, func() error { return h.connect(c) })
}

// wait is the time between two attempts, as nodestub has it (phaseTime).
func (h *herd) wait(c *client, now time.Duration) time.Duration {
	c.backoff.Max = h.stub.RetryMax
	if now < h.stub.RetrySoon {
		c.backoff.Max = min(h.stub.RetryQuick, h.stub.RetryMax)
	}
	return c.backoff.Next()
}

// connect is an attempt.
func (h *herd) connect(c *client) error {
	h.report.attempts++
	c.replica = h.nodes[h.random.IntN(len(h.nodes))]
	c.replica.number++
	c.socket = fmt.Sprintf("%s/%d", c.replica.name, h.report.attempts)
	attempt := c.attempt
	served := h.serve(c.replica)
	if served > h.stub.ConnectTimeout {
		h.events.after(h.stub.ConnectTimeout, func() error { h.later(c); return nil })
		return nil
	}
	h.events.after(served, func() error { return h.open(c, attempt) })
	return nil
}

// serve is how long a replica takes until it has set up a connection and read its
// open: behind what it was given before, and what it has to see of others' writes.
func (h *herd) serve(r *replica) time.Duration {
	n := h.params.costs.Node
	work := h.cost + float64((h.store.done-r.applied)*h.scale)*n.ApplyCPU/1e6
	r.applied = h.store.done
	r.free = max(r.free, h.events.now) + time.Duration(work/h.params.cores*float64(time.Second))
	return r.free - h.events.now
}

// open asks for the session. The client gives up after OpenTimeout, the replica after
// StoreTimeout; what is in the store's queue is written all the same.
func (h *herd) open(c *client, attempt int) error {
	h.count(c.replica)
	given, socket, at := c.token, c.socket, c.replica
	writes, wait, _, err := at.model.Open(sample.URL(c.number), given, given, socket, h.now())
	if err != nil { // paced
		h.report.refused++
		h.later(c)
		return nil
	}
	if len(writes) == 0 {
		return h.back(c)
	}
	gaveUp := false
	h.events.after(h.giveUp(), func() error {
		if c.attempt == attempt && !c.live {
			gaveUp = true
			h.later(c)
			h.lost(at, c.number, socket) // if it has been written by then
		}
		return nil
	})
	h.events.after(wait, func() error {
		at.opening.take(h.what.opens, func() bool {
			if gaveUp {
				return false
			}
			h.ask(c, attempt, socket, &gaveUp)
			return true
		})
		return nil
	})
	return nil
}

// giveUp is how long a client waits for its answer, or the replica for the store.
func (h *herd) giveUp() time.Duration { return min(h.stub.OpenTimeout, h.node.StoreTimeout) }

// ask puts an open into the store's queue: the session, and where it is made anew its
// sync manager.
func (h *herd) ask(c *client, attempt int, socket string, gaveUp *bool) {
	url, token, at := sample.URL(c.number), c.token, c.replica
	r := &request{
		make: func() []msgnode.Write {
			writes, _, _, _ := h.model.Open(url, "", token, socket, h.now()) // it was paced before
			return writes
		},
		done: func() error {
			at.opening.end(h.what.opens)
			if *gaveUp || c.attempt != attempt {
				h.report.inVain++
				h.lost(at, c.number, socket) // nobody is at that socket any more
				return nil
			}
			return h.back(c)
		},
		refused: func() {
			at.opening.end(h.what.opens)
			h.report.refused++
			if c.attempt == attempt && !*gaveUp {
				*gaveUp = true
				h.later(c)
			}
		},
	}
	if h.what.forgotten {
		r.more = 1
	}
	h.store.put(r)
}

// back is the answer to an open. Who has a new session subscribes, allocates and
// registers again.
func (h *herd) back(c *client) error {
	c.live, c.returned, h.last = true, h.events.now, h.events.now
	if h.what.forgotten {
		rest := len(sample.Subscribed(0)) - 1 + h.params.pool + 2*h.params.hyperties
		h.store.put(&request{more: rest - 1, make: func() []msgnode.Write { return nil }})
	}
	return nil
}

// count the opens of a second.
func (h *herd) count(r *replica) {
	if s := int64(h.events.now / time.Second); s != r.second {
		r.second, r.opens = s, 0
	}
	r.opens++
	h.report.peakOpens = max(h.report.peakOpens, r.opens)
}

// sweep of a replica notes the sessions of the dead one as lost, one after the other.
func (h *herd) sweep() error {
	dead := fmt.Sprintf("%016x", 1<<20)
	order := h.random.Perm(len(h.clients))
	var next func() error
	next = func() error {
		for len(order) > 0 {
			url := sample.URL(order[0])
			order = order[1:]
			if len(h.model.Gone(url, dead, h.now())) == 0 {
				continue
			}
			h.store.put(&request{
				done: next, refused: func() {},
				make: func() []msgnode.Write { return h.model.Gone(url, dead, h.now()) },
			})
			return nil
		}
		return nil
	}
	return next()
}

func (h *herd) result() comeback {
	var times []time.Duration
	for _, c := range h.clients {
		if c.live {
			times = append(times, c.returned-h.what.outage)
		}
	}
	r := &h.report
	r.left = (len(h.clients) - len(times)) * h.scale
	slices.Sort(times)
	if n := len(times); n > 0 {
		r.half, r.most, r.all = times[n/2], times[n*99/100], times[n-1]
	}
	r.writes, r.peakWrites, r.longestQueue = h.store.done*h.scale, h.store.peak*h.scale, h.store.longest*h.scale
	r.inVain, r.refused, r.attempts = r.inVain*h.scale, r.refused*h.scale, r.attempts*h.scale
	return *r
}
