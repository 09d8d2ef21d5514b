package client

import "strings"

// receivers count what the posts to each address take.
type receivers struct {
	places map[string]int32
	table  slots[receiver]
	last   int32 // that of the last post, which may have none by now; -1 for none
}

type receiver struct {
	to    string
	bytes int
}

// find gives the place of an address, or -1. The next post is mostly for the same one.
func (r *receivers) find(to string) int32 {
	if r.last >= 0 && r.table.all[r.last].to == to {
		return r.last
	}
	if i, ok := r.places[to]; ok {
		return i
	}
	return -1
}

// bytes gives what is at a place; none for -1.
func (r *receivers) bytes(i int32) int {
	if i < 0 {
		return 0
	}
	return r.table.all[i].bytes
}

// add counts a post to an address with that place.
func (r *receivers) add(i int32, to string, bytes int) int32 {
	if i < 0 {
		to = strings.Clone(to)
		i = r.table.put(receiver{to: to})
		r.places[to] = i
	}
	r.table.all[i].bytes += bytes
	if before := r.last; before != i {
		r.last = i
		r.forget(before)
	}
	return i
}

func (r *receivers) remove(i int32, bytes int) {
	r.table.all[i].bytes -= bytes
	r.forget(i)
}

// forget forgets an address that has no posts, unless the last post was for it.
func (r *receivers) forget(i int32) {
	if i >= 0 && i != r.last && r.table.all[i].bytes == 0 {
		delete(r.places, r.table.all[i].to)
		r.table.drop(i)
	}
}
