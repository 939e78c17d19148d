package collect

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// durations are the durations of requests or calls that a replica has counted since
// its start.
type durations struct {
	stats.Histogram
	// fine is set if the replica gives fine buckets; classic has its buckets in
	// Prometheus's format.
	fine    bool
	classic classic
}

func (d *durations) reset() {
	d.Histogram.Reset()
	d.fine = false
	d.classic.reset()
}

// settle ends a page. If the page had no fine buckets, durations are known only by
// classic buckets.
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

// takeFine parses a sum in nanoseconds and fine buckets: "1234 17:2 20:1".
func (d *durations) takeFine(text []byte) error {
	d.fine = true
	sum, text, ok := whole(skipBlanks(text))
	if !ok || sum > math.MaxInt64 || len(text) > 0 && !isBlank(text[0]) {
		return fmt.Errorf("invalid sum of durations before %q", clip(text))
	}
	d.AddSum(time.Duration(sum))
	for {
		field := skipBlanks(text)
		if len(field) == 0 {
			return nil
		}
		index, rest, ok := whole(field)
		if !ok || len(rest) == 0 || rest[0] != ':' {
			return fmt.Errorf("invalid bucket %q", clip(field))
		}
		var n uint64
		if n, text, ok = whole(rest[1:]); !ok || index >= stats.Buckets || n >= 1<<50 || len(text) > 0 && !isBlank(text[0]) {
			return fmt.Errorf("invalid bucket %q", clip(field))
		}
		d.AddBucket(int(index), int64(n))
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

func skipBlanks(text []byte) []byte {
	for len(text) > 0 && isBlank(text[0]) {
		text = text[1:]
	}
	return text
}

// whole parses a whole number and returns the text after it. It returns false if
// there is no number or it is too large.
func whole(text []byte) (n uint64, rest []byte, ok bool) {
	const longest = 19 // digits, which a uint64 always holds
	i := 0
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		n = n*10 + uint64(text[i]-'0')
		i++
	}
	return n, text[i:], i > 0 && i <= longest
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
