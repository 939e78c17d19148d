package work

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// joined returns processors that a service uses until the end of the test.
func joined(t *testing.T) *Processors {
	t.Helper()
	p := NewProcessors()
	p.Join()
	t.Cleanup(p.Leave)
	return p
}

// TestGoKeepsProcessorsBesideWork has one for each thread that computes.
func TestGoKeepsProcessorsBesideWork(t *testing.T) {
	p := joined(t)
	if p.n < 1 || p.n > runtime.NumCPU() {
		t.Errorf("there are %d threads on %d processors", p.n, runtime.NumCPU())
	}
	p.Burn(time.Microsecond, nil, nil)
	if got := runtime.GOMAXPROCS(0); got < 2*p.n {
		t.Errorf("GOMAXPROCS is %d beside %d threads that compute", got, p.n)
	}
}

// TestWorkEndsEarly ends work whose client has left, and work that waits.
func TestWorkEndsEarly(t *testing.T) {
	p := joined(t)
	left := make(chan struct{})
	var wait sync.WaitGroup
	for range 3 * p.n {
		wait.Go(func() { p.Burn(time.Hour, nil, left) })
	}
	close(left)
	wait.Wait()
}

// TestThreadsEndWithTheLastService counts goroutines, each of which has a thread.
func TestThreadsEndWithTheLastService(t *testing.T) {
	before := runtime.NumGoroutine()
	p := NewProcessors()
	p.Join()
	p.Join()
	if now := runtime.NumGoroutine(); now != before {
		t.Errorf("%d goroutines run before there is work", now-before)
	}
	p.Burn(time.Microsecond, nil, nil)
	p.Leave()
	if now := runtime.NumGoroutine(); now < before+p.n {
		t.Errorf("%d goroutines work for the service that is left, want %d", now-before, p.n)
	}
	p.Burn(time.Microsecond, nil, nil)
	p.Leave()
	// A goroutine ends a moment after what it does at last.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left", runtime.NumGoroutine()-before)
		}
	}
	p.Join()
	p.Burn(time.Microsecond, nil, nil) // services may come later
	p.Leave()
}
