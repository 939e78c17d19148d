package measure

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/result"
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
	// Status is the HTTP status, or 0 if there was no answer.
	Status int
	Bytes  int64
	// Degraded says that the answer is good, but that at some hop something took
	// the place of a part.
	Degraded bool
}

// End is when the request ended.
func (o *Outcome) End() time.Duration { return o.Intended + o.Latency }

// Ended reports whether the request was sent and ended by itself: it was neither
// dropped nor cut off by the end of the run.
func (o *Outcome) Ended() bool { return result.Ended(o.Class) }

// Good reports whether the request ended well at every hop.
func (o *Outcome) Good() bool { return o.Class == outcome.OK && !o.Degraded }

// A Sample is what all replicas of one service did since the last sample.
type Sample struct {
	At time.Time `json:"at"`
	// Elapsed is the time since the last round of samples. Counted is the time that
	// the counts cover: longer than Elapsed if the service did not answer the last
	// round, and 0 if it does not answer now.
	Elapsed, Counted time.Duration
	Service          string
	// Requests counts requests that were answered or given up, as the service
	// itself counts them. Errors counts those with a status of 400 or more, or
	// without one.
	Requests int64
	Errors   int64
	// Degraded counts requests that were answered well, but something took the
	// place of a part of the answer.
	Degraded int64
	// Rate is requests per second: the sum over the replicas, each over its own
	// time.
	Rate float64
	// Codes counts the requests by HTTP status, or by what became of them.
	Codes map[string]int64
	// Latency has the latencies of the requests.
	Latency     stats.Histogram
	InFlight    int64
	QueueLength int64
	// Missed counts look-ups of a data store that found nothing, Stale counts reads
	// that returned an outdated version.
	Missed, Stale Amount
	// Lag is the lag of the group of consumers that is furthest behind, if it is
	// known.
	Lag Lag
	// CPUSeconds is processor time. BytesReceived and BytesSent are what the
	// service's connections carried.
	CPUSeconds, BytesReceived, BytesSent Amount
	MemoryBytes                          int64
	// Up is the number of replicas that answered the collector, of Replicas.
	Up, Replicas int
	// Last says that the collector has stopped. The last sample may cover only a
	// short time.
	Last  bool
	Calls []CallSample
}

// A CallSample is what the callers in one service saw of their calls to another.
type CallSample struct {
	Callee string
	// Calls counts calls by how they ended after all retries, Attempts the requests
	// sent for them, and Fallbacks the calls whose answer a fallback replaced.
	Calls     map[outcome.Class]int64
	Attempts  map[outcome.Class]int64
	Fallbacks int64
	// Degraded counts good answers in which something took the place of a part.
	Degraded int64
	// Breaker is the worst state of the breakers of these calls now; nil if they
	// have none.
	Breaker *policy.BreakerState
	// Latency has the latencies of the calls.
	Latency stats.Histogram
}

// Sent returns how many requests were sent for the calls. It includes cancelled
// ones, because a hedge that another attempt overtook was sent, too.
func (c *CallSample) Sent() (n int64) {
	for _, count := range c.Attempts {
		n += count
	}
	return n
}

// Seconds returns the number of seconds by which to divide counts, so that Requests
// gives Rate; 0 if the service did not answer.
func (s *Sample) Seconds() float64 {
	if s.Rate > 0 {
		return float64(s.Requests) / s.Rate
	}
	return s.Counted.Seconds()
}

// Goodput returns the requests per second that ended well at every hop.
func (s *Sample) Goodput() float64 {
	if s.Requests == 0 {
		return 0
	}
	return s.Rate * float64(s.Requests-s.Errors-s.Degraded) / float64(s.Requests)
}

// Interval returns the length of time that the sample covers; it ends at At.
func (s *Sample) Interval() time.Duration { return max(s.Elapsed, s.Counted) }
