package result

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// MergeLoads sums up the reports of generators that have sent shares of one
// load at the same time, of which there must be at least one. Counts are exact,
// percentiles as exact as those of one report. A kind of failure that a share had
// no room for stays without a name. The time that the whole took is
// that of the share that took longest.
func MergeLoads(reports ...*LoadReport) (*LoadReport, error) {
	if len(reports) == 0 {
		return nil, errors.New("merging the reports of a load: there are none")
	}
	first := reports[0]
	whole := &LoadReport{Started: first.Started, Details: mergeDetails(reports)}
	for i, r := range reports {
		if len(r.Phases) != len(first.Phases) || len(r.Requests) != len(first.Requests) {
			return nil, fmt.Errorf("merging the reports of a load: share %d has %d phases and %d requests where the first has %d and %d",
				i, len(r.Phases), len(r.Requests), len(first.Phases), len(first.Requests))
		}
		if r.Started.Before(whole.Started) {
			whole.Started = r.Started
		}
		whole.Elapsed = max(whole.Elapsed, r.Elapsed)
		whole.Incomplete = whole.Incomplete || r.Incomplete
	}
	var err error
	merge := func(what string, of func(*LoadReport) *LoadStats) LoadStats {
		s, mergeErr := mergeStats(reports, of)
		if mergeErr != nil {
			err = errors.Join(err, fmt.Errorf("merging the reports of a load: %s: %w", what, mergeErr))
		}
		return s
	}
	whole.Total = merge("the total", func(r *LoadReport) *LoadStats { return &r.Total })
	for i := range first.Phases {
		s := merge(fmt.Sprintf("phase %q", first.Phases[i].Name), func(r *LoadReport) *LoadStats { return &r.Phases[i].Stats })
		whole.Phases = append(whole.Phases, PhaseReport{first.Phases[i].Name, s})
	}
	for i := range first.Requests {
		s := merge(fmt.Sprintf("request %q", first.Requests[i].Name), func(r *LoadReport) *LoadStats { return &r.Requests[i].Stats })
		whole.Requests = append(whole.Requests, RequestReport{first.Requests[i].Name, s})
	}
	return whole, err
}

// mergeStats sums up one part of all reports.
func mergeStats(reports []*LoadReport, of func(*LoadReport) *LoadStats) (whole LoadStats, err error) {
	whole.Outcomes = map[outcome.Class]int64{}
	var sum float64
	var latencies stats.Histogram
	least, most := time.Duration(math.MaxInt64), time.Duration(0)
	for _, r := range reports {
		s := of(r)
		whole.count(s)
		n, err := decodeHistogram(s.Histogram, &latencies)
		if err != nil {
			return whole, err
		}
		if n > 0 {
			sum += float64(s.Latency.Mean * float64(n))
			least, most = min(least, fromSeconds(s.Latency.Min)), max(most, fromSeconds(s.Latency.Max))
		}
	}
	whole.SetRates()
	if latencies.Count() == 0 {
		return whole, nil
	}
	latencies.AddSum(fromSeconds(sum))
	return whole, whole.SetLatency(&latencies, least, most)
}

// count adds what other has counted.
func (s *LoadStats) count(other *LoadStats) {
	s.Arrivals += other.Arrivals
	s.Sent += other.Sent
	s.Late += other.Late
	s.Dropped += other.Dropped
	s.Degraded += other.Degraded
	s.Ended += other.Ended
	s.Good += other.Good
	s.Sending, s.Seconds = max(s.Sending, other.Sending), max(s.Seconds, other.Seconds)
	s.Bytes += other.Bytes
	for class, n := range other.Outcomes {
		s.Outcomes[class] += n
	}
	if s.Statuses == nil && len(other.Statuses) > 0 {
		s.Statuses = maps.Clone(other.Statuses)
		return
	}
	for status, n := range other.Statuses {
		s.Statuses[status] += n
	}
}
