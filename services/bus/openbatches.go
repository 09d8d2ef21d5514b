package bus

import (
	"slices"
	"sort"
)

// openBatches are batches of which something is not settled, by their numbers, which rise.
// Mostly what is settled of one is its beginning. The zero value is empty.
type openBatches struct {
	places []openBatch
	holes  int // of places: those of which all is settled
}

type openBatch struct {
	first, last uint64 // numbers of what is not settled
	of          *batch // nil when all is
}

// add adds the batch with the highest numbers.
func (o *openBatches) add(p part) {
	o.places = append(o.places, openBatch{p.first(), p.last(), p.of})
}

func (o *openBatches) empty() bool { return len(o.places) == 0 }

// get gives the batch that a number is of, and is not settled; nil when there is none.
func (o *openBatches) get(number uint64) *batch {
	if i := o.find(number); i < len(o.places) && o.places[i].first <= number {
		return o.places[i].of
	}
	return nil
}

// below tells whether all numbers of it are below one, those of holes at the end as well.
func (o *openBatches) below(number uint64) bool {
	return o.empty() || o.places[len(o.places)-1].last < number
}

// find gives the place of the first one that ends with a number or behind it.
func (o *openBatches) find(number uint64) int {
	if !o.empty() && number <= o.places[0].last {
		return 0
	}
	return sort.Search(len(o.places), func(i int) bool { return o.places[i].last >= number })
}

// remove takes posts of a batch out, unless they are out.
func (o *openBatches) remove(p part) {
	i, first, last := o.find(p.first()), p.first(), p.last()
	if i == len(o.places) || o.places[i].of != p.of || o.places[i].first > first {
		return
	}
	at := &o.places[i]
	switch before := *at; {
	case first > at.first:
		at.last = first - 1
		if last < before.last {
			o.places = slices.Insert(o.places, i+1, openBatch{last + 1, before.last, p.of})
		}
		return
	case last < at.last: // there may be no number behind it
		at.first = last + 1
		return
	}
	at.of = nil
	o.holes++
	for !o.empty() && o.places[0].of == nil {
		o.places = o.places[1:]
		o.holes--
	}
	if o.holes > len(o.places)/2 {
		o.places, o.holes = slices.DeleteFunc(o.places, func(b openBatch) bool { return b.of == nil }), 0
	}
}
