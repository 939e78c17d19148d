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
	// Status is the HTTP status, or 0 where none came.
	Status int
	Bytes  int64
	// Degraded says that the answer is a good one in which something took the
	// place of a part, at any hop.
	Degraded bool
}

// End is when the request ended.
func (o *Outcome) End() time.Duration { return o.Intended + o.Latency }

// Ended reports whether the request was sent and came to an end of its own: it
// was not dropped, nor cut off by the end of the run.
func (o *Outcome) Ended() bool { return result.Ended(o.Class) }

// Good reports whether the request ended well at every hop.
func (o *Outcome) Good() bool { return o.Class == outcome.OK && !o.Degraded }

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
	// Degraded were answered well, but something took the place of a part.
	Degraded int64
	// Rate is requests per second, each replica's over its own time.
	Rate float64
	// Codes counts the requests by HTTP status, or by what became of them.
	Codes map[string]int64
	// Latency has the latencies of the requests.
	Latency     stats.Histogram
	InFlight    int64
	QueueLength int64
	// Missed are look-ups of a data store that found nothing, Stale reads that were
	// answered with an older version than there was.
	Missed, Stale Amount
	// Lag is that of the group of consumers furthest behind, if it is known.
	Lag Lag
	// CPUSeconds is processor time, BytesReceived and BytesSent what the
	// connections of the service carried.
	CPUSeconds, BytesReceived, BytesSent Amount
	MemoryBytes                          int64
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
	// Degraded counts good answers in which something took the place of a part.
	Degraded int64
	// Breaker is the worst state of the breakers of these calls now; nil where
	// they have none.
	Breaker *policy.BreakerState
	// Latency has the latencies of the calls.
	Latency stats.Histogram
}

// Sent counts the requests that were sent for the calls. Unlike calls, those that
// were broken off count, too: a hedge that another attempt overtook was sent.
func (c *CallSample) Sent() (n int64) {
	for _, count := range c.Attempts {
		n += count
	}
	return n
}

// Seconds is over how many seconds the counts are to be spread, so that
// Requests gives the Rate; 0 where the service told nothing.
func (s *Sample) Seconds() float64 {
	if s.Rate > 0 {
		return float64(s.Requests) / s.Rate
	}
	return s.Counted.Seconds()
}

// Goodput is requests that ended well at every hop, per second, as Rate is.
func (s *Sample) Goodput() float64 {
	if s.Requests == 0 {
		return 0
	}
	return s.Rate * float64(s.Requests-s.Errors-s.Degraded) / float64(s.Requests)
}

// Interval is the time that the sample is of, up to At.
func (s *Sample) Interval() time.Duration { return max(s.Elapsed, s.Counted) }
