package loadgen

import (
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
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
	// ends are those of the phases that have begun, as far as is known, counted
	// from the start of the load; lastEnd is that of the last request.
	ends    []time.Duration
	lastEnd time.Duration
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

// begin says that a phase begins, which ends after a duration at the latest; 0
// means that it is not known when.
func (r *recorder) begin(at, duration time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := time.Duration(math.MaxInt64)
	if duration > 0 {
		end = at + duration
	}
	r.ends = append(r.ends, end)
}

// end says when a phase has ended.
func (r *recorder) end(phase int, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends[phase] = at
}

// phaseAt is the phase in which something ended; after the load, the last.
func (r *recorder) phaseAt(at time.Duration) int {
	for i, end := range r.ends {
		if at < end {
			return i
		}
	}
	return max(len(r.ends)-1, 0)
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
		if s.Class != "" && s.Ended() {
			at := s.End()
			b.to.phases[b.to.phaseAt(at)].ends(s)
			b.to.requests[s.Request].ends(s)
			b.to.lastEnd = max(b.to.lastEnd, at)
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
	arrivals, sent, late, dropped, bytes int64
	// degraded are among the good ones; ended are those that ended while the phase
	// lasted, good those of them that ended well at every hop.
	degraded, ended, good int64

	outcomes map[outcome.Class]int64
	statuses map[int]int64
	latency  stats.Recorder
}

func (c *counts) add(s *sample) {
	c.arrivals++
	if s.Class != "" {
		c.outcomes[s.Class]++
	}
	if s.Class == outcome.OK && s.Degraded {
		c.degraded++
	}
	if s.Class == outcome.Dropped {
		c.dropped++
	}
	if s.Status != 0 {
		c.statuses[s.Status]++
		c.bytes += s.Bytes
	}
	if !s.sent {
		return
	}
	if s.Late > lateAfter {
		c.late++
	}
	c.sent++
	if s.Class != outcome.Cancelled {
		c.latency.Record(s.Latency) // one cut off by the end of the load has none
	}
}

// ends counts a request that ended.
func (c *counts) ends(s *sample) {
	c.ended++
	if s.Good() {
		c.good++
	}
}

func (c *counts) merge(other *counts) {
	c.arrivals += other.arrivals
	c.sent += other.sent
	c.late += other.late
	c.dropped += other.dropped
	c.degraded += other.degraded
	c.ended += other.ended
	c.good += other.good
	c.bytes += other.bytes
	for class, n := range other.outcomes {
		c.outcomes[class] += n
	}
	for status, n := range other.statuses {
		c.statuses[status] += n
	}
	c.latency.Merge(&other.latency)
}

// report returns the statistics of a stretch in which the load was sent for some
// time, and which lasted until its last request had ended.
func (c *counts) report(sending, length time.Duration) (result.LoadStats, error) {
	s := result.LoadStats{
		Arrivals: c.arrivals, Sent: c.sent, Late: c.late, Dropped: c.dropped, Degraded: c.degraded, Outcomes: c.outcomes, Bytes: c.bytes,
		Ended: c.ended, Good: c.good, Sending: max(sending, 0).Seconds(), Seconds: max(length, 0).Seconds(),
	}
	s.SetRates()
	if len(c.statuses) > 0 {
		s.Statuses = map[string]int64{}
		for status, n := range c.statuses {
			s.Statuses[strconv.Itoa(status)] = n
		}
	}
	least, most, ok := c.latency.Extremes()
	if !ok {
		return s, nil
	}
	var latencies stats.Histogram
	c.latency.AddTo(&latencies)
	return s, s.SetLatency(&latencies, least, most)
}

// report sums up; spans are the lengths of the phases.
func (r *recorder) report(profile *load.Profile, started time.Time, elapsed time.Duration, spans []time.Duration) (*result.LoadReport, error) {
	report := &result.LoadReport{Started: started, Elapsed: elapsed, Details: r.details()}
	total := newRecorder(1, 0).phases[0]
	sending := r.sending(profile, elapsed)
	length := max(sending, r.lastEnd)
	var begin time.Duration
	var err error
	for i, c := range r.phases {
		total.merge(c)
		p := result.PhaseReport{Name: profile.Phases[i].Name}
		lasted := spans[i]
		if i == len(r.ends)-1 {
			lasted = length - begin
		}
		if p.Stats, err = c.report(spans[i], lasted); err != nil {
			return nil, err
		}
		begin += spans[i]
		report.Phases = append(report.Phases, p)
	}
	for i, c := range r.requests {
		q := result.RequestReport{Name: profile.Requests[i].Name}
		if q.Stats, err = c.report(sending, length); err != nil {
			return nil, err
		}
		report.Requests = append(report.Requests, q)
	}
	report.Total, err = total.report(sending, length)
	return report, err
}

// sending is how long the load was sent: as planned, or where it ended by a count
// or early, until its last answer.
func (r *recorder) sending(profile *load.Profile, elapsed time.Duration) (sum time.Duration) {
	for i := range profile.Phases {
		p := &profile.Phases[i]
		if p.Count > 0 || p.Duration == 0 {
			return elapsed
		}
		sum += p.Duration.Std()
	}
	return min(sum, elapsed)
}
