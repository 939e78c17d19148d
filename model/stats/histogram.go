package stats

import (
	"fmt"
	"math"
	"slices"
)

// A Histogram counts values in buckets with fixed upper bounds, as Prometheus
// does, and can be merged with others of the same bounds.
type Histogram struct {
	// Bounds are the inclusive upper bounds of the buckets, ascending; values
	// above the last fall into one more bucket.
	Bounds []float64
	// Counts are those of each bucket alone, one more than Bounds.
	Counts []int64
	Sum    float64
}

// NewHistogram returns an empty histogram with the given bounds, which must
// ascend.
func NewHistogram(bounds []float64) *Histogram {
	return &Histogram{Bounds: bounds, Counts: make([]int64, len(bounds)+1)}
}

// Record counts a value.
func (h *Histogram) Record(v float64) { h.RecordN(v, 1) }

// RecordN counts a value n times.
func (h *Histogram) RecordN(v float64, n int64) {
	i, _ := slices.BinarySearch(h.Bounds, v)
	h.Counts[i] += n
	h.Sum += v * float64(n)
}

// Count returns how many values were counted.
func (h *Histogram) Count() (n int64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Mean returns the mean of all values, or NaN for none.
func (h *Histogram) Mean() float64 { return h.Sum / float64(h.Count()) }

// Merge adds the counts of another histogram. Its bounds must be the same.
func (h *Histogram) Merge(other *Histogram) error {
	if !slices.Equal(h.Bounds, other.Bounds) || len(h.Counts) != len(other.Counts) {
		return fmt.Errorf("merging histograms: buckets %v and %v differ", h.Bounds, other.Bounds)
	}
	for i, c := range other.Counts {
		h.Counts[i] += c
	}
	h.Sum += other.Sum
	return nil
}

// Sub takes away the counts of an earlier state of the same histogram, which
// leaves what was recorded since. Where a count has fallen, as after the restart
// of the program that counts, the earlier state is taken as empty.
func (h *Histogram) Sub(earlier *Histogram) error {
	if !slices.Equal(h.Bounds, earlier.Bounds) || len(h.Counts) != len(earlier.Counts) {
		return fmt.Errorf("comparing histograms: buckets %v and %v differ", h.Bounds, earlier.Bounds)
	}
	for i, c := range earlier.Counts {
		if h.Counts[i] < c {
			return nil
		}
	}
	for i, c := range earlier.Counts {
		h.Counts[i] -= c
	}
	h.Sum -= earlier.Sum
	return nil
}

// Quantile estimates the value that a share q of all lies below, as Prometheus'
// histogram_quantile does: linear within the bucket, the first of which begins
// at 0 where its bound is positive; the last finite bound for what lies above
// it; NaN for no values. q is cut to [0, 1].
func (h *Histogram) Quantile(q float64) float64 {
	total := h.Count()
	if total == 0 || len(h.Bounds) == 0 || math.IsNaN(q) {
		return math.NaN()
	}
	rank := min(max(q, 0), 1) * float64(total)
	below := 0.0
	for i, upper := range h.Bounds {
		count := float64(h.Counts[i])
		if below+count < rank || count == 0 {
			below += count
			continue
		}
		lower := 0.0
		if i > 0 {
			lower = h.Bounds[i-1]
		} else if upper <= 0 {
			return upper
		}
		return lower + (upper-lower)*max(rank-below, 0)/count
	}
	return h.Bounds[len(h.Bounds)-1]
}
