package collect

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// durations are those of requests or calls that a replica has counted since its
// start.
type durations struct {
	stats.Histogram
	// fine is set where the replica tells its fine buckets; classic has what it
	// tells in Prometheus's buckets.
	fine    bool
	classic classic
}

func (d *durations) reset() {
	d.Histogram.Reset()
	d.fine = false
	d.classic.reset()
}

// settle ends a page: if it had no fine buckets, durations are known only to lie
// in the classic ones.
func (d *durations) settle() {
	if d.fine || d.classic.count == 0 {
		return
	}
	low, below := time.Duration(0), 0.0
	for i, bound := range d.classic.bounds {
		high := fromSeconds(bound)
		d.AddRange(low, high, int64(d.classic.below[i]-below))
		low, below = high+1, d.classic.below[i]
	}
	d.AddRange(low, math.MaxInt64, int64(d.classic.count-below))
	d.AddSum(fromSeconds(d.classic.sum))
}

func fromSeconds(v float64) time.Duration {
	return time.Duration(math.Round(min(v*1e9, math.MaxInt64/2)))
}

// takeFine reads a sum in nanoseconds and fine buckets: "1234 17:2 20:1".
func (d *durations) takeFine(text []byte) error {
	d.fine = true
	for first := true; ; first = false {
		text = bytes.TrimLeft(text, " \t")
		if len(text) == 0 {
			return nil
		}
		var field []byte
		if end := bytes.IndexByte(text, ' '); end >= 0 {
			field, text = text[:end], text[end:]
		} else {
			field, text = text, nil
		}
		if first {
			sum, err := number(field)
			if err != nil || !(sum < math.MaxInt64) {
				return fmt.Errorf("invalid sum %q", clip(field))
			}
			d.AddSum(time.Duration(sum))
			continue
		}
		colon := bytes.IndexByte(field, ':')
		if colon < 0 {
			return fmt.Errorf("invalid bucket %q", clip(field))
		}
		index, err := number(field[:colon])
		n, countErr := number(field[colon+1:])
		if err != nil || countErr != nil || !(index >= 0 && index < stats.Buckets && n >= 0 && n < 1<<50) {
			return fmt.Errorf("invalid bucket %q", clip(field))
		}
		d.AddBucket(int(index), int64(n))
	}
}

// A classic histogram has the cumulative counts of buckets by upper bound in
// seconds.
type classic struct {
	bounds, below []float64
	count, sum    float64
	// next is where the next bucket of a series is expected.
	next int
}

func (h *classic) reset() {
	clear(h.below)
	h.count, h.sum, h.next = 0, 0, 0
}

func (h *classic) take(le []byte, v float64) error {
	bound, err := number(le)
	if err != nil || math.IsNaN(bound) {
		return fmt.Errorf("invalid bucket bound %q", clip(le))
	}
	h.add(bound, v)
	return nil
}

func (h *classic) add(bound, n float64) {
	if math.IsInf(bound, 1) {
		h.count += n
		h.next = 0
		return
	}
	if h.next >= len(h.bounds) || h.bounds[h.next] != bound {
		at, known := slices.BinarySearch(h.bounds, bound)
		if !known {
			h.bounds, h.below = slices.Insert(h.bounds, at, bound), slices.Insert(h.below, at, 0)
		}
		h.next = at
	}
	h.below[h.next] += n
	h.next++
}
