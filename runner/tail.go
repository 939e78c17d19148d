package runner

import (
	"context"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"sync"
	"time"
)

// idleness finds out, from samples, when no service has anything left to do.
type idleness struct {
	mu sync.Mutex
	// services are to be heard of in each round of samples; quiet are those that
	// were idle in the round at the moment.
	Services int
	round    time.Time
	quiet    int
	// since is when the first of the last idle rounds was, rounds their number.
	Since  time.Time
	rounds int
	// from is the end of the load; rounds before it do not count.
	from time.Time
	idle chan struct{}
}

// idleRounds is how many rounds of samples in a row have to find the system
// idle: a request that has just left a queue is in none of the counts.
const idleRounds = 2

func newIdleness(e *experiment.Experiment) *idleness {
	i := &idleness{idle: make(chan struct{})}
	for s := range e.System.Services {
		if e.System.Services[s].Replicas > 0 {
			i.Services++
		}
	}
	return i
}

func (i *idleness) begin(from time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.from, i.rounds = from, 0
}

// Observe takes a sample; those of one round have the same time.
func (i *idleness) Observe(sample *measure.Sample) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.from.IsZero() || !sample.At.After(i.from) || i.rounds >= idleRounds {
		return
	}
	if !sample.At.Equal(i.round) {
		if i.quiet < i.Services {
			i.rounds = 0
		}
		i.round, i.quiet = sample.At, 0
	}
	// What does not answer may be busy.
	if sample.Up < sample.Replicas || sample.InFlight > 0 || sample.QueueLength > 0 {
		return
	}
	if i.quiet++; i.quiet < i.Services {
		return
	}
	if i.rounds == 0 {
		i.Since = sample.At
	}
	if i.rounds++; i.rounds == idleRounds {
		close(i.idle)
	}
}

// watchTail waits, after the load, until the system is idle or the tail's time
// is over.
func (r *running) watchTail(ctx context.Context) {
	end := r.began.Add(r.end())
	r.clock.SetLoadEnd(r.end())
	r.idle.begin(end)
	r.emit(TailBegun{At: time.Since(r.began), Longest: r.Tail.Std()})
	timer := time.NewTimer(time.Until(end.Add(r.Tail.Std())))
	defer timer.Stop()
	select {
	case <-r.idle.idle:
	case <-timer.C:
	case <-ctx.Done():
	}
	r.idle.mu.Lock()
	defer r.idle.mu.Unlock()
	tail := result.Tail{Idle: r.idle.rounds == idleRounds, Length: time.Since(end).Seconds()}
	if tail.Idle {
		tail.Length = max(0, r.idle.Since.Sub(end).Seconds())
	}
	r.result.Tail = &tail
}
