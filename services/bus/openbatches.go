package bus

import (
	"slices"
	"sort"
)

// openBatches are batches of which something is not settled, by their numbers, which rise.
// Mostly what is settled of one is its beginning. The zero value is empty.
type openBatches []openBatch

type openBatch struct {
	first, last uint64 // numbers of what is not settled
	of          *batch
}

// add adds the batch with the highest numbers.
func (o *openBatches) add(p part) { *o = append(*o, openBatch{p.first(), p.last(), p.of}) }

// get gives the batch that a number is of, and is not settled; nil when there is none.
func (o openBatches) get(number uint64) *batch {
	if i := o.find(number); i < len(o) && o[i].first <= number {
		return o[i].of
	}
	return nil
}

// below tells whether all numbers of it are below one.
func (o openBatches) below(number uint64) bool { return len(o) == 0 || o[len(o)-1].last < number }

// find gives the place of the first one that ends with a number or behind it.
func (o openBatches) find(number uint64) int {
	if len(o) > 0 && number <= o[0].last {
		return 0
	}
	return sort.Search(len(o), func(i int) bool { return o[i].last >= number })
}

// remove takes posts of a batch out, unless they are out.
func (o *openBatches) remove(p part) {
	i, first, last := o.find(p.first()), p.first(), p.last()
	if i == len(*o) || (*o)[i].of != p.of || (*o)[i].first > first {
		return
	}
	at := &(*o)[i]
	switch before := *at; {
	case first > at.first:
		at.last = first - 1
		if last < before.last {
			*o = slices.Insert(*o, i+1, openBatch{last + 1, before.last, p.of})
		}
		return
	case last < at.last: // there may be no number behind it
		at.first = last + 1
		return
	}
	if i == 0 {
		*at = openBatch{}
		*o = (*o)[1:]
		return
	}
	*o = slices.Delete(*o, i, i+1)
}
