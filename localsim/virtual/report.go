package virtual

import (
	"math"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A recorder counts the outcomes of the load for its report.
type recorder struct {
	phases, requests []*loadCounts
	// failures are bounded by result.MaxFailures; further counts what found no room.
	failures map[result.FailureKind]*result.Failure
	further  int64
}

// knows reports whether there is an example of a kind of failure already.
func (r *recorder) knows(kind result.FailureKind) bool { return r.failures[kind] != nil }

// fail counts why a request did not end well.
func (r *recorder) fail(kind result.FailureKind, example result.Example) {
	if known := r.failures[kind]; known != nil {
		known.Count++
		return
	}
	if len(r.failures) == result.MaxFailures {
		r.further++
		return
	}
	r.failures[kind] = &result.Failure{FailureKind: kind, Count: 1, Example: example}
}

// details writes down why requests failed.
func (r *recorder) details() result.Details {
	d := result.Details{FurtherFailures: r.further}
	for _, f := range r.failures {
		d.Failures = append(d.Failures, *f)
	}
	d.Sort()
	return d
}

func newRecorder(phases, requests int) *recorder {
	r := &recorder{phases: make([]*loadCounts, phases), requests: make([]*loadCounts, requests), failures: map[result.FailureKind]*result.Failure{}}
	for _, list := range [][]*loadCounts{r.phases, r.requests} {
		for i := range list {
			list[i] = newLoadCounts()
		}
	}
	return r
}

// add counts an outcome; one without a class is an arrival of which nothing was
// sent.
func (r *recorder) add(o *measure.Outcome, sent bool) {
	r.phases[o.Phase].add(o, sent)
	r.requests[o.Request].add(o, sent)
}

// loadCounts are the statistics of one phase or one request of the mix.
type loadCounts struct {
	stats    result.LoadStats
	answered int64
	statuses map[int]int64
	latency  *hdrhistogram.Histogram
	sum      float64
	min, max time.Duration
}

func newLoadCounts() *loadCounts {
	return &loadCounts{stats: result.LoadStats{Outcomes: map[outcome.Class]int64{}}, statuses: map[int]int64{}}
}

func (c *loadCounts) add(o *measure.Outcome, sent bool) {
	s := &c.stats
	s.Arrivals++
	if o.Class != "" {
		s.Outcomes[o.Class]++
	}
	if o.Class == outcome.Dropped {
		s.Dropped++
	}
	if o.Status != 0 {
		c.answered++
		c.statuses[o.Status]++
		s.Bytes += o.Bytes
	}
	if !sent {
		return
	}
	if o.Late > time.Millisecond {
		s.Late++
	}
	if c.latency == nil {
		c.latency, c.min = result.NewLoadHistogram(), math.MaxInt64
	}
	s.Sent++
	c.sum += o.Latency.Seconds()
	c.min, c.max = min(c.min, o.Latency), max(c.max, o.Latency)
	result.RecordLatency(c.latency, o.Latency)
}

func (c *loadCounts) merge(o *loadCounts) {
	s := &c.stats
	s.Arrivals += o.stats.Arrivals
	s.Sent += o.stats.Sent
	s.Late += o.stats.Late
	s.Dropped += o.stats.Dropped
	s.Bytes += o.stats.Bytes
	c.answered += o.answered
	c.sum += o.sum
	for class, n := range o.stats.Outcomes {
		s.Outcomes[class] += n
	}
	for status, n := range o.statuses {
		c.statuses[status] += n
	}
	if o.latency == nil {
		return
	}
	if c.latency == nil {
		c.latency, c.min = result.NewLoadHistogram(), math.MaxInt64
	}
	c.latency.Merge(o.latency)
	c.min, c.max = min(c.min, o.min), max(c.max, o.max)
}

// report returns the statistics of a stretch of the given length.
func (c *loadCounts) report(elapsed time.Duration) (result.LoadStats, error) {
	s := c.stats
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
	return s, s.SetLatency(c.latency, c.sum/float64(s.Sent), c.min.Seconds(), c.max.Seconds())
}

// report sums up; spans are the lengths of the phases.
func (r *recorder) report(profile *load.Profile, elapsed time.Duration, spans []time.Duration, incomplete bool) (*result.LoadReport, error) {
	report := &result.LoadReport{Started: Epoch, Elapsed: elapsed, Incomplete: incomplete, Details: r.details()}
	total := newLoadCounts()
	var err error
	for i, c := range r.phases {
		total.merge(c)
		p := result.PhaseReport{Name: profile.Phases[i].Name}
		span := time.Duration(0)
		if i < len(spans) {
			span = spans[i]
		}
		if p.Stats, err = c.report(span); err != nil {
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
