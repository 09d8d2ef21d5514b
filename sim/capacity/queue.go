package main

import (
	"container/heap"
	"time"
)

// queue is a clock that goes from event to event. Events of the same time come in
// the order in which they were put.
type queue struct {
	now    time.Duration // since the beginning
	number uint64
	events eventHeap
}

type timed struct {
	at     time.Duration
	number uint64
	do     func() error
}

// after puts an event at a time from now.
func (q *queue) after(d time.Duration, do func() error) { q.at(q.now+max(d, 0), do) }

func (q *queue) at(t time.Duration, do func() error) {
	q.number++
	heap.Push(&q.events, timed{max(t, q.now), q.number, do})
}

// run lets time pass until an end, or until nothing is left to happen.
func (q *queue) run(end time.Duration) error {
	for len(q.events) > 0 && q.events[0].at <= end {
		e := heap.Pop(&q.events).(timed) // at pushes nothing else
		q.now = e.at
		if err := e.do(); err != nil {
			return err
		}
	}
	return nil
}

// eventHeap is a heap for container/heap.
type eventHeap []timed

func (h eventHeap) Len() int      { return len(h) }
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(e any)   { *h = append(*h, e.(timed)) } // of queue alone

func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].number < h[j].number
}

func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = timed{}
	*h = (*h)[:last]
	return e
}
