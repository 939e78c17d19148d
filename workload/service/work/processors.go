package work

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/exec"
)

// Processors do the work of kind OpCPU with one core for all services of a program, as
// exec.Turn says. Each processor of the machine has a thread that does nothing else.
//
// The kernel lets a thread that wakes up go before one that computes, but only if it has
// not computed itself. And Go's scheduler asks for events of the network only when one of
// its own processors (a P) has nothing to run, or every 10 ms. So work on the goroutines of
// requests would delay whatever else the program does: the clients, whose latency it
// measures, wait for a thread that has computed, or for those 10 ms. Threads of their own
// compute in place of that, and Go gets another P for each.
type Processors struct {
	n    int
	mu   sync.Mutex
	jobs chan job
	// services are those that have joined, threads those that run.
	services, threads int
	ended             sync.WaitGroup
}

// A job is one turn of work.
type job struct {
	d      time.Duration
	random *rand.PCG
	spent  chan<- time.Duration
}

// NewProcessors returns the processors that this program may use. They have no threads
// until there is work. A program needs them once, because they raise GOMAXPROCS, from
// which their number follows.
func NewProcessors() *Processors {
	return &Processors{n: min(runtime.NumCPU(), runtime.GOMAXPROCS(0)), jobs: make(chan job)}
}

// Join counts a service that calls Burn until it calls Leave.
func (p *Processors) Join() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.services++
}

// Leave ends the threads if no other service is left, and waits until they have ended.
func (p *Processors) Leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.services--; p.services > 0 {
		return
	}
	close(p.jobs)
	p.ended.Wait()
	p.threads, p.jobs = 0, make(chan job)
}

// Burn keeps one processor busy until it has spent d on this work alone or, on systems
// that do not report this time (all but Linux), until d has passed on the clock. It takes
// turns with all other work. It returns early when stop or left is closed.
func (p *Processors) Burn(d time.Duration, stop, left <-chan struct{}) {
	random, spent := newRandom(), make(chan time.Duration, 1)
	for d > 0 {
		jobs := p.running()
		select {
		case <-stop:
			return
		case <-left:
			return
		case jobs <- job{exec.Slice(d), random, spent}:
		}
		d -= <-spent
	}
}

// running returns the channel from which the threads take jobs, and starts them if they do
// not run. Senders wait on it first come first served.
func (p *Processors) running() chan<- job {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.threads == 0 {
		if most := 2 * p.n; runtime.GOMAXPROCS(0) < most {
			runtime.GOMAXPROCS(most)
		}
		for range p.n {
			p.ended.Go(func() { compute(p.jobs) })
		}
		p.threads = p.n
	}
	return p.jobs
}

// compute works on a thread of its own, which ends with it.
func compute(jobs <-chan job) {
	runtime.LockOSThread()
	for j := range jobs {
		j.spent <- burn(j.d, j.random)
	}
}

func burn(d time.Duration, random *rand.PCG) (spent time.Duration) {
	sum := 0.0
	for start := threadTime(); spent < d; spent = threadTime() - start {
		sum += roots(burnChunk, random)
	}
	runtime.KeepAlive(sum)
	return spent
}
