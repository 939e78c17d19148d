package result

import (
	"fmt"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// Judge evaluates every check against the result's segments. A check without
// data fails and says so.
func (r *Result) Judge(checks []experiment.Check) {
	r.Checks, r.Passed = []CheckResult{}, true
	for _, check := range checks {
		judged := r.judgeOne(check)
		r.Passed = r.Passed && judged.Pass
		r.Checks = append(r.Checks, judged)
	}
}

func (r *Result) judgeOne(check experiment.Check) CheckResult {
	judged := CheckResult{Check: check}
	condition, err := experiment.ParseCheck(check.Expr)
	if err != nil {
		judged.Why = err.Error()
		return judged
	}
	judged.Bound, judged.Dimension = condition.Bound, condition.Dimension
	value, why := r.Value(check, condition)
	if why != "" {
		judged.Why = why
		return judged
	}
	judged.Value = &value.Number
	judged.Pass = value.Holds(condition)
	judged.Why = fmt.Sprintf("%s %s%s", condition.Metric, value.Prefix(), condition.Format(value.Number))
	return judged
}

// A Reading is a figure; atLeast marks one of which only a lower bound is known.
type Reading struct {
	Number  float64
	atLeast bool
}

// Holds judges a lower bound by the worst that it may stand for.
func (v Reading) Holds(c experiment.Condition) bool {
	if v.atLeast {
		return (c.Op == ">" || c.Op == ">=") && c.Holds(v.Number)
	}
	return c.Holds(v.Number)
}

func (v Reading) Prefix() string {
	if v.atLeast {
		return "at least "
	}
	return ""
}

func (r *Result) Value(check experiment.Check, c experiment.Condition) (v Reading, why string) {
	switch c.Metric {
	case experiment.RecoveryTime, experiment.DetectionTime:
		return r.recoveryValue(check, c)
	case experiment.TailTime:
		if r.Tail == nil {
			return Reading{}, "no data: the run ended before the load did"
		}
		return Reading{Number: r.Tail.Length, atLeast: !r.Tail.Idle}, ""
	default: // the others are figures of a segment
	}
	at := slices.IndexFunc(r.Segments, func(s Segment) bool { return s.Name == check.Phase })
	if at < 0 {
		return Reading{}, fmt.Sprintf("no data: the run ended before %q", check.Phase)
	}
	return r.Segments[at].Value(check, c)
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
		f.latency = map[experiment.Metric]float64{experiment.Mean: l.Mean, experiment.Min: l.Min, experiment.Max: l.Max, experiment.P50: l.P50, experiment.P90: l.P90, experiment.P95: l.P95, experiment.P99: l.P99, experiment.P999: l.P999}
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
		return Reading{Number: stats.Availability}, ""
	}
	f := figures{requests: stats.Requests, errors: stats.Errors, degraded: stats.Degraded, rate: stats.Rate, goodput: stats.Goodput}
	f.setQuantiles(stats.Latency)
	return f.Value(c, fmt.Sprintf("no data: service %q had no requests %s", name, s.where()))
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
	// offered is known of clients only.
	offered, rate, goodput float64
	latency                map[experiment.Metric]float64
	// limit is the largest bound of buckets, or 0.
	limit float64
}

func (f *figures) setQuantiles(q *Quantiles) {
	if q != nil {
		f.latency = map[experiment.Metric]float64{experiment.Mean: q.Mean, experiment.P50: q.P50, experiment.P90: q.P90, experiment.P95: q.P95, experiment.P99: q.P99, experiment.P999: q.P999}
		f.limit = q.Limit
	}
}

func (f *figures) Value(c experiment.Condition, noData string) (Reading, string) {
	if f.requests == 0 {
		return Reading{}, noData
	}
	count := float64(f.errors)
	switch {
	case c.Metric.IsLatency():
		seconds, ok := f.latency[c.Metric]
		if !ok {
			return Reading{}, noData
		}
		return Reading{seconds, f.limit > 0 && seconds >= f.limit && c.Metric != experiment.Mean}, ""
	case c.Metric == experiment.Rate:
		return Reading{Number: f.rate}, ""
	case c.Metric == experiment.Goodput:
		return Reading{Number: f.goodput}, ""
	case c.Metric == experiment.Offered:
		return Reading{Number: f.offered}, ""
	case c.Metric == experiment.Attempts:
		return Reading{Number: float64(f.attempts) / float64(f.requests)}, ""
	case c.Metric == experiment.Fallbacks:
		count = float64(f.fallbacks)
	case c.Metric == experiment.Degraded:
		count = float64(f.degraded)
	case c.Metric == experiment.Requests:
		return Reading{Number: float64(f.requests)}, ""
	case c.Metric == experiment.Availability:
		return Reading{Number: 1 - count/float64(f.requests)}, ""
	case c.Class != "":
		count = float64(f.outcomes[c.Class])
	}
	if c.Dimension == experiment.Share {
		return Reading{Number: count / float64(f.requests)}, ""
	}
	return Reading{Number: count}, ""
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
			v.Number = max(v.Number, recovery.Detection)
			continue
		}
		if recovery.ReadyAt.IsZero() {
			return Reading{}, fmt.Sprintf("%s/%d was not ready again at the end of the run", recovery.Service, recovery.Replica)
		}
		v.Number = max(v.Number, recovery.Took)
	}
	if !found {
		return Reading{}, "no data: no replica went down"
	}
	return v, ""
}
