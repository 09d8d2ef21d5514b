package main

import "math"

// split is a domain's runtimes in several domains.
type split struct {
	domains  int
	foreign  float64 // sessions that a runtime has with other domains' nodes
	visitors float64 // sessions of others at each node
	abroad   float64 // share of contacts in another domain
	layout   layout
	fits     bool
}

// splitInto lays out one of so many domains of the same size. Whom a runtime talks to
// in another domain it reaches by a session with that domain's node. Such a session is
// a record with its sync manager's address, and the connection's addresses are
// subscribed there, where the other's object is.
func (m *model) splitInto(domains int) split {
	p := m.params
	s := split{domains: domains}
	if domains > 1 {
		s.abroad = 1 - p.locality
		others := float64(domains - 1)
		s.foreign = others * (1 - math.Pow(1-1/others, float64(p.contacts)*s.abroad))
		if domains == 2 {
			s.foreign = 1 - math.Pow(p.locality, float64(p.contacts))
		}
	}
	own := float64(p.runtimes) / float64(domains)
	s.visitors = own * s.foreign
	guest := *m
	extra := s.foreign
	guest.life.sessions += extra
	guest.life.subscribers += extra
	guest.life.returns *= 1 + extra
	guest.life.stateWrites += extra * 2 * p.losses / 3600
	guest.life.stateBytes += extra * 2 * p.losses / 3600 * p.costs.Store.SessionBytes
	s.layout, s.fits = guest.fits(own)
	return s
}
