package measure

import (
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts latencies in buckets whose width is at most 1/64 of their
// value, so that a quantile is off by less than 0.8 %. It may be written by many
// goroutines at once, and takes memory only for the octaves that occur. Its
// layout follows HdrHistogram's: 64 buckets of 1 µs, then 64 for each octave.
type histogram struct {
	octaves [octaves]atomic.Pointer[[64]atomic.Uint32]
	count   atomic.Int64
	Sum     atomic.Int64 // nanoseconds
	max     atomic.Int64
	inverse atomic.Int64 // MaxInt64 minus the least, so that 0 means none yet
}

// octaves reach to 2^40 µs, about 12 days.
const octaves = 35

// record counts one latency; those below 1 ns count as 1 ns.
func (h *histogram) record(d time.Duration) {
	d = max(d, 1)
	octave, bucket := place(d)
	counts := h.octaves[octave].Load()
	if counts == nil {
		h.octaves[octave].CompareAndSwap(nil, new([64]atomic.Uint32))
		counts = h.octaves[octave].Load()
	}
	counts[bucket].Add(1)
	h.count.Add(1)
	h.Sum.Add(int64(d))
	raise(&h.max, int64(d))
	raise(&h.inverse, math.MaxInt64-int64(d))
}

func raise(v *atomic.Int64, to int64) {
	for old := v.Load(); old < to && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

func place(d time.Duration) (octave, bucket int) {
	us := uint64(d / time.Microsecond)
	if us < 64 {
		return 0, int(us)
	}
	shift := bits.Len64(us) - 7
	if shift+1 >= octaves {
		return octaves - 1, 63
	}
	return shift + 1, int(us>>shift) - 64
}

// middle is the value in the middle of a bucket, in seconds.
func middle(octave, bucket int) float64 {
	if octave == 0 {
		return (float64(bucket) + 0.5) * 1e-6
	}
	return math.Ldexp(float64(bucket+64)+0.5, octave-1) * 1e-6
}

// distribution is what a histogram held at one moment.
type distribution struct {
	counts   [octaves]*[64]uint32
	count    int64
	Sum      time.Duration
	min, max time.Duration // min is 0 where nothing was recorded
}

// add puts what the histogram holds now into the distribution.
func (d *distribution) add(h *histogram) {
	for o := range h.octaves {
		counts := h.octaves[o].Load()
		if counts == nil {
			continue
		}
		if d.counts[o] == nil {
			d.counts[o] = new([64]uint32)
		}
		for b := range counts {
			d.counts[o][b] += counts[b].Load()
		}
	}
	d.count += h.count.Load()
	d.Sum += time.Duration(h.Sum.Load())
	d.max = max(d.max, time.Duration(h.max.Load()))
	if inverse := h.inverse.Load(); inverse > 0 {
		if least := time.Duration(math.MaxInt64 - inverse); d.min == 0 || least < d.min {
			d.min = least
		}
	}
}

// Since returns what was added after an earlier state; min and max are those of
// the buckets then.
func (d *distribution) Since(earlier *distribution) (delta distribution) {
	for o, counts := range d.counts {
		if counts == nil {
			continue
		}
		changed := *counts
		for b := range changed {
			if old := earlier.counts[o]; old != nil {
				changed[b] -= old[b]
			}
			if n := int64(changed[b]); n > 0 {
				at := time.Duration(middle(o, b) * 1e9)
				if delta.count == 0 {
					delta.min = at
				}
				delta.count += n
				delta.max = at
			}
		}
		delta.counts[o] = &changed
	}
	delta.Sum = d.Sum - earlier.Sum
	return delta
}

// quantile returns the value, in seconds, that the share q of all does not exceed.
func (d *distribution) quantile(q float64) float64 {
	var total int64
	for _, counts := range d.counts {
		if counts != nil {
			for _, n := range counts {
				total += int64(n)
			}
		}
	}
	rank := max(1, int64(math.Ceil(q*float64(total)-1e-9)))
	var seen int64
	for o, counts := range d.counts {
		if counts == nil {
			continue
		}
		for b, n := range counts {
			if seen += int64(n); seen >= rank && n > 0 {
				return min(max(middle(o, b), d.min.Seconds()), d.max.Seconds())
			}
		}
	}
	return 0
}

// latency summarises the distribution; nil where it is empty.
func (d *distribution) latency() *result.Latency {
	if d.count == 0 {
		return nil
	}
	return &result.Latency{
		Mean: d.Sum.Seconds() / float64(d.count), Min: d.min.Seconds(), Max: d.max.Seconds(),
		P50: d.quantile(0.5), P90: d.quantile(0.9), P95: d.quantile(0.95), P99: d.quantile(0.99), P999: d.quantile(0.999),
	}
}
