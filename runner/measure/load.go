package measure

import (
	"math"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// lateAfter is the delay of a start from which it counts as late.
const lateAfter = time.Millisecond

// Load counts the requests of a load for the report of its generator, which tells
// it when phases begin and end, and the outcome of each request. It is not safe for
// several goroutines at once.
type Load struct {
	phases   []*counts
	requests []*counts
	// failures has at most result.MaxFailures entries; further counts the failures
	// of other kinds.
	failures map[result.FailureKind]*result.Failure
	further  int64
	// ends are the ends of the phases that have begun, as far as they are known;
	// lastEnd is the end of the last request. Both count from the start of the
	// load.
	ends    []time.Duration
	lastEnd time.Duration
}

// NewLoad returns the counts of a load with a number of phases, and of requests in
// its mix.
func NewLoad(phases, requests int) *Load {
	l := &Load{phases: make([]*counts, phases), requests: make([]*counts, requests), failures: map[result.FailureKind]*result.Failure{}}
	for _, list := range [][]*counts{l.phases, l.requests} {
		for i := range list {
			list[i] = &counts{outcomes: map[outcome.Class]int64{}, statuses: map[int]int64{}}
		}
	}
	return l
}

// Begin notes that the next phase begins. It lasts at most the duration; 0 means
// that its end is not known.
func (l *Load) Begin(at, duration time.Duration) {
	end := time.Duration(math.MaxInt64)
	if duration > 0 {
		end = at + duration
	}
	l.ends = append(l.ends, end)
}

// End notes when a phase has ended.
func (l *Load) End(phase int, at time.Duration) { l.ends[phase] = at }

// phaseAt returns the phase of a moment. After the load it is the last phase.
func (l *Load) phaseAt(at time.Duration) int {
	for i, end := range l.ends {
		if at < end {
			return i
		}
	}
	return max(len(l.ends)-1, 0)
}

// Add counts an outcome; sent says whether a request was sent. An outcome without a
// class is an arrival for which there was nothing to send.
func (l *Load) Add(o *Outcome, sent bool) {
	l.phases[o.Phase].add(o, sent)
	l.requests[o.Request].add(o, sent)
	if o.Class != "" && o.Ended() {
		at := o.End()
		l.phases[l.phaseAt(at)].ends(o)
		l.requests[o.Request].ends(o)
		l.lastEnd = max(l.lastEnd, at)
	}
}

// Knows reports whether a failure of this kind has been counted.
func (l *Load) Knows(kind result.FailureKind) bool { return l.failures[kind] != nil }

// Fail counts a request that did not end well, by the kind of its failure. It keeps
// the earliest example of each kind.
func (l *Load) Fail(kind result.FailureKind, example *result.Example) {
	if known := l.failures[kind]; known != nil {
		known.Add(1, example)
		return
	}
	if len(l.failures) == result.MaxFailures {
		l.further++
		return
	}
	l.failures[kind] = &result.Failure{FailureKind: kind, Count: 1, Example: *example}
}

// details returns why requests failed.
func (l *Load) details() (d result.Details) {
	for _, f := range l.failures {
		d.Failures = append(d.Failures, *f)
	}
	d.FurtherFailures = l.further
	d.Sort()
	return d
}

// counts holds the statistics of one phase or one request of the mix.
type counts struct {
	arrivals, sent, late, dropped, bytes int64
	// degraded counts requests that ended well without a part; they count as ok,
	// too. ended counts requests that ended while the phase lasted, and good those
	// that ended well at every hop.
	degraded, ended, good int64

	outcomes map[outcome.Class]int64
	statuses map[int]int64
	latency  stats.Recorder
}

func (c *counts) add(o *Outcome, sent bool) {
	c.arrivals++
	if o.Class != "" {
		c.outcomes[o.Class]++
	}
	if o.Class == outcome.OK && o.Degraded {
		c.degraded++
	}
	if o.Class == outcome.Dropped {
		c.dropped++
	}
	if o.Status != 0 {
		c.statuses[o.Status]++
		c.bytes += o.Bytes
	}
	if !sent {
		return
	}
	if o.Late > lateAfter {
		c.late++
	}
	c.sent++
	if o.Class != outcome.Cancelled {
		c.latency.Record(o.Latency) // a request that the end of the load cut off has no latency
	}
}

// ends counts a request that ended while the phase lasted.
func (c *counts) ends(o *Outcome) {
	c.ended++
	if o.Good() {
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

// report returns the statistics. sending is how long requests were sent; length
// lasts until the last of them had ended.
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

// Report returns the report of a load that has ended; spans are the lengths of its
// phases.
func (l *Load) Report(profile *load.Profile, started time.Time, elapsed time.Duration, spans []time.Duration) (*result.LoadReport, error) {
	report := &result.LoadReport{Started: started, Elapsed: elapsed, Details: l.details()}
	total := NewLoad(1, 0).phases[0]
	sending := l.sending(profile, elapsed)
	length := max(sending, l.lastEnd)
	var begin time.Duration
	var err error
	for i, c := range l.phases {
		total.merge(c)
		p := result.PhaseReport{Name: profile.Phases[i].Name}
		lasted := spans[i]
		if i == len(l.ends)-1 {
			lasted = length - begin
		}
		if p.Stats, err = c.report(spans[i], lasted); err != nil {
			return nil, err
		}
		begin += spans[i]
		report.Phases = append(report.Phases, p)
	}
	for i, c := range l.requests {
		q := result.RequestReport{Name: profile.Requests[i].Name}
		if q.Stats, err = c.report(sending, length); err != nil {
			return nil, err
		}
		report.Requests = append(report.Requests, q)
	}
	report.Total, err = total.report(sending, length)
	return report, err
}

// sending is how long the load was sent: the planned length or, if the load ended
// by a count or early, the time until its last answer.
func (l *Load) sending(profile *load.Profile, elapsed time.Duration) (sum time.Duration) {
	for i := range profile.Phases {
		p := &profile.Phases[i]
		if p.Count > 0 || p.Duration == 0 {
			return elapsed
		}
		sum += p.Duration.Std()
	}
	return min(sum, elapsed)
}
