package bus

import (
	"slices"
	"sort"
)

// openPosts are posts by their numbers, which rise. Most are settled in about the order
// in which they came. The zero value is empty.
type openPosts struct {
	places []openPost // by number
	holes  int        // of places: those whose post is settled
}

type openPost struct {
	number uint64
	post   *post // nil of one that is settled
}

// below tells whether all numbers of it are below one.
func (o *openPosts) below(number uint64) bool {
	return len(o.places) == 0 || o.places[len(o.places)-1].number < number
}

// add adds the post with the highest number.
func (o *openPosts) add(number uint64, p *post) {
	o.places = append(o.places, openPost{number, p})
}

// insert adds posts whose numbers follow each other. Others may have higher ones.
func (o *openPosts) insert(posts []*post) {
	i := sort.Search(len(o.places), func(i int) bool { return o.places[i].number >= posts[0].m.Number })
	o.places = slices.Insert(o.places, i, make([]openPost, len(posts))...)
	for n, p := range posts {
		o.places[i+n] = openPost{p.m.Number, p}
	}
}

// get gives the place of a number; nil when it is not there.
func (o *openPosts) get(number uint64) *openPost {
	if len(o.places) == 0 || number < o.places[0].number {
		return nil
	}
	// Where all numbers are there, it is where it is to be expected.
	i := number - o.places[0].number
	if i >= uint64(len(o.places)) || o.places[i].number != number {
		i = uint64(sort.Search(len(o.places), func(i int) bool { return o.places[i].number >= number })) // not negative
	}
	if i == uint64(len(o.places)) || o.places[i].number != number || o.places[i].post == nil {
		return nil
	}
	return &o.places[i]
}

// remove takes one out, if it is there.
func (o *openPosts) remove(number uint64) {
	at := o.get(number)
	if at == nil {
		return
	}
	at.post = nil
	o.holes++
	for len(o.places) > 0 && o.places[0].post == nil {
		o.places = o.places[1:]
		o.holes--
	}
	if o.holes > len(o.places)/2 {
		o.places, o.holes = slices.DeleteFunc(o.places, func(p openPost) bool { return p.post == nil }), 0
	}
}
