package result

import (
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// Quantiles summarise the latencies of a service or an edge, in seconds. A
// quantile is within 0.8 % of the true order statistic.
type Quantiles struct {
	// Mean is exact.
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50,omitempty"`
	P90  float64 `json:"p90,omitempty"`
	P95  float64 `json:"p95,omitempty"`
	P99  float64 `json:"p99,omitempty"`
	P999 float64 `json:"p999,omitempty"`
	// Between has the quantiles that are not known so well, by their names, for
	// a service that tells its latencies in wide buckets only. Their own fields
	// are absent.
	Between map[experiment.Metric]Range `json:"between,omitempty"`
}

// A Range is what is known of a figure: it lies from Low to High.
type Range struct {
	Low float64 `json:"low"`
	// High is absent if there is no upper bound.
	High *float64 `json:"high,omitempty"`
}

// newRange returns a range of durations.
func newRange(low, high time.Duration) Range {
	r := Range{Low: low.Seconds()}
	if high != math.MaxInt64 {
		seconds := high.Seconds()
		r.High = &seconds
	}
	return r
}

// top is the upper end, which is infinite if there is none.
func (r Range) top() float64 {
	if r.High == nil {
		return math.Inf(1)
	}
	return *r.High
}

// share is the share of values that a quantile does not exceed.
func share(m experiment.Metric) float64 {
	switch m {
	case experiment.P50:
		return 0.5
	case experiment.P90:
		return 0.9
	case experiment.P95:
		return 0.95
	case experiment.P99:
		return 0.99
	default:
		return 0.999
	}
}

// quantileMetrics are the quantiles of summaries.
func quantileMetrics() []experiment.Metric {
	return []experiment.Metric{experiment.P50, experiment.P90, experiment.P95, experiment.P99, experiment.P999}
}

// NewQuantiles summarises a histogram; nil if it is empty.
func NewQuantiles(h *stats.Histogram) *Quantiles {
	n := h.Count()
	if n == 0 {
		return nil
	}
	q := &Quantiles{Mean: h.Sum().Seconds() / float64(n)}
	for _, m := range quantileMetrics() {
		low, high := h.Quantile(share(m))
		if stats.Bucket(low) == stats.Bucket(high) {
			*q.field(m) = stats.Middle(low, high).Seconds()
			continue
		}
		if q.Between == nil {
			q.Between = map[experiment.Metric]Range{}
		}
		q.Between[m] = newRange(low, high)
	}
	return q
}

func (q *Quantiles) field(m experiment.Metric) *float64 {
	switch m {
	case experiment.P50:
		return &q.P50
	case experiment.P90:
		return &q.P90
	case experiment.P95:
		return &q.P95
	case experiment.P99:
		return &q.P99
	default:
		return &q.P999
	}
}

// Of returns a quantile. If it is not known within 1 %, its value is 0 and
// between says where it lies; else between is nil.
func (q *Quantiles) Of(m experiment.Metric) (value float64, between *Range) {
	if r, ok := q.Between[m]; ok {
		return 0, &r
	}
	return *q.field(m), nil
}

// reading is a latency as far as it is known; false for one that is not
// measured.
func (q *Quantiles) reading(m experiment.Metric) (Reading, bool) {
	switch m {
	case experiment.Mean:
		return exactly(q.Mean), true
	case experiment.P50, experiment.P90, experiment.P95, experiment.P99, experiment.P999:
		value, between := q.Of(m)
		if between != nil {
			return Reading{Number: between.Low, low: between.Low, high: between.top()}, true
		}
		return bucketReading(value), true
	default:
		return Reading{}, false
	}
}

// reading is a latency as far as it is known.
func (l *Latency) reading(m experiment.Metric) (Reading, bool) {
	v := Reading{}
	switch m {
	case experiment.Mean:
		return exactly(l.Mean), true
	case experiment.Min:
		return exactly(l.Min), true
	case experiment.Max:
		return exactly(l.Max), true
	case experiment.P50:
		v = bucketReading(l.P50)
	case experiment.P90:
		v = bucketReading(l.P90)
	case experiment.P95:
		v = bucketReading(l.P95)
	case experiment.P99:
		v = bucketReading(l.P99)
	case experiment.P999:
		v = bucketReading(l.P999)
	default:
		return Reading{}, false
	}
	v.low, v.high = max(v.low, l.Min), min(v.high, l.Max)
	return v, true
}

// bucketReading is a figure that stands for the bucket of a histogram.
func bucketReading(seconds float64) Reading {
	low, high := stats.BucketBounds(stats.Bucket(fromSeconds(seconds)))
	return Reading{Number: seconds, low: low.Seconds(), high: high.Seconds()}
}

// NewLatency summarises a histogram that is not empty, of whose durations none
// is below least and none above most.
func NewLatency(h *stats.Histogram, least, most time.Duration) *Latency {
	at := func(m experiment.Metric) float64 {
		low, high := h.Quantile(share(m))
		return min(max(stats.Middle(low, high), least), most).Seconds()
	}
	return &Latency{
		Mean: h.Sum().Seconds() / float64(h.Count()), Min: least.Seconds(), Max: most.Seconds(),
		P50: at(experiment.P50), P90: at(experiment.P90), P95: at(experiment.P95), P99: at(experiment.P99), P999: at(experiment.P999),
	}
}
