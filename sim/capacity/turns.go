package main

// turns are those of a replica (msgnode's turns): so many at once, and then the last to
// come first.
type turns struct {
	taken   int
	waiting []func() bool
}

// take begins, or lets it wait. What begins tells whether there is anything to do.
func (t *turns) take(most int, begin func() bool) {
	if most > 0 && t.taken >= most {
		t.waiting = append(t.waiting, begin)
		return
	}
	t.taken++
	if !begin() {
		t.taken--
	}
}

// end lets the next one begin.
func (t *turns) end(most int) {
	t.taken--
	for len(t.waiting) > 0 && t.taken < most {
		last := len(t.waiting) - 1
		next := t.waiting[last]
		t.waiting[last], t.waiting = nil, t.waiting[:last]
		t.taken++
		if !next() {
			t.taken--
		}
	}
}
