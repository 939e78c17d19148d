package result

import (
	"fmt"
	"math"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// Judge evaluates every check against the result's segments. A check without
// data fails and says so.
func (r *Result) Judge(checks []experiment.Check) {
	r.Checks, r.Passed = []CheckResult{}, true
	for _, check := range checks {
		judged := r.judgeOne(check, checks)
		r.Passed = r.Passed && judged.Pass
		r.Checks = append(r.Checks, judged)
	}
}

// judgeOne judges one of the checks.
func (r *Result) judgeOne(check experiment.Check, all []experiment.Check) CheckResult {
	judged := CheckResult{Check: check}
	condition, err := experiment.ParseCheck(check.Expr)
	if err != nil {
		judged.Why = err.Error()
		return judged
	}
	judged.Bound, judged.Dimension = condition.Bound, condition.Dimension
	if condition.Metric.IsAboutAlerts() {
		r.judgeAlerts(&judged, condition, namedIn(all))
		return judged
	}
	value, why := r.Value(check, condition)
	if why != "" {
		judged.Why = why
		return judged
	}
	verdict := value.judge(condition)
	judged.Pass, judged.NotKnown = verdict == holds, verdict == notKnown
	if value.isWide() {
		between := value.between()
		judged.Between = &between
	} else {
		judged.Value = &value.Number
	}
	judged.Why = fmt.Sprintf("%s %s", condition.Metric, value.Text(condition))
	if judged.NotKnown {
		judged.Why = fmt.Sprintf("not known: %s is %s", condition.Metric, value.spread(condition))
	}
	return judged
}

// A Reading is a figure with its bounds: the true value lies between low and high.
// High is infinite if there is no upper bound.
type Reading struct {
	Number    float64
	low, high float64
}

// exactly is the reading of a figure that is known.
func exactly(v float64) Reading { return Reading{v, v, v} }

// A verdict says whether a condition holds.
type verdict int

const (
	fails verdict = iota
	holds
	// notKnown is where the condition holds for some of what the figure may be.
	notKnown
)

// judge holds a condition against all that the figure may be.
func (v Reading) judge(c experiment.Condition) verdict {
	low, high := c.Holds(v.low), c.Holds(v.high)
	inside := v.low < c.Bound && c.Bound < v.high
	switch {
	case inside && (c.Op == "==" || c.Op == "!=") || low != high:
		return notKnown
	case low:
		return holds
	}
	return fails
}

// Bounds are what the figure lies between; high is infinite without an upper one.
func (v Reading) Bounds() (low, high float64) { return v.low, v.high }

// Holds reports whether the condition is known to hold.
func (v Reading) Holds(c experiment.Condition) bool { return v.judge(c) == holds }

// wideBy is how far apart the bounds of a figure may be, as a share of the lower
// one, so that their middle can stand for it.
const wideBy = 1.0 / 50

func (v Reading) isWide() bool { return v.high > v.low*(1+wideBy) }

func (v Reading) between() Range {
	r := Range{Low: v.low}
	if !math.IsInf(v.high, 1) {
		r.High = &v.high
	}
	return r
}

// Text prints the figure as far as it is known.
func (v Reading) Text(c experiment.Condition) string {
	if !v.isWide() {
		return c.Format(v.Number)
	}
	return v.spread(c)
}

// spread prints the bounds of a figure.
func (v Reading) spread(c experiment.Condition) string {
	if math.IsInf(v.high, 1) {
		return "at least " + c.Format(v.low)
	}
	return fmt.Sprintf("between %s and %s", c.Format(v.low), c.Format(v.high))
}

func (r *Result) Value(check experiment.Check, c experiment.Condition) (v Reading, why string) {
	switch c.Metric {
	case experiment.RecoveryTime, experiment.DetectionTime:
		return r.recoveryValue(check, c)
	case experiment.TailTime:
		if r.Tail == nil {
			return Reading{}, "no data: the run ended before the load did"
		}
		v = exactly(r.Tail.Length)
		if !r.Tail.Idle {
			v.high = math.Inf(1)
		}
		return v, ""
	default: // the others are figures of a segment
	}
	at := slices.IndexFunc(r.Segments, func(s Segment) bool { return s.Name == check.Phase })
	switch {
	case at >= 0:
		return r.Segments[at].Value(check, c)
	case check.Phase == "":
		return Reading{}, "no data: the run ended before its load began"
	}
	return Reading{}, fmt.Sprintf("no data: the run ended before %q", check.Phase)
}

func (s *Segment) Value(check experiment.Check, c experiment.Condition) (Reading, string) {
	switch {
	case check.Service == "":
		return s.clientValue(c)
	case check.From == "":
		return s.serviceValue(check.Service, c)
	}
	return s.edgeValue(check.From, check.Service, c)
}

func (s *Segment) where() string {
	if s.Name == "" {
		return "in the run"
	}
	return fmt.Sprintf("in %q", s.Name)
}

func (s *Segment) clientValue(c experiment.Condition) (Reading, string) {
	f := figures{outcomes: s.Clients.Outcomes, requests: s.Clients.Requests, errors: s.Clients.Errors, degraded: s.Clients.Degraded,
		offered: s.Clients.OfferedRate, rate: s.Clients.Rate, goodput: s.Clients.Goodput}
	if l := s.Clients.Latency; l != nil {
		f.latency = l.reading
	}
	return f.Value(c, "no data: the clients sent no requests "+s.where())
}

func (s *Segment) serviceValue(name string, c experiment.Condition) (Reading, string) {
	at := slices.IndexFunc(s.Services, func(stats ServiceStats) bool { return stats.Service == name })
	if at < 0 {
		return Reading{}, fmt.Sprintf("no data: service %q was not watched %s", name, s.where())
	}
	stats := &s.Services[at]
	if c.Metric == experiment.Availability {
		if stats.Seconds == 0 {
			return Reading{}, fmt.Sprintf("no data: service %q was not watched %s", name, s.where())
		}
		return exactly(stats.Availability), ""
	}
	f := figures{requests: stats.Requests, errors: stats.Errors, degraded: stats.Degraded, rate: stats.Rate, goodput: stats.Goodput, missed: stats.Missed, stale: stats.Stale}
	if c.Metric == experiment.Lag {
		return stats.lagValue(c, s.where())
	}
	f.setQuantiles(stats.Latency)
	return f.Value(c, fmt.Sprintf("no data: service %q had no requests %s", name, s.where()))
}

// lagValue is how far consumers were behind, in messages or in seconds.
func (s *ServiceStats) lagValue(c experiment.Condition, where string) (Reading, string) {
	switch {
	case s.Lag == nil || s.LagSeconds == nil:
		return Reading{}, fmt.Sprintf("no data: nobody consumed from %q %s", s.Service, where)
	case c.Dimension == experiment.Seconds:
		return exactly(*s.LagSeconds), ""
	}
	return exactly(float64(*s.Lag)), ""
}

func (s *Segment) edgeValue(from, to string, c experiment.Condition) (Reading, string) {
	f := figures{}
	for i := range s.Edges {
		if e := &s.Edges[i]; e.Caller == from && e.Callee == to {
			f = figures{outcomes: e.Outcomes, requests: e.Calls, errors: e.Errors, degraded: e.Degraded, rate: e.Rate, goodput: e.Goodput, fallbacks: e.Fallbacks}
			for _, n := range e.Attempts {
				f.attempts += n
			}
			f.setQuantiles(e.Latency)
		}
	}
	return f.Value(c, fmt.Sprintf("no data: %q made no calls to %q %s", from, to, s.where()))
}

// figures are what a check may ask about one subject.
type figures struct {
	outcomes         map[outcome.Class]int64
	requests, errors int64
	degraded         int64
	// attempts and fallbacks are those of an edge.
	attempts, fallbacks int64
	// missed and stale are those of a data store; nil if not known.
	missed, stale *int64
	// offered is known of clients only.
	offered, rate, goodput float64
	// latency reads a latency; it is nil without data.
	latency func(experiment.Metric) (Reading, bool)
}

func (f *figures) setQuantiles(q *Quantiles) {
	if q != nil {
		f.latency = q.reading
	}
}

func (f *figures) Value(c experiment.Condition, noData string) (Reading, string) {
	if f.requests == 0 {
		return Reading{}, noData
	}
	count := float64(f.errors)
	switch {
	case c.Metric.IsLatency():
		if f.latency != nil {
			if v, ok := f.latency(c.Metric); ok {
				return v, ""
			}
		}
		return Reading{}, noData
	case c.Metric == experiment.Rate:
		return exactly(f.rate), ""
	case c.Metric == experiment.Goodput:
		return exactly(f.goodput), ""
	case c.Metric == experiment.Offered:
		return exactly(f.offered), ""
	case c.Metric == experiment.Attempts:
		return exactly(float64(f.attempts) / float64(f.requests)), ""
	case c.Metric == experiment.Fallbacks:
		count = float64(f.fallbacks)
	case c.Metric == experiment.Misses || c.Metric == experiment.Stale:
		n := f.missed
		if c.Metric == experiment.Stale {
			n = f.stale
		}
		if n == nil {
			return Reading{}, "no data: it did not tell this figure"
		}
		count = float64(*n)
	case c.Metric == experiment.Degraded:
		count = float64(f.degraded)
	case c.Metric == experiment.Requests:
		return exactly(float64(f.requests)), ""
	case c.Metric == experiment.Availability:
		return exactly(1 - count/float64(f.requests)), ""
	case c.Class != "":
		count = float64(f.outcomes[c.Class])
	}
	if c.Dimension == experiment.Share {
		return exactly(count / float64(f.requests)), ""
	}
	return exactly(count), ""
}

// recoveryValue is the longest recovery or detection of a service, or of all.
func (r *Result) recoveryValue(check experiment.Check, c experiment.Condition) (v Reading, why string) {
	found := false
	for i := range r.Recoveries {
		recovery := &r.Recoveries[i]
		if check.Service != "" && recovery.Service != check.Service {
			continue
		}
		found = true
		if c.Metric == experiment.DetectionTime {
			if recovery.DetectedAt.IsZero() {
				return Reading{}, fmt.Sprintf("%s/%d was away and no health check noticed", recovery.Service, recovery.Replica)
			}
			v = exactly(max(v.Number, recovery.Detection))
			continue
		}
		if recovery.ReadyAt.IsZero() {
			return Reading{}, fmt.Sprintf("%s/%d was not ready again at the end of the run", recovery.Service, recovery.Replica)
		}
		v = exactly(max(v.Number, recovery.Took))
	}
	if !found {
		return Reading{}, "no data: no replica went down"
	}
	return v, ""
}
