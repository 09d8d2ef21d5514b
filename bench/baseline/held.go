package baseline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/pion/webrtc/v3"
	"golang.org/x/sync/errgroup"

	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	"github.com/peerbus/peerbus/internal/fault"
)

// PionHeldRole is a process with many idle connections, at pion's defaults but for the
// loopback, which pion leaves out by itself.
const PionHeldRole = "pion-held"

const (
	doHeap  = "heap"  // → uint64: collects, and gives what is alive
	doCount = "count" // → int: connections that are connected
)

// accepting says whose answer it is.
type accepting struct {
	Number int
	SDP    string
}

// held are the connections of a process, in the order of their offers.
type held struct {
	api *webrtc.API
	mu  sync.Mutex
	all []*heldPeer
}

type heldPeer struct {
	pc   *webrtc.PeerConnection
	open chan struct{}
}

// NewPionHeld is the Role.
func NewPionHeld(_ context.Context, _ struct{}) (worker.Ops, error) {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	h := &held{api: webrtc.NewAPI(webrtc.WithSettingEngine(s))}
	return load.WithMemory(worker.Ops{
		DoOffer:  worker.Do(func(ctx context.Context, _ struct{}) (accepting, error) { return h.offer(ctx) }),
		DoAnswer: worker.Do(h.answer),
		DoAccept: worker.Do(func(ctx context.Context, a accepting) (any, error) { return nil, h.accept(ctx, a) }),
		doHeap: worker.Do(func(context.Context, struct{}) (uint64, error) {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc, nil
		}),
		doCount: worker.Do(func(context.Context, struct{}) (int, error) { return h.count(), nil }),
	}), nil
}

// add makes a connection.
func (h *held) add() (*heldPeer, int, error) {
	pc, err := h.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, 0, err
	}
	p := &heldPeer{pc, make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, p)
	return p, len(h.all) - 1, nil
}

// count gives how many are connected.
func (h *held) count() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.all {
		if p.pc.ConnectionState() == webrtc.PeerConnectionStateConnected {
			n++
		}
	}
	return n
}

func (h *held) offer(ctx context.Context) (accepting, error) {
	p, number, err := h.add()
	if err != nil {
		return accepting{}, err
	}
	channel, err := p.pc.CreateDataChannel("bench", nil)
	if err != nil {
		return accepting{}, err
	}
	channel.OnOpen(func() { close(p.open) })
	sdp, err := described(ctx, p.pc, func() (webrtc.SessionDescription, error) { return p.pc.CreateOffer(nil) })
	return accepting{number, sdp}, err
}

func (h *held) answer(ctx context.Context, offer string) (string, error) {
	p, _, err := h.add()
	if err != nil {
		return "", err
	}
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	return described(ctx, p.pc, func() (webrtc.SessionDescription, error) { return p.pc.CreateAnswer(nil) })
}

// accept takes the answer, and waits until the channel is open.
func (h *held) accept(ctx context.Context, a accepting) error {
	h.mu.Lock()
	if a.Number < 0 || a.Number >= len(h.all) {
		h.mu.Unlock()
		return fault.New(fault.NotFound, "there is no connection %d", a.Number)
	}
	p := h.all[a.Number]
	h.mu.Unlock()
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: a.SDP}); err != nil {
		return err
	}
	return wait(ctx, p.open)
}

// described gives a description with all candidates.
func described(ctx context.Context, pc *webrtc.PeerConnection, create func() (webrtc.SessionDescription, error)) (string, error) {
	complete := webrtc.GatheringCompletePromise(pc)
	d, err := create()
	if err == nil {
		err = pc.SetLocalDescription(d)
	}
	if err == nil {
		err = wait(ctx, complete)
	}
	if err != nil {
		return "", fmt.Errorf("own description: %w", err)
	}
	return pc.LocalDescription().SDP, nil
}

// Holder is a process with idle connections to another one.
func Holder(ctx context.Context, number int, lasts time.Duration) (_ drive.Holder, end func() error, err error) {
	var workers []*worker.Process
	end = func() error {
		var errs []error
		for _, w := range workers {
			errs = append(errs, w.Close())
		}
		return errors.Join(errs...)
	}
	for range 2 {
		w, err := worker.Start(ctx, PionHeldRole, struct{}{})
		if err != nil {
			return drive.Holder{}, nil, errors.Join(err, end())
		}
		workers = append(workers, w)
	}
	near, far := workers[0], workers[1]
	h := drive.Holder{PID: near.PID(), Number: number, Lasts: lasts, Heap: func(ctx context.Context) (n float64, err error) {
		err = near.Call(ctx, doHeap, nil, &n)
		return n, err
	}, Live: func(ctx context.Context) (n int, err error) {
		err = near.Call(ctx, doCount, nil, &n)
		return n, err
	}}
	h.Before, err = h.Use(ctx)
	if err == nil {
		err = pairAll(ctx, far, near, number)
	}
	if err != nil {
		return h, nil, errors.Join(err, end())
	}
	return h, end, nil
}

// pairAll sets so many connections up, some at a time.
func pairAll(ctx context.Context, from, to *worker.Process, number int) error {
	const underWay = 8
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(underWay)
	for range number {
		g.Go(func() error { return pairUp(ctx, from, to) })
	}
	return g.Wait()
}

// pairUp sets one connection up.
func pairUp(ctx context.Context, from, to *worker.Process) error {
	var offer accepting
	if err := from.Call(ctx, DoOffer, nil, &offer); err != nil {
		return err
	}
	answer := accepting{Number: offer.Number}
	if err := to.Call(ctx, DoAnswer, offer.SDP, &answer.SDP); err != nil {
		return err
	}
	return from.Call(ctx, DoAccept, answer, nil)
}
