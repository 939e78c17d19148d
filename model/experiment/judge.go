package experiment

import (
	"fmt"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// judge evaluates every check against the result's segments. A check without
// data fails and says so.
func (r *Result) judge(checks []Check) {
	r.Checks, r.Passed = []CheckResult{}, true
	for _, check := range checks {
		judged := r.judgeOne(check)
		r.Passed = r.Passed && judged.Pass
		r.Checks = append(r.Checks, judged)
	}
}

func (r *Result) judgeOne(check Check) CheckResult {
	judged := CheckResult{Check: check}
	condition, err := ParseCheck(check.Expr)
	if err != nil {
		judged.Why = err.Error()
		return judged
	}
	judged.Bound, judged.Dimension = condition.Bound, condition.Dimension
	value, why := r.value(check, condition)
	if why != "" {
		judged.Why = why
		return judged
	}
	judged.Value = &value.number
	judged.Pass = value.holds(condition)
	judged.Why = fmt.Sprintf("%s %s%s", condition.Metric, value.prefix(), condition.Format(value.number))
	return judged
}

// A value is a figure; atLeast marks one of which only a lower bound is known.
type value struct {
	number  float64
	atLeast bool
}

// holds judges a lower bound by the worst that it may stand for.
func (v value) holds(c Condition) bool {
	if v.atLeast {
		return (c.Op == ">" || c.Op == ">=") && c.Holds(v.number)
	}
	return c.Holds(v.number)
}

func (v value) prefix() string {
	if v.atLeast {
		return "at least "
	}
	return ""
}

func (r *Result) value(check Check, c Condition) (v value, why string) {
	switch c.Metric {
	case RecoveryTime, DetectionTime:
		return r.recoveryValue(check, c)
	case TailTime:
		if r.Tail == nil {
			return value{}, "no data: the run ended before the load did"
		}
		return value{number: r.Tail.Length, atLeast: !r.Tail.Idle}, ""
	}
	at := slices.IndexFunc(r.Segments, func(s Segment) bool { return s.Name == check.Phase })
	if at < 0 {
		return value{}, fmt.Sprintf("no data: the run ended before %q", check.Phase)
	}
	return r.Segments[at].value(check, c)
}

func (s *Segment) value(check Check, c Condition) (value, string) {
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

func (s *Segment) clientValue(c Condition) (value, string) {
	f := figures{outcomes: s.Clients.Outcomes, requests: s.Clients.Requests, errors: s.Clients.Errors, rate: s.Clients.Rate}
	if l := s.Clients.Latency; l != nil {
		f.latency = map[Metric]float64{Mean: l.Mean, Min: l.Min, Max: l.Max, P50: l.P50, P90: l.P90, P95: l.P95, P99: l.P99, P999: l.P999}
	}
	return f.value(c, "no data: the clients sent no requests "+s.where())
}

func (s *Segment) serviceValue(name string, c Condition) (value, string) {
	at := slices.IndexFunc(s.Services, func(stats ServiceStats) bool { return stats.Service == name })
	if at < 0 {
		return value{}, fmt.Sprintf("no data: service %q was not watched %s", name, s.where())
	}
	stats := &s.Services[at]
	if c.Metric == Availability {
		if stats.Seconds == 0 {
			return value{}, fmt.Sprintf("no data: service %q was not watched %s", name, s.where())
		}
		return value{number: stats.Availability}, ""
	}
	f := figures{requests: stats.Requests, errors: stats.Errors, rate: stats.Rate}
	f.setQuantiles(stats.Latency)
	return f.value(c, fmt.Sprintf("no data: service %q had no requests %s", name, s.where()))
}

func (s *Segment) edgeValue(from, to string, c Condition) (value, string) {
	f := figures{}
	for i := range s.Edges {
		if e := &s.Edges[i]; e.Caller == from && e.Callee == to {
			f = figures{outcomes: e.Outcomes, requests: e.Calls, errors: e.Errors, rate: e.Rate, fallbacks: e.Fallbacks}
			for _, n := range e.Attempts {
				f.attempts += n
			}
			f.setQuantiles(e.Latency)
		}
	}
	return f.value(c, fmt.Sprintf("no data: %q made no calls to %q %s", from, to, s.where()))
}

// figures are what a check may ask about one subject.
type figures struct {
	outcomes         map[outcome.Class]int64
	requests, errors int64
	// attempts and fallbacks are those of an edge.
	attempts, fallbacks int64
	rate                float64
	latency             map[Metric]float64
	// limit is the largest bound of buckets, or 0.
	limit float64
}

func (f *figures) setQuantiles(q *Quantiles) {
	if q != nil {
		f.latency = map[Metric]float64{Mean: q.Mean, P50: q.P50, P90: q.P90, P95: q.P95, P99: q.P99, P999: q.P999}
		f.limit = q.Limit
	}
}

func (f *figures) value(c Condition, noData string) (value, string) {
	if f.requests == 0 {
		return value{}, noData
	}
	count := float64(f.errors)
	switch {
	case c.Metric.IsLatency():
		seconds, ok := f.latency[c.Metric]
		if !ok {
			return value{}, noData
		}
		return value{seconds, f.limit > 0 && seconds >= f.limit && c.Metric != Mean}, ""
	case c.Metric == Rate:
		return value{number: f.rate}, ""
	case c.Metric == Goodput:
		return value{number: f.rate * (1 - float64(f.errors)/float64(f.requests))}, ""
	case c.Metric == Attempts:
		return value{number: float64(f.attempts) / float64(f.requests)}, ""
	case c.Metric == Fallbacks:
		count = float64(f.fallbacks)
	case c.Metric == Requests:
		return value{number: float64(f.requests)}, ""
	case c.Metric == Availability:
		return value{number: 1 - count/float64(f.requests)}, ""
	case c.Class != "":
		count = float64(f.outcomes[c.Class])
	}
	if c.Dimension == Share {
		return value{number: count / float64(f.requests)}, ""
	}
	return value{number: count}, ""
}

// recoveryValue is the longest recovery or detection of a service, or of all.
func (r *Result) recoveryValue(check Check, c Condition) (v value, why string) {
	found := false
	for i := range r.Recoveries {
		recovery := &r.Recoveries[i]
		if check.Service != "" && recovery.Service != check.Service {
			continue
		}
		found = true
		if c.Metric == DetectionTime {
			v.number = max(v.number, recovery.Detection)
			continue
		}
		if recovery.ReadyAt.IsZero() {
			return value{}, fmt.Sprintf("%s/%d was not ready again at the end of the run", recovery.Service, recovery.Replica)
		}
		v.number = max(v.number, recovery.Took)
	}
	if !found {
		return value{}, "no data: no replica went down"
	}
	return v, ""
}
