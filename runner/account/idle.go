package account

import (
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// idleness finds out, from samples, when no service has anything left to do.
type idleness struct {
	// services are to be heard of in each round of samples.
	services int

	mu sync.Mutex
	// quiet are the services that were idle in the round of this time.
	round time.Time
	quiet int
	// since is when the first of the last idle rounds was, rounds their number.
	since  time.Time
	rounds int
	// from is the end of the load; rounds before it do not count.
	from time.Time
}

// idleRounds is how many rounds of samples in a row have to find the system
// idle: a request that has just left a queue is in none of the counts.
const idleRounds = 2

func newIdleness(e *experiment.Experiment) *idleness {
	i := &idleness{}
	for s := range e.System.Services {
		if e.System.Services[s].Replicas > 0 {
			i.services++
		}
	}
	return i
}

func (i *idleness) begin(from time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.from, i.rounds = from, 0
}

// observe takes a sample; those of one round have the same time.
func (i *idleness) observe(sample *measure.Sample) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.from.IsZero() || !sample.At.After(i.from) || i.rounds >= idleRounds {
		return
	}
	if !sample.At.Equal(i.round) {
		if i.quiet < i.services {
			i.rounds = 0
		}
		i.round, i.quiet = sample.At, 0
	}
	// A replica that does not answer may be busy.
	if sample.Up < sample.Replicas || sample.InFlight > 0 || sample.QueueLength > 0 {
		return
	}
	if i.quiet++; i.quiet < i.services {
		return
	}
	if i.rounds == 0 {
		i.since = sample.At
	}
	i.rounds++
}

// found reports whether the system was idle since the end of the load.
func (i *idleness) found() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rounds >= idleRounds
}

// tail says how long the system was busy, if the watching ends now.
func (i *idleness) tail(now time.Time) result.Tail {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.rounds < idleRounds {
		return result.Tail{Length: now.Sub(i.from).Seconds()}
	}
	return result.Tail{Idle: true, Length: max(0, i.since.Sub(i.from).Seconds())}
}
