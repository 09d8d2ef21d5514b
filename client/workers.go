package client

import "sync"

// workers are the goroutines of listeners.
type workers struct {
	mu   sync.Mutex
	over bool
	all  sync.WaitGroup
}

// start starts one; not once they have ended.
func (w *workers) start(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.all.Go(f)
	}
	return !w.over
}

// end waits for all of them.
func (w *workers) end() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	w.all.Wait()
}
