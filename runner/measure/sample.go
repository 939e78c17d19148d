package measure

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
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
	At time.Time `json:"at"`
	// Elapsed is the time since the round of samples before. Counted is the time
	// in which the counts came about, which is longer where the service did not
	// answer the round before, and 0 where it has not answered now.
	Elapsed, Counted time.Duration
	Service          string
	// Requests that were answered or given up, as the service itself counts;
	// Errors are those of them with a status of 400 or more, or without one.
	Requests int64
	Errors   int64
	// Rate is requests per second, each replica's over its own time.
	Rate float64
	// Codes counts the requests by HTTP status, or by what became of them.
	Codes map[string]int64
	// Latency has the latencies of the requests.
	Latency     stats.Histogram
	InFlight    int64
	QueueLength int64
	CPUSeconds  float64
	MemoryBytes int64
	// Up is the number of replicas that answered the watcher.
	Up, Replicas int
	// Last is set where the watching ended with this sample, which may be of a
	// moment only.
	Last  bool
	Calls []CallSample
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
	// Latency has the latencies of the calls.
	Latency stats.Histogram
}

// Seconds is over how many seconds the counts are to be spread, so that
// Requests gives the Rate; 0 where the service told nothing.
func (s *Sample) Seconds() float64 {
	if s.Rate > 0 {
		return float64(s.Requests) / s.Rate
	}
	return s.Counted.Seconds()
}

// Interval is the time that the sample is of, up to At.
func (s *Sample) Interval() time.Duration { return max(s.Elapsed, s.Counted) }
