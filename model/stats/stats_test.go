package stats

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"testing/quick"
)

var bounds = []float64{0.25, 1, 4, 16, 64}

// recorded values are sixteenths, so that sums are exact in any order.
func recorded(values []int8) *Histogram {
	h := NewHistogram(bounds)
	for _, v := range values {
		h.Record(math.Abs(float64(v)) / 16)
	}
	return h
}

func merged(a, b *Histogram) *Histogram {
	sum := NewHistogram(a.Bounds)
	for _, h := range []*Histogram{a, b} {
		if err := sum.Merge(h); err != nil {
			panic(err)
		}
	}
	return sum
}

func TestMergeIsAssociativeAndCommutes(t *testing.T) {
	check := func(a, b, c []int8) bool {
		x, y, z := recorded(a), recorded(b), recorded(c)
		return reflect.DeepEqual(merged(merged(x, y), z), merged(x, merged(y, z))) &&
			reflect.DeepEqual(merged(x, y), merged(y, x)) &&
			reflect.DeepEqual(merged(x, y), recorded(append(slices.Clone(a), b...)))
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestRecordNIsRecordNTimes(t *testing.T) {
	check := func(v int8, n uint8) bool {
		a, b := NewHistogram(bounds), NewHistogram(bounds)
		a.RecordN(float64(v)/16, int64(n))
		for range n {
			b.Record(float64(v) / 16)
		}
		return reflect.DeepEqual(a, b)
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestSubIsTheInverseOfMerge(t *testing.T) {
	check := func(a, b []int8) bool {
		x, y := recorded(a), recorded(b)
		both := merged(x, y)
		return both.Sub(x) == nil && reflect.DeepEqual(both, y)
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
	after := recorded([]int8{1})
	if err := after.Sub(recorded([]int8{1, 1, 100})); err != nil || after.Count() != 1 {
		t.Errorf("after a restart %d values remain (%v), want 1", after.Count(), err)
	}
}

func TestOtherBucketsAreRefused(t *testing.T) {
	if NewHistogram(bounds).Merge(NewHistogram(bounds[1:])) == nil || NewHistogram(bounds).Sub(NewHistogram(nil)) == nil {
		t.Error("histograms of different buckets go together")
	}
}

func TestHistogramQuantile(t *testing.T) {
	h := &Histogram{Bounds: []float64{1, 2, 4}, Counts: []int64{10, 0, 20, 10}}
	for _, c := range []struct{ q, want float64 }{
		{-1, 0}, {0, 0}, {0.125, 0.5}, {0.25, 1}, {0.5, 3}, {0.75, 4}, {0.9, 4}, {1, 4}, {2, 4},
	} {
		if got := h.Quantile(c.q); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("quantile %v = %v, want %v", c.q, got, c.want)
		}
	}
	if got := (&Histogram{Bounds: []float64{-1, 1}, Counts: []int64{5, 0, 0}}).Quantile(0.5); got != -1 {
		t.Errorf("in a first bucket below 0 the quantile is %v, want -1", got)
	}
	if !math.IsNaN(NewHistogram(bounds).Quantile(0.5)) || !math.IsNaN(NewHistogram(nil).Quantile(0.5)) {
		t.Error("nothing has a quantile")
	}
}

// A histogram's quantile lies in the bucket of the true one.
func TestHistogramQuantileLiesInItsBucket(t *testing.T) {
	check := func(values []int8, share uint8) bool {
		if len(values) == 0 {
			return true
		}
		h, q := recorded(values), float64(share)/255
		sorted := make([]float64, len(values))
		for i, v := range values {
			sorted[i] = math.Abs(float64(v)) / 16
		}
		slices.Sort(sorted)
		rank := max(int(math.Ceil(q*float64(len(sorted)))), 1)
		i, _ := slices.BinarySearch(bounds, sorted[rank-1])
		low, high := 0.0, bounds[min(i, len(bounds)-1)]
		if i > 0 {
			low = bounds[i-1]
		}
		got := h.Quantile(q)
		return got >= low-1e-9 && got <= high+1e-9
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{[]float64{7}, 0.3, 7}, {[]float64{1, 2, 3, 4}, 0.5, 2.5}, {[]float64{1, 2, 3, 4, 5}, 0.25, 2}, {[]float64{1, 2}, 2, 2}, {[]float64{1, 2}, -1, 1},
	} {
		if got := Quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile %v of %v = %v, want %v", c.q, c.values, got, c.want)
		}
	}
	if !math.IsNaN(Quantile(nil, 0.5)) {
		t.Error("nothing has a quantile")
	}
	ascends := func(values []int16, a, b uint8) bool {
		sorted := make([]float64, len(values))
		for i, v := range values {
			sorted[i] = float64(v)
		}
		slices.Sort(sorted)
		low, high := Quantile(sorted, float64(min(a, b))/255), Quantile(sorted, float64(max(a, b))/255)
		return len(values) == 0 || low <= high && low >= sorted[0] && high <= sorted[len(sorted)-1]
	}
	if err := quick.Check(ascends, nil); err != nil {
		t.Error(err)
	}
}

// The expected values are those of published tables, rounded as there.
func TestStudentQuantileMeetsTheTables(t *testing.T) {
	for _, c := range []struct{ p, degrees, want float64 }{
		{0.975, 1, 12.706}, {0.975, 2, 4.303}, {0.95, 5, 2.015}, {0.975, 10, 2.228}, {0.995, 30, 2.750}, {0.975, 120, 1.980}, {0.025, 10, -2.228}, {0.5, 3, 0},
	} {
		if got := StudentQuantile(c.p, c.degrees); math.Abs(got-c.want) > 0.0006 {
			t.Errorf("t(%v, %v) = %v, want %v", c.p, c.degrees, got, c.want)
		}
	}
	if got := NormalQuantile(0.975); math.Abs(got-1.959964) > 1e-6 {
		t.Errorf("z(0.975) = %v", got)
	}
}

func TestWilson(t *testing.T) {
	for _, c := range []struct {
		hits, n   int64
		low, high float64
	}{
		{0, 0, 0, 1}, {0, 10, 0, 0.2775}, {10, 10, 0.7225, 1}, {5, 10, 0.2366, 0.7634}, {1, 100, 0.0018, 0.0545},
	} {
		got := Wilson(c.hits, c.n, 0.95)
		if math.Abs(got.Low-c.low) > 1e-4 || math.Abs(got.High-c.high) > 1e-4 {
			t.Errorf("interval of %d in %d is %v, want [%v, %v]", c.hits, c.n, got, c.low, c.high)
		}
	}
}

func TestBinomial(t *testing.T) {
	for _, c := range []struct {
		n         int64
		p         float64
		low, high int64
	}{
		{10, 0.5, 2, 8}, {10, 0, 0, 0}, {10, 1, 10, 10}, {100, 0.3, 21, 39}, {1, 0.5, 0, 1},
	} {
		if low, high := Binomial(c.n, c.p, 0.95); low != c.low || high != c.high {
			t.Errorf("Binomial(%d, %v) = %d..%d, want %d..%d", c.n, c.p, low, high, c.low, c.high)
		}
	}
	low, high := Binomial(100000, 0.3, 0.999)
	if math.Abs(float64(low)-(30000-477)) > 5 || math.Abs(float64(high)-(30000+477)) > 5 {
		t.Errorf("Binomial(100000, 0.3, 0.999) = %d..%d, want 30000 within 477", low, high)
	}
}

func TestMeanInterval(t *testing.T) {
	mean, got := MeanInterval([]float64{1, 2, 3, 4, 5}, 0.95)
	if mean != 3 || math.Abs(got.High-3-1.9633) > 1e-3 || math.Abs(got.Low-3+1.9633) > 1e-3 {
		t.Errorf("interval is %v within %v, want 3 within 1.9633", mean, got)
	}
	if mean, got := MeanInterval([]float64{1}, 0.95); mean != 1 || !got.Contains(1e300) {
		t.Errorf("one value has the interval %v", got)
	}
}
