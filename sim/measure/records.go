package main

import (
	"context"
	"runtime"
	"time"

	"github.com/peerbus/peerbus/services/msgnode"
	"github.com/peerbus/peerbus/sim/sample"
)

// epoch is the time of all records.
var epoch = time.UnixMilli(1_800_000_000_000)

// records measures the copy of the store in this process.
func (m *measurement) records(context.Context) error {
	n := m.scaled(1_000_000)
	r := &m.costs.Records
	r.Number = n
	model := msgnode.NewModel(msgnode.DefaultLimits())
	r.SessionBytes = heapOf(n, func(i int) { must(model.Apply(session(model, i)...)) })
	r.OwnerBytes = heapOf(n, func(i int) {
		must(model.Apply(model.Own(sample.URL(i), sample.Allocated(i, 1)...)...))
	})
	r.SubscribeBytes = heapOf(n, func(i int) {
		must(model.Apply(model.Subscribe(sample.URL(i), sample.Hyperty(i, 0))...))
	})
	r.EntryBytes = heapOf(n, func(i int) {
		w, err := model.Register(sample.URL(i), sample.Entry(i, 0), epoch)
		must(err)
		must(model.Apply(w))
	})
	r.SweepCPU = timeOf(5, func(int) { model.Due(epoch.Add(time.Minute)) }) / float64(n)
	r.ReadCPU = timeOf(20_000, func(i int) { read(model, sample.Hyperty(i%n, 0)) })
	r.SchemeCPU = timeOf(2, func(int) { read(model, "/hyperty") }) / float64(n)
	runtime.KeepAlive(model)
	return nil
}

func session(model *msgnode.Model, i int) []msgnode.Write {
	writes, _, _, err := model.Open(sample.URL(i), "", sample.Token(i), "0123456789abcdef/12345", epoch)
	must(err)
	return writes
}

func read(model *msgnode.Model, resource string) {
	if n, err := model.Read(resource); err != nil || n == 0 {
		panic("nothing found at " + resource)
	}
}

// heapOf gives the live heap that one of n takes.
func heapOf(n int, do func(i int)) float64 {
	before := liveHeap()
	for i := range n {
		do(i)
	}
	return (liveHeap() - before) / float64(n)
}

func liveHeap() float64 {
	runtime.GC()
	runtime.GC() // what the first one found
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return float64(s.HeapAlloc)
}

// timeOf gives the microseconds of this process that one of n takes.
func timeOf(n int, do func(i int)) float64 {
	start := ownCPU()
	for i := range n {
		do(i)
	}
	return micros(ownCPU()-start) / float64(n)
}

// must is for what cannot fail with samples.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
