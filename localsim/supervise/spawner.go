package supervise

import "runtime"

// A Spawner starts processes from one thread that lives as long as they do.
// Linux sends the signal for the death of a parent when the thread that started
// the child ends, and threads of a Go program come and go.
type Spawner struct {
	orders chan func()
	ended  chan struct{}
}

// NewSpawner starts the thread.
func NewSpawner() *Spawner {
	s := &Spawner{orders: make(chan func()), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for order := range s.orders {
			order()
		}
	}()
	return s
}

// Do runs f on the thread and returns its error.
func (s *Spawner) Do(f func() error) error {
	done := make(chan error, 1)
	s.orders <- func() { done <- f() }
	return <-done
}

// Stop ends the thread. All processes must have ended, and Do must not be
// called again.
func (s *Spawner) Stop() {
	close(s.orders)
	<-s.ended
}
