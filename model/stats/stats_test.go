package stats

import (
	"math"
	"slices"
	"testing"
	"testing/quick"
)

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
