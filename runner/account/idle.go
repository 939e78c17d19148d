package account

import (
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// idleness finds out from samples when no service has work left.
type idleness struct {
	// services is how many services have replicas, so that each round has a sample
	// of them.
	services int

	mu sync.Mutex
	// round is the time of the current round of samples, and quiet how many
	// services are idle in it.
	round time.Time
	quiet int
	// rounds counts the last idle rounds in a row, and since is when the first of
	// them was.
	since  time.Time
	rounds int
	// from is the end of the load; earlier rounds do not count.
	from time.Time
}

// idleRounds is how many rounds in a row must find the system idle. One is not
// enough, because no count includes a request that has just left a queue.
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

// observe takes a sample. Samples of one round have the same time.
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

// found reports whether enough rounds since the end of the load have found the
// system idle.
func (i *idleness) found() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rounds >= idleRounds
}

// tail says how long the system was busy after the load, if the watching ends now.
func (i *idleness) tail(now time.Time) result.Tail {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.rounds < idleRounds {
		return result.Tail{Length: now.Sub(i.from).Seconds()}
	}
	return result.Tail{Idle: true, Length: max(0, i.since.Sub(i.from).Seconds())}
}
