package main
import "time"

// herds are the disasters of the page: a part of the domain as it is, of one that is
// as large as its limits allow, and a replica's death.
func (m *model) herds() ([]comeback, error) {
	p := m.params
	n := float64(p.runtimes)
	replicas := int(m.replicasFor(n))
	share := int(n * p.herdShare)
	each := int(n) / replicas
	var all []comeback
	for _, d := range []disaster{
		{name: "a network is away for " + duration(p.herdOutage), runtimes: share, replicas: replicas, outage: p.herdOutage},
		{name: "it is away for an instant", runtimes: share, replicas: replicas},
		{name: "it is away for " + duration(p.herdOutageLong) + ": sessions are not kept", runtimes: share, replicas: replicas, outage: p.herdOutageLong},
		{name: "a replica dies", runtimes: each, replicas: max(replicas-1, 1), dead: true},
		{name: "a tenth of that: an instant", runtimes: share / 10, replicas: max(replicas/10, p.minReplicas)},
	} {
		began := time.Now()
		c, err := m.comeBack(d)
		println(d.name, time.Since(began).String(), c.attempts, c.writes, c.inVain, c.longestQueue)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
