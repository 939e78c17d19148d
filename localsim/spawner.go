package localsim

import "runtime"

// A spawner starts processes from one thread that lives as long as they do.
// Linux sends the signal for the death of a parent when the thread that started
// the child ends, and threads of a Go program come and go.
type spawner struct {
	orders chan func()
	ended  chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{orders: make(chan func()), ended: make(chan struct{})}
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

// do runs f on the thread and waits for it.
func (s *spawner) do(f func() error) error {
	done := make(chan error, 1)
	s.orders <- func() { done <- f() }
	return <-done
}

// stop ends the thread. All processes must have ended, and do must not be
// called again.
func (s *spawner) stop() {
	close(s.orders)
	<-s.ended
}
