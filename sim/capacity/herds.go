package main

import "time"

// herds are the disasters of the page: a replica dies, and a part of the domain loses
// its connections. Without bounds is how it was before Limits.Opens.
func (m *model) herds() ([]comeback, error) {
	p := m.params
	n := float64(p.runtimes)
	replicas := int(m.replicasFor(n))
	share, bound := int(n*p.herdShare), m.limits.Opens
	away := func(outage time.Duration, opens int) disaster {
		return disaster{runtimes: share, replicas: replicas, outage: outage, opens: opens}
	}
	dies := disaster{runtimes: int(n) / replicas, replicas: max(replicas-1, 1), dead: true, opens: bound}
	forgotten := func(opens int) disaster {
		d := away(p.herdOutageLong, opens)
		d.forgotten = true
		return d
	}
	small := disaster{runtimes: share / 10, replicas: max(replicas/10, p.minReplicas), opens: bound}
	var all []comeback
	for _, d := range []struct {
		name string
		what disaster
	}{
		{"a replica dies", dies},
		{"a network is away for an instant", away(0, bound)},
		{"the same, without bounds", away(0, 0)},
		{"a network is away for " + duration(p.herdOutage), away(p.herdOutage, bound)},
		{"the same, without bounds", away(p.herdOutage, 0)},
		{"for " + duration(p.herdOutageLong) + ": sessions are not kept", forgotten(bound)},
		{"the same, without bounds", forgotten(0)},
		{"a network of a tenth as many, at a tenth of the replicas, for an instant", small},
	} {
		d.what.name = d.name
		c, err := m.comeBack(d.what)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
