package loadgen

import (
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// lateAfter is how late a start must be to be counted as late.
const lateAfter = time.Millisecond

// A sample is an outcome as it waits to be counted.
type sample struct {
	measure.Outcome
	sent bool
	// failure says why it did not end well; nil if it did, or was cut off.
	failure *failure
}

// A recorder counts outcomes. Workers hand them over in batches, so that they
// hardly ever meet at its lock.
type recorder struct {
	mu       sync.Mutex
	phases   []*counts
	requests []*counts
	// failures are bounded by result.MaxFailures; further counts what found no room.
	failures map[result.FailureKind]*result.Failure
	further  int64
	pairs    *pairs
}

func newRecorder(phases, requests int) *recorder {
	r := &recorder{phases: make([]*counts, phases), requests: make([]*counts, requests), failures: map[result.FailureKind]*result.Failure{}, pairs: newPairs()}
	for _, list := range [][]*counts{r.phases, r.requests} {
		for i := range list {
			list[i] = &counts{outcomes: map[outcome.Class]int64{}, statuses: map[int]int64{}}
		}
	}
	return r
}

// A batch is what one worker has not handed over yet.
type batch struct {
	to      *recorder
	samples []sample
}

const batchSize = 256

func (b *batch) add(s sample) {
	b.samples = append(b.samples, s)
	if len(b.samples) == batchSize {
		b.flush()
	}
}

func (b *batch) flush() {
	b.to.mu.Lock()
	defer b.to.mu.Unlock()
	for i := range b.samples {
		s := &b.samples[i]
		b.to.phases[s.Phase].add(s)
		b.to.requests[s.Request].add(s)
		if s.failure != nil {
			b.to.fail(s.failure)
		}
	}
	b.samples = b.samples[:0]
}

// fail counts a failure; mu is held.
func (r *recorder) fail(f *failure) {
	if known := r.failures[f.FailureKind]; known != nil {
		known.Count++
		return
	}
	if len(r.failures) == result.MaxFailures {
		r.further++
		return
	}
	r.failures[f.FailureKind] = &result.Failure{FailureKind: f.FailureKind, Count: 1, Example: f.example}
}

// details writes down why requests failed, and what was answered to chains.
func (r *recorder) details() (d result.Details) {
	for _, f := range r.failures {
		d.Failures = append(d.Failures, *f)
	}
	d.FurtherFailures = r.further
	r.pairs.report(&d)
	d.Sort()
	return d
}

// counts are the statistics of one phase or one request of the mix.
type counts struct {
	arrivals, sent, late, dropped, answered, bytes int64

	outcomes map[outcome.Class]int64
	statuses map[int]int64
	latency  *hdrhistogram.Histogram // made when it is first needed
	sum      float64                 // of latencies, in seconds
	min, max time.Duration
}

func (c *counts) add(s *sample) {
	c.arrivals++
	if s.Class != "" {
		c.outcomes[s.Class]++
	}
	if s.Class == outcome.Dropped {
		c.dropped++
	}
	if s.Status != 0 {
		c.answered++
		c.statuses[s.Status]++
		c.bytes += s.Bytes
	}
	if !s.sent {
		return
	}
	if s.Late > lateAfter {
		c.late++
	}
	if c.latency == nil {
		c.latency, c.min = result.NewLoadHistogram(), math.MaxInt64
	}
	c.sent++
	c.sum += s.Latency.Seconds()
	c.min, c.max = min(c.min, s.Latency), max(c.max, s.Latency)
	result.RecordLatency(c.latency, s.Latency)
}

func (c *counts) merge(other *counts) {
	c.arrivals += other.arrivals
	c.sent += other.sent
	c.late += other.late
	c.dropped += other.dropped
	c.answered += other.answered
	c.bytes += other.bytes
	c.sum += other.sum
	for class, n := range other.outcomes {
		c.outcomes[class] += n
	}
	for status, n := range other.statuses {
		c.statuses[status] += n
	}
	if other.latency == nil {
		return
	}
	if c.latency == nil {
		c.latency, c.min = result.NewLoadHistogram(), math.MaxInt64
	}
	c.latency.Merge(other.latency)
	c.min, c.max = min(c.min, other.min), max(c.max, other.max)
}

// report returns the statistics of a stretch of the given length.
func (c *counts) report(elapsed time.Duration) (result.LoadStats, error) {
	s := result.LoadStats{Arrivals: c.arrivals, Sent: c.sent, Late: c.late, Dropped: c.dropped, Outcomes: c.outcomes, Bytes: c.bytes}
	if elapsed > 0 {
		s.Rate = float64(c.answered) / elapsed.Seconds()
	}
	if len(c.statuses) > 0 {
		s.Statuses = map[string]int64{}
		for status, n := range c.statuses {
			s.Statuses[strconv.Itoa(status)] = n
		}
	}
	if c.latency == nil {
		return s, nil
	}
	return s, s.SetLatency(c.latency, c.sum/float64(c.sent), c.min.Seconds(), c.max.Seconds())
}

// report sums up; spans are the lengths of the phases.
func (r *recorder) report(profile *load.Profile, started time.Time, elapsed time.Duration, spans []time.Duration) (*result.LoadReport, error) {
	report := &result.LoadReport{Started: started, Elapsed: elapsed, Details: r.details()}
	total := newRecorder(1, 0).phases[0]
	var err error
	for i, c := range r.phases {
		total.merge(c)
		p := result.PhaseReport{Name: profile.Phases[i].Name}
		if p.Stats, err = c.report(spans[i]); err != nil {
			return nil, err
		}
		report.Phases = append(report.Phases, p)
	}
	for i, c := range r.requests {
		q := result.RequestReport{Name: profile.Requests[i].Name}
		if q.Stats, err = c.report(elapsed); err != nil {
			return nil, err
		}
		report.Requests = append(report.Requests, q)
	}
	report.Total, err = total.report(elapsed)
	return report, err
}
