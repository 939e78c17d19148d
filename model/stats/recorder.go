package stats

import (
	"math"
	"sync/atomic"
	"time"
)

// A Recorder counts durations for many goroutines at once, in the buckets of a
// Histogram. It takes memory only for the octaves that occur, 512 bytes each.
// The zero value is empty.
type Recorder struct {
	counts [octaves]atomic.Pointer[[perOctave]atomic.Uint64]
	sum    atomic.Int64
	most   atomic.Int64
	// least is math.MaxInt64 minus the shortest, so that 0 means none yet.
	least atomic.Int64
}

// Record counts a duration; one below zero counts as zero.
func (r *Recorder) Record(d time.Duration) {
	d = max(d, 0)
	index := Bucket(d)
	r.octave(index / perOctave)[index%perOctave].Add(1)
	r.sum.Add(int64(d))
	raise(&r.most, int64(d))
	raise(&r.least, math.MaxInt64-int64(d))
}

// octave returns the counts of an octave, which it makes if they are not there.
func (r *Recorder) octave(i int) *[perOctave]atomic.Uint64 {
	if counts := r.counts[i].Load(); counts != nil {
		return counts
	}
	r.counts[i].CompareAndSwap(nil, new([perOctave]atomic.Uint64))
	return r.counts[i].Load()
}

// Merge adds what another recorder has counted.
func (r *Recorder) Merge(other *Recorder) {
	for i := range other.counts {
		counts := other.counts[i].Load()
		if counts == nil {
			continue
		}
		to := r.octave(i)
		for at := range counts {
			to[at].Add(counts[at].Load())
		}
	}
	r.sum.Add(other.sum.Load())
	raise(&r.most, other.most.Load())
	raise(&r.least, other.least.Load())
}

func raise(v *atomic.Int64, to int64) {
	for old := v.Load(); old < to && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

// AddTo adds what was counted so far to a histogram. Durations recorded at the
// same moment may be in the counts and not yet in the sum.
func (r *Recorder) AddTo(h *Histogram) {
	h.sum += time.Duration(r.sum.Load())
	if len(h.buckets) > 0 {
		var so Histogram
		r.addBuckets(&so)
		h.buckets = mergeBuckets(h.buckets, so.buckets)
		return
	}
	r.addBuckets(h)
}

// addBuckets appends the buckets that are not empty.
func (r *Recorder) addBuckets(h *Histogram) {
	for octave := range r.counts {
		counts := r.counts[octave].Load()
		if counts == nil {
			continue
		}
		for at := range counts {
			if n := counts[at].Load(); n > 0 {
				h.buckets = append(h.buckets, newBucket(octave*perOctave+at, int64(n)))
			}
		}
	}
}

// Extremes returns the shortest and the longest duration; ok is false if there
// was none.
func (r *Recorder) Extremes() (least, most time.Duration, ok bool) {
	inverse := r.least.Load()
	return time.Duration(math.MaxInt64 - inverse), time.Duration(r.most.Load()), inverse > 0
}
