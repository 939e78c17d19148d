package result

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// The histograms of loads hold microseconds with three significant digits.
const (
	lowestLatency  = 1
	highestLatency = int64(24 * time.Hour / time.Microsecond)
	latencyDigits  = 3
)

// NewLoadHistogram returns an empty histogram of the latencies of a load, in
// microseconds.
func NewLoadHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(lowestLatency, highestLatency, latencyDigits)
}

// RecordLatency counts a latency, cut to the range of the histogram.
func RecordLatency(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), lowestLatency), highestLatency)) // cut, so that there is no error
}

// SetLatency writes the latencies of a histogram down. Mean and extremes, in
// seconds, are known exactly, and no percentile lies outside of these.
func (s *LoadStats) SetLatency(h *hdrhistogram.Histogram, mean, least, most float64) error {
	at := func(percent float64) float64 {
		v := time.Duration(h.ValueAtPercentile(percent)) * time.Microsecond
		return min(max(v.Seconds(), least), most)
	}
	s.Latency = Latency{Mean: mean, Min: least, Max: most, P50: at(50), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9)}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return fmt.Errorf("encoding a histogram: %w", err)
	}
	s.Histogram = string(text)
	return nil
}

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
	sum, least, most := 0.0, math.Inf(1), 0.0
	var span float64
	var latencies *hdrhistogram.Histogram
	for _, r := range reports {
		s := of(r)
		whole.count(s)
		if s.Rate > 0 {
			span = max(span, float64(s.answered())/s.Rate)
		}
		if s.Histogram == "" {
			continue
		}
		h, err := hdrhistogram.Decode([]byte(s.Histogram))
		if err != nil {
			return whole, fmt.Errorf("decoding a histogram: %w", err)
		}
		if latencies == nil {
			latencies = NewLoadHistogram()
		}
		if lost := latencies.Merge(h); lost > 0 {
			return whole, fmt.Errorf("%d latencies of a histogram are longer than a day", lost)
		}
		sum += s.Latency.Mean * float64(s.Sent)
		least, most = min(least, s.Latency.Min), max(most, s.Latency.Max)
	}
	if span > 0 {
		whole.Rate = float64(whole.answered()) / span
	}
	if latencies == nil {
		return whole, nil
	}
	return whole, whole.SetLatency(latencies, sum/float64(max(whole.Sent, 1)), least, most)
}

// count adds what other has counted.
func (s *LoadStats) count(other *LoadStats) {
	s.Arrivals += other.Arrivals
	s.Sent += other.Sent
	s.Late += other.Late
	s.Dropped += other.Dropped
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

// answered counts the answers of any kind, which Rate is of.
func (s *LoadStats) answered() (n int64) {
	for _, count := range s.Statuses {
		n += count
	}
	return n
}
