package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/quick"
	"time"
)

func recorded(values []int64) *Histogram {
	h := new(Histogram)
	for _, v := range values {
		h.Add(time.Duration(v), 1)
	}
	return h
}

func merged(histograms ...*Histogram) *Histogram {
	sum := new(Histogram)
	for _, h := range histograms {
		sum.Merge(h)
	}
	return sum
}

// some are values of all magnitudes, as latencies are.
type some []int64

func (some) Generate(random *rand.Rand, size int) some {
	values := make(some, random.IntN(size+1))
	for i := range values {
		values[i] = int64(math.Exp(random.Float64()*30)) - 1
	}
	return values
}

// check calls a function with three lists of values, many times.
func check(t *testing.T, holds func(a, b, c some) bool) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var lists [3]some
		for i := range lists {
			lists[i] = some(nil).Generate(random, 40)
		}
		if !holds(lists[0], lists[1], lists[2]) {
			t.Fatalf("does not hold for %v, %v and %v", lists[0], lists[1], lists[2])
		}
	}
}

// same compares histograms; an empty list is not a list.
func same(a, b *Histogram) bool {
	return slices.Equal(a.buckets, b.buckets) && slices.Equal(a.wide, b.wide) && a.sum == b.sum
}

func TestBucketsCoverEachDurationOnce(t *testing.T) {
	var next time.Duration
	for i := range Buckets {
		low, high := BucketBounds(i)
		if low != next || high < low || Bucket(low) != i || Bucket(high) != i || Bucket(Middle(low, high)) != i {
			t.Fatalf("bucket %d reaches from %d to %d, after one that ended before %d", i, low, high, next)
		}
		if width := float64(high-low) / 2; width > 0.0079*float64(low) {
			t.Fatalf("bucket %d from %d to %d is too wide", i, low, high)
		}
		next = high + 1
	}
	if next != math.MinInt64 || Bucket(-1) != 0 || Bucket(math.MaxInt64) != Buckets-1 { // the longest duration and one more
		t.Errorf("the last bucket ends before %d", next)
	}
	if Buckets > 1<<indexBits {
		t.Errorf("%d buckets need more bits", Buckets)
	}
}

func TestMergeIsAssociativeAndCommutes(t *testing.T) {
	check(t, func(a, b, c some) bool {
		x, y, z := recorded(a), recorded(b), recorded(c)
		x.AddRange(5, 9, int64(len(a)))
		y.AddRange(5, math.MaxInt64, int64(len(b)))
		return same(merged(merged(x, y), z), merged(x, merged(y, z))) && same(merged(x, y), merged(y, x)) &&
			same(merged(recorded(a), recorded(b)), recorded(slices.Concat(a, b)))
	})
}

func TestSinceIsTheInverseOfMerge(t *testing.T) {
	check(t, func(a, b, _ some) bool {
		x, y := recorded(a), recorded(b)
		y.AddRange(1, 2, 3)
		both := merged(x, y)
		delta := both.Since(x)
		return same(&delta, y)
	})
	// A restart begins new counts, from which nothing is subtracted.
	for _, earlier := range []*Histogram{recorded([]int64{1, 1, 100}), recorded([]int64{7}), recorded([]int64{1000})} {
		if after := recorded([]int64{1, 50}).Since(earlier); after.Count() != 2 {
			t.Errorf("after a restart %d values remain, want 2", after.Count())
		}
	}
}

// The quantile's bounds hold the true order statistic, and their middle is
// within 0.8 % of it.
func TestQuantileHoldsTheOrderStatistic(t *testing.T) {
	check(t, func(a, _, _ some) bool {
		sorted := slices.Sorted(slices.Values(a))
		h := recorded(a)
		for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
			low, high := h.Quantile(q)
			if len(a) == 0 {
				return low == 0 && high == 0
			}
			want := time.Duration(sorted[max(1, int(math.Ceil(q*float64(len(a))-1e-9)))-1])
			if want < low || want > high || math.Abs(float64(Middle(low, high)-want)) > 0.0079*float64(want) {
				return false
			}
		}
		return true
	})
}

// The same holds where some values are known to lie in ranges only, apart from
// the width.
func TestQuantileOfRangesHoldsTheOrderStatistic(t *testing.T) {
	ends := []time.Duration{0, 1e3, 1e6, 1e9, math.MaxInt64}
	check(t, func(a, b, _ some) bool {
		h := recorded(a)
		for _, v := range b {
			at, _ := slices.BinarySearch(ends, time.Duration(v))
			h.AddRange(ends[max(0, at-1)], ends[at], 1)
		}
		sorted := slices.Sorted(slices.Values(slices.Concat(a, b)))
		for _, q := range []float64{0.1, 0.5, 0.99} {
			low, high := h.Quantile(q)
			if len(sorted) == 0 {
				return low == 0 && high == 0
			}
			want := time.Duration(sorted[max(1, int(math.Ceil(q*float64(len(sorted))-1e-9)))-1])
			if want < low || want > high {
				return false
			}
		}
		return true
	})
	// All in one range: its ends.
	var h Histogram
	h.AddRange(250e6, 500e6, 10)
	if low, high := h.Quantile(0.5); low != 250e6 || high != 500e6 {
		t.Errorf("the quantile lies between %v and %v", low, high)
	}
}

func TestRecorderCountsAsAHistogram(t *testing.T) {
	check(t, func(a, b, _ some) bool {
		var r, later Recorder
		for i, v := range a {
			if i < len(a)/2 {
				r.Record(time.Duration(v))
			} else {
				later.Record(time.Duration(v))
			}
		}
		r.Merge(&later)
		got := *recorded(b)
		r.AddTo(&got)
		least, most, ok := r.Extremes()
		if len(a) == 0 {
			return !ok && same(&got, recorded(b))
		}
		return same(&got, recorded(slices.Concat(a, b))) && least == time.Duration(slices.Min(a)) && most == time.Duration(slices.Max(a))
	})
}

func TestRecorderLosesNothing(t *testing.T) {
	var r Recorder
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 1000 {
				r.Record(time.Duration(i*1000 + w))
			}
		})
	}
	writers.Wait()
	var h Histogram
	r.AddTo(&h)
	if h.Count() != 8000 || h.Sum() != 8*1000*999*1000/2+1000*(0+1+2+3+4+5+6+7) {
		t.Errorf("%d durations, in sum %d", h.Count(), h.Sum())
	}
}

func TestExtremeDurations(t *testing.T) {
	var r Recorder
	for _, d := range []time.Duration{-5, 0, 1, math.MaxInt64} {
		r.Record(d)
	}
	if least, most, ok := r.Extremes(); !ok || least != 0 || most != math.MaxInt64 {
		t.Errorf("from %d to %d", least, most)
	}
	var h Histogram
	h.AddBucket(-1, 1)
	h.AddBucket(Buckets, 1)
	h.AddBucket(1, -1)
	h.AddRange(1, 2, 0)
	if h.Count() != 0 {
		t.Errorf("%d durations of no bucket were counted", h.Count())
	}
}

func TestHistogramAsText(t *testing.T) {
	h := recorded([]int64{1, 1, 240e6})
	if got, want := string(h.AppendText([]byte("x "))), fmt.Sprintf("x 240000002 1:2 %d:1", Bucket(240e6)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestClonesShareNothing(t *testing.T) {
	if err := quick.Check(func(n uint8) bool {
		h := recorded([]int64{int64(n)})
		h.AddRange(1, 2, 1)
		clone := h.Clone()
		before := clone.Clone()
		h.Merge(h)
		return reflect.DeepEqual(clone, before)
	}, nil); err != nil {
		t.Error(err)
	}
}

func BenchmarkRecord(b *testing.B) {
	var r Recorder
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			r.Record(time.Duration(i%1000+500) * time.Microsecond)
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	var sum Histogram
	one := recorded(some(nil).Generate(rand.New(rand.NewPCG(1, 2)), 1000))
	b.ReportAllocs()
	for b.Loop() {
		sum.Merge(one)
	}
}

func TestPackedIsTheHistogram(t *testing.T) {
	check(t, func(a, b, _ some) bool {
		h, want := recorded(a), recorded(b)
		h.AddRange(1, math.MaxInt64, int64(len(a)))
		packed := h.Pack()
		got := want.Clone()
		packed.AddTo(&got)
		want.Merge(h)
		want.sum = got.sum
		return same(&got, want)
	})
}
