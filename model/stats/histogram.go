package stats

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strconv"
	"time"
)

// A bucket is a count above the bits of its index, so that a histogram takes 8
// bytes for each bucket that is not empty.
type bucket uint64

const indexBits = 12

func newBucket(index int, n int64) bucket { return bucket(uint64(n)<<indexBits | uint64(index)) }
func (b bucket) index() int               { return int(b & (1<<indexBits - 1)) }
func (b bucket) count() int64             { return int64(b >> indexBits) }

// A wide bucket counts durations of which no more is known than that they lie
// from low to high.
type wide struct {
	low, high time.Duration
	count     int64
}

// A Histogram counts durations so that histograms can be added up, and quantiles
// of the sum lie within 0.8 % of the true order statistic. Beside its fine
// buckets it takes counts of wider ranges, of which quantiles are known only to
// lie between two bounds. The zero value is empty.
type Histogram struct {
	// buckets ascend by index, wide by low and high.
	buckets []bucket
	wide    []wide
	sum     time.Duration
}

// Add counts a duration n times.
func (h *Histogram) Add(d time.Duration, n int64) {
	h.AddBucket(Bucket(d), n)
	h.sum += d * time.Duration(n)
}

// AddBucket counts n durations of a bucket. Their sum is to be added by AddSum.
func (h *Histogram) AddBucket(index int, n int64) {
	if n <= 0 || index < 0 || index >= Buckets {
		return
	}
	if last := len(h.buckets) - 1; last < 0 || h.buckets[last].index() < index {
		h.buckets = append(h.buckets, newBucket(index, n))
		return
	}
	at, found := slices.BinarySearchFunc(h.buckets, index, func(b bucket, index int) int { return b.index() - index })
	if !found {
		h.buckets = slices.Insert(h.buckets, at, newBucket(index, n))
		return
	}
	h.buckets[at] += newBucket(0, n)
}

// AddRange counts n durations that lie from low to high, which is
// math.MaxInt64 if there is no upper bound. Their sum is to be added by AddSum.
func (h *Histogram) AddRange(low, high time.Duration, n int64) {
	if n <= 0 {
		return
	}
	w := wide{low, high, n}
	at, found := slices.BinarySearchFunc(h.wide, w, compareWide)
	if !found {
		h.wide = slices.Insert(h.wide, at, w)
		return
	}
	h.wide[at].count += n
}

func compareWide(a, b wide) int {
	return cmp.Or(cmp.Compare(a.low, b.low), cmp.Compare(a.high, b.high))
}

// AddSum adds to the sum of all durations.
func (h *Histogram) AddSum(sum time.Duration) { h.sum += sum }

// Merge adds what another histogram has counted.
func (h *Histogram) Merge(other *Histogram) {
	h.sum += other.sum
	h.buckets = mergeBuckets(h.buckets, other.buckets)
	for _, w := range other.wide {
		h.AddRange(w.low, w.high, w.count)
	}
}

// mergeBuckets adds the counts of b to a, in place if a has all of b's buckets.
func mergeBuckets(a, b []bucket) []bucket {
	missing, at := 0, 0
	for _, x := range b {
		for at < len(a) && a[at].index() < x.index() {
			at++
		}
		if at < len(a) && a[at].index() == x.index() {
			continue
		}
		missing++
	}
	if missing == 0 {
		addBuckets(a, b)
		return a
	}
	// From the end, so that no count is overwritten before it is moved.
	i, j := len(a)-1, len(b)-1
	a = slices.Grow(a, missing)[:len(a)+missing]
	for to := len(a) - 1; j >= 0; to-- {
		switch {
		case i < 0 || a[i].index() < b[j].index():
			a[to] = b[j]
			j--
		case a[i].index() > b[j].index():
			a[to] = a[i]
			i--
		default:
			a[to] = a[i] + newBucket(0, b[j].count())
			i, j = i-1, j-1
		}
	}
	return a
}

// addBuckets adds counts to buckets that are all there.
func addBuckets(a, b []bucket) {
	at := 0
	for _, x := range b {
		for a[at].index() < x.index() {
			at++
		}
		a[at] += newBucket(0, x.count())
	}
}

// Since returns what was counted after an earlier state of the same histogram.
// If any count has fallen, the program that counts was started again, and all
// was counted after that.
func (h *Histogram) Since(earlier *Histogram) Histogram {
	delta, fell := h.since(earlier)
	if fell {
		return h.Clone()
	}
	return delta
}

func (h *Histogram) since(earlier *Histogram) (delta Histogram, fell bool) {
	at := 0
	for _, b := range h.buckets {
		if at < len(earlier.buckets) && earlier.buckets[at].index() < b.index() {
			return Histogram{}, true
		}
		n := b.count()
		if at < len(earlier.buckets) && earlier.buckets[at].index() == b.index() {
			n -= earlier.buckets[at].count()
			at++
		}
		if n < 0 {
			return Histogram{}, true
		}
		if n > 0 {
			delta.buckets = append(delta.buckets, newBucket(b.index(), n))
		}
	}
	if at < len(earlier.buckets) {
		return Histogram{}, true
	}
	for _, w := range earlier.wide {
		if i, found := slices.BinarySearchFunc(h.wide, w, compareWide); !found || h.wide[i].count < w.count {
			return Histogram{}, true
		}
	}
	for _, w := range h.wide {
		if i, found := slices.BinarySearchFunc(earlier.wide, w, compareWide); found {
			w.count -= earlier.wide[i].count
		}
		if w.count > 0 {
			delta.wide = append(delta.wide, w)
		}
	}
	delta.sum = max(0, h.sum-earlier.sum)
	return delta, false
}

// Clone returns a copy that shares nothing.
func (h *Histogram) Clone() Histogram {
	return Histogram{buckets: slices.Clone(h.buckets), wide: slices.Clone(h.wide), sum: h.sum}
}

// Reset empties the histogram and keeps its memory.
func (h *Histogram) Reset() {
	h.buckets, h.wide, h.sum = h.buckets[:0], h.wide[:0], 0
}

// Count returns how many durations were counted.
func (h *Histogram) Count() (n int64) {
	for _, b := range h.buckets {
		n += b.count()
	}
	for _, w := range h.wide {
		n += w.count
	}
	return n
}

// AtMost returns how many durations are known to be not longer than d: those of
// buckets and ranges that end there or before.
func (h *Histogram) AtMost(d time.Duration) (n int64) {
	for _, b := range h.buckets {
		if _, high := BucketBounds(b.index()); high <= d {
			n += b.count()
		}
	}
	for _, w := range h.wide {
		if w.high <= d {
			n += w.count
		}
	}
	return n
}

// Sum returns the sum of all durations.
func (h *Histogram) Sum() time.Duration { return h.sum }

// Fine yields the index and the count of each bucket that is not empty, in
// ascending order; what was counted in wide ranges is left out.
func (h *Histogram) Fine() iter.Seq2[int, int64] {
	return func(yield func(int, int64) bool) {
		for _, b := range h.buckets {
			if !yield(b.index(), b.count()) {
				return
			}
		}
	}
}

// Bounds returns between which two durations all lie; zeros for none.
func (h *Histogram) Bounds() (low, high time.Duration) {
	if h.Count() == 0 {
		return 0, 0
	}
	low, _ = h.Quantile(0)
	_, high = h.Quantile(1)
	return low, high
}

// Quantile returns between which two durations the share q of all ends: the
// order statistic of rank q times the count, rounded up. The two are the ends
// of one fine bucket where nothing was counted in wide ranges; zeros for no
// durations. high is math.MaxInt64 if there is no upper bound.
func (h *Histogram) Quantile(q float64) (low, high time.Duration) {
	total := h.Count()
	if total == 0 {
		return 0, 0
	}
	rank := min(max(1, int64(math.Ceil(float64(q*float64(total))-1e-9))), total)
	if len(h.wide) == 0 {
		return BucketBounds(h.fineAt(rank))
	}
	// The order statistic is not below that of all lower ends, and not above
	// that of all upper ends.
	lows, highs := make([]edge, 0, len(h.buckets)+len(h.wide)), make([]edge, 0, len(h.buckets)+len(h.wide))
	for _, b := range h.buckets {
		low, high := BucketBounds(b.index())
		lows, highs = append(lows, edge{low, b.count()}), append(highs, edge{high, b.count()})
	}
	for _, w := range h.wide {
		lows, highs = append(lows, edge{w.low, w.count}), append(highs, edge{w.high, w.count})
	}
	return edgeAt(lows, rank), edgeAt(highs, rank)
}

// fineAt returns the bucket that holds a rank.
func (h *Histogram) fineAt(rank int64) int {
	for _, b := range h.buckets {
		if rank -= b.count(); rank <= 0 {
			return b.index()
		}
	}
	return 0
}

// An edge is one end of a bucket.
type edge struct {
	at    time.Duration
	count int64
}

func edgeAt(edges []edge, rank int64) time.Duration {
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	for _, e := range edges {
		if rank -= e.count; rank <= 0 {
			return e.at
		}
	}
	return 0
}

// AppendText appends the sum in nanoseconds, and " INDEX:COUNT" for each fine
// bucket that is not empty. This is how services tell their durations.
func (h *Histogram) AppendText(text []byte) []byte {
	text = strconv.AppendInt(text, int64(h.sum), 10)
	for _, b := range h.buckets {
		text = append(text, ' ')
		text = strconv.AppendInt(text, int64(b.index()), 10)
		text = append(text, ':')
		text = strconv.AppendInt(text, b.count(), 10)
	}
	return text
}
