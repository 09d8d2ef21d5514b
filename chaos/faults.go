package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/peerbus/peerbus/internal/netlab"
)

// fault is a kind of trouble: it begins, lasts, and heals.
type fault struct {
	name    string
	targets []string // what it works on; two faults of one target do not overlap
	begin   func(context.Context) error
	heal    func(context.Context) error // nil: there is nothing to undo
}

// linkTarget is what all faults of the link work on.
const linkTarget = "link"

// faults lists all kinds.
func (w *world) faults() []fault {
	var all []fault
	for _, p := range w.processes {
		all = append(all, killed(p), terminated(p), paused(p))
	}
	for _, s := range w.sides {
		all = append(all, w.udpCut(s), w.nodeCut(s), w.addressChanged(s))
	}
	slow, lossy := netlab.Weather{Delay: 100 * time.Millisecond}, netlab.Weather{Loss: 0.02}
	all = append(all,
		w.linkFault("link late by 100 ms", slow),
		w.linkFault("link loses 2 %", lossy),
		w.linkFault("link late and lossy", netlab.Weather{Delay: slow.Delay, Loss: lossy.Loss}),
		w.linkFault("link cut", netlab.Weather{Cut: true}),
		w.everythingCut(),
	)
	return all
}

// matching gives the faults whose names match.
func matching(all []fault, only string) ([]fault, error) {
	pattern, err := regexp.Compile("(?i)" + only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	var out []fault
	var names []string
	for _, f := range all {
		names = append(names, f.name)
		if pattern.MatchString(f.name) {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("-only %q matches none of these faults:\n  %s", only, strings.Join(names, "\n  "))
	}
	return out, nil
}

func killed(p *process) fault {
	return fault{
		name: "SIGKILL " + p.name, targets: []string{p.name},
		begin: func(context.Context) error { p.kill(); return nil },
		heal:  func(context.Context) error { return p.start() },
	}
}

func terminated(p *process) fault {
	return fault{
		name: "SIGTERM " + p.name, targets: []string{p.name},
		begin: func(ctx context.Context) error { p.terminate(ctx); return nil },
		heal:  func(context.Context) error { return p.start() },
	}
}

// paused has a process hang: its connections are there, and it answers nothing.
func paused(p *process) fault {
	return fault{
		name: "SIGSTOP " + p.name, targets: []string{p.name},
		begin: func(context.Context) error { p.pass(syscall.SIGSTOP); return nil },
		heal:  func(context.Context) error { p.pass(syscall.SIGCONT); return nil },
	}
}

// udpCut lets no UDP in or out of a side. Senders there are told so (EPERM), as
// by a firewall of their own.
func (w *world) udpCut(s *side) fault {
	const table = "inet chaos_udp"
	return fault{
		name: "UDP of " + s.name + " cut", targets: []string{"udp of " + s.name},
		begin: func(ctx context.Context) error {
			return s.ns.NFT(ctx, "table "+table+` {
				chain in { type filter hook input priority 0; meta l4proto udp drop; }
				chain out { type filter hook output priority 0; meta l4proto udp drop; }
			}`)
		},
		heal: func(ctx context.Context) error { return s.ns.NFT(ctx, "delete table "+table) },
	}
}

// nodeCut cuts a side off from the Message Node. Nobody is told: packets arrive
// at neither end.
func (w *world) nodeCut(s *side) fault {
	near, far := cutAt(s.ns, w.node), cutAt(w.node, s.ns)
	return fault{
		name: "Message Node cut off from " + s.name, targets: []string{"node of " + s.name},
		begin: func(ctx context.Context) error { return errors.Join(near.begin(ctx), far.begin(ctx)) },
		heal:  func(ctx context.Context) error { return errors.Join(near.heal(ctx), far.heal(ctx)) },
	}
}

// cutAt drops what comes into a namespace from another, over their veth.
func cutAt(at, from *netlab.Namespace) fault {
	table := "inet chaos_" + from.Short
	return fault{
		begin: func(ctx context.Context) error {
			return at.NFT(ctx, fmt.Sprintf(`table %s {
				chain in { type filter hook input priority 0; iifname %q drop; }
			}`, table, from.Short))
		},
		heal: func(ctx context.Context) error { return at.NFT(ctx, "delete table "+table) },
	}
}

func (w *world) linkFault(name string, bad netlab.Weather) fault {
	return fault{
		name: name, targets: []string{linkTarget},
		begin: func(context.Context) error { w.link.Set(bad); return nil },
		heal:  func(context.Context) error { w.link.Set(netlab.Weather{}); return nil },
	}
}

// addressChanged gives a side another address on the link. It is there for good,
// as after a move to another network.
func (w *world) addressChanged(s *side) fault {
	return fault{
		name: "address of " + s.name + " changed", targets: []string{"address of " + s.name},
		begin: s.moveAddress,
	}
}

// everythingCut cuts the link, and both sides off from the Message Node.
func (w *world) everythingCut() fault {
	parts := []fault{w.linkFault("", netlab.Weather{Cut: true}), w.nodeCut(w.sides[0]), w.nodeCut(w.sides[1])}
	f := fault{name: "everything cut"}
	for _, p := range parts {
		f.targets = append(f.targets, p.targets...)
	}
	f.begin = func(ctx context.Context) error { return each(parts, func(p fault) error { return p.begin(ctx) }) }
	f.heal = func(ctx context.Context) error { return each(parts, func(p fault) error { return p.heal(ctx) }) }
	return f
}

func each(parts []fault, do func(fault) error) error {
	var errs []error
	for _, p := range parts {
		errs = append(errs, do(p))
	}
	return errors.Join(errs...)
}
