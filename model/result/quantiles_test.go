package result

import (
	"math"
	"testing"
)

func TestBucketQuantiles(t *testing.T) {
	bounds := []float64{0.1, 0.2, 0.5}
	for name, test := range map[string]struct {
		counts   []int64
		p50, p99 float64
		isNil    bool
	}{
		"empty":    {counts: []int64{0, 0, 0, 0}, isNil: true},
		"spread":   {counts: []int64{50, 50, 0, 0}, p50: 0.1, p99: 0.198},
		"one":      {counts: []int64{0, 100, 0, 0}, p50: 0.15, p99: 0.199},
		"overflow": {counts: []int64{0, 0, 60, 40}, p50: 0.45, p99: 0.5},
	} {
		q := BucketQuantiles(bounds, test.counts, 1)
		if test.isNil != (q == nil) {
			t.Errorf("%s: %+v", name, q)
		} else if q != nil && (math.Abs(q.P50-test.p50) > 1e-9 || math.Abs(q.P99-test.p99) > 1e-9) {
			t.Errorf("%s: %+v", name, q)
		}
	}
}
