package measure

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
)

// An Outcome is what became of one arrival.
type Outcome struct {
	// Phase and Request are indexes into the profile.
	Phase, Request int
	// Intended is when the request should have been sent, counted from the
	// start of the load; Late is by how much it was sent later.
	Intended, Late time.Duration
	// Latency is counted from the intended start.
	Latency time.Duration
	Class   outcome.Class
	// Status is the HTTP status, or 0 where none came.
	Status int
	Bytes  int64
}

// A Sample is what one service did since the last sample, all replicas taken
// together.
type Sample struct {
	At      time.Time `json:"at"`
	Elapsed time.Duration
	Service string
	// Requests that were answered or given up, as the service itself counts;
	// Errors are those of them with a status of 400 or more, or without one.
	Requests int64
	Errors   int64
	// Codes counts the requests by HTTP status, or by what became of them.
	Codes map[string]int64
	// Latency has the counts of the buckets whose upper bounds, in seconds, are
	// in Bounds; the last count is of those above.
	Bounds  []float64
	Latency []int64
	// Sum is the sum of all latencies in seconds.
	Sum         float64
	InFlight    int64
	QueueLength int64
	CPUSeconds  float64
	MemoryBytes int64
	// Up is the number of replicas that answered the watcher.
	Up, Replicas int
	Calls        []CallSample
}

// A CallSample is what one service saw of the calls to another.
type CallSample struct {
	Callee string
	// Calls counts calls by how they ended after all retries, Attempts what was
	// sent for them, Fallbacks those whose answer a fallback took the place of.
	Calls     map[outcome.Class]int64
	Attempts  map[outcome.Class]int64
	Fallbacks int64
	// Breaker is the worst state of the breakers of these calls now; nil where
	// they have none.
	Breaker *policy.BreakerState
	Bounds  []float64
	Latency []int64
	Sum     float64
}
