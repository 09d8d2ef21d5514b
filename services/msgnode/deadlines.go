package msgnode

import "container/heap"

// deadlines are the entries in the order in which time comes for them, so that a
// sweep looks only at those for which it has. The zero value is empty.
type deadlines struct{ heap entryHeap }

func (d *deadlines) add(e *indexed)    { heap.Push(&d.heap, e) }
func (d *deadlines) remove(e *indexed) { heap.Remove(&d.heap, e.place) }

// until gives the URLs of those whose deadline is not after a time, in no order.
func (d *deadlines) until(now int64) []string {
	var urls []string
	var look func(i int)
	look = func(i int) {
		if i >= len(d.heap) || d.heap[i].deadline > now {
			return // nor is anything below it
		}
		urls = append(urls, d.heap[i].url)
		look(2*i + 1)
		look(2*i + 2)
	}
	look(0)
	return urls
}

// entryHeap is a heap for container/heap.
type entryHeap []*indexed

func (h entryHeap) Len() int           { return len(h) }
func (h entryHeap) Less(i, j int) bool { return h[i].deadline < h[j].deadline }

func (h entryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *entryHeap) Push(e any) {
	in := e.(*indexed) // add pushes nothing else
	in.place = len(*h)
	*h = append(*h, in)
}

func (h *entryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
