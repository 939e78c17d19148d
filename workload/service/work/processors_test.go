package work

import (
	"runtime"
	"strings"
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

// computing counts the threads that compute, or wait for work, by the stacks of their
// goroutines.
func computing() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "work.compute(")
}

// awaitThreads waits until so many threads compute. They begin and end a moment after what
// makes them do so.
func awaitThreads(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); computing() != n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d threads compute, want %d", computing(), n)
		}
	}
}

// TestThreadsEndWithTheLastService has threads while a service is left that has worked.
func TestThreadsEndWithTheLastService(t *testing.T) {
	p := NewProcessors()
	p.Join()
	p.Join()
	if n := computing(); n != 0 {
		t.Errorf("%d threads compute before there is work", n)
	}
	p.Burn(time.Microsecond, nil, nil)
	p.Leave()
	awaitThreads(t, p.n)
	p.Burn(time.Microsecond, nil, nil)
	p.Leave()
	if n := computing(); n != 0 {
		t.Errorf("%d threads compute without a service", n)
	}
	p.Join()
	p.Burn(time.Microsecond, nil, nil) // services may come later
	p.Leave()
}
