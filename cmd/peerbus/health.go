package main

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// health is how a process is, for those who probe it.
//
//	/livez   the process answers, whatever else is wrong: only this is healed by a restart
//	/readyz  it serves, and has what it cannot serve without: a Message Node a store that
//	         takes writes, a gateway its bus
//
// A NATS that is away is no reason by itself: registry, bus and p2pstub go on with what
// they have, and all their replicas would be taken away at once. Nor is a runtime that is
// not whole, in one process or in several: it takes messages. That it is whole is said
// by `peerbus status --wait`.
// A service is ready without those that it talks to: registry, bus and stubs need one
// another, and none of them would begin if each waited to be told that another is ready.
type health struct {
	serving  atomic.Bool // its own server is there
	stopping atomic.Bool
	needs    []func(context.Context) error // filled while the process is put together
}

// need adds what the process cannot serve without.
func (h *health) need(ready func(context.Context) error) { h.needs = append(h.needs, ready) }

// ready says why the process should be sent nobody; nil when it may.
func (h *health) ready(ctx context.Context) error {
	switch {
	case h.stopping.Load():
		return fault.New(fault.Unavailable, "stopping")
	case !h.serving.Load():
		return fault.New(fault.Unavailable, "starting")
	}
	for _, ready := range h.needs {
		if err := ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serve is the part of a process without a gRPC server that comes after all others.
func (h *health) serve(ctx context.Context) error {
	h.serving.Store(true)
	<-ctx.Done()
	h.serving.Store(false)
	return nil
}

// handler serves both probes.
func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := h.ready(r.Context()); err != nil {
			http.Error(w, "not ready: "+fault.From(err).Description, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n")) // the client may be gone
	})
	return mux
}

// serveProbes has a listener of its own, without TLS: a kubelet has no certificate, and
// learns nothing here but that the process is well. It is stopped last.
func (p *process) serveProbes(addr string) error {
	if addr == "" {
		return nil
	}
	plain := rpc.Security{Insecure: true}
	lis, err := rpc.Listen(addr, plain)
	if err != nil {
		return err
	}
	p.closers = append(p.closers, func() { _ = lis.Close() })
	srv, err := p.httpServerFor(plain, p.health.handler())
	if err != nil {
		return err
	}
	p.tree.Add("probes", func(ctx context.Context) error {
		p.log.Info("serving probes", "addr", addr)
		return serveOn(ctx, srv, lis)
	})
	return nil
}
