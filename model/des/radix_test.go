package des

import "math/bits"

// radix is a radix heap (Ahuja, Mehlhorn, Orlin, Tarjan: Faster Algorithms for
// the Shortest Path Problem, J. ACM 37, 1990) for times that never go back. It
// was measured against the kernel's queue, see BenchmarkQueues.
//
// An entry stands in the bucket of the highest bit in which its time differs from
// last, the time of the entry that was popped last. Moving a bucket down keeps
// the order of its entries, and entries of one time always share a bucket, so
// they leave in the order in which they came.
type radix struct {
	last    int64
	buckets [64][]entry
	// head is the place of the next in buckets[0], whose times are all last.
	head int
	// filled has a bit for each bucket that has entries.
	filled uint64
}

func (r *radix) push(e entry) {
	b := bits.Len64(uint64(e.at ^ r.last))
	r.buckets[b] = append(r.buckets[b], e)
	r.filled |= 1 << b
}

// pop returns the next entry that is not later than limit. Entries of which live
// is false are dropped on the way.
func (r *radix) pop(limit int64, live func(entry) bool) (entry, bool) {
	for r.filled != 0 {
		b := bits.TrailingZeros64(r.filled)
		if b == 0 {
			if r.last > limit {
				return entry{}, false
			}
			e := r.buckets[0][r.head]
			if r.head++; r.head == len(r.buckets[0]) {
				r.buckets[0], r.head = r.buckets[0][:0], 0
				r.filled &^= 1
			}
			if live(e) {
				return e, true
			}
			continue
		}
		if !r.refill(b, limit, live) {
			return entry{}, false
		}
	}
	return entry{}, false
}

// refill moves the entries of a bucket down, unless all are later than limit.
func (r *radix) refill(b int, limit int64, live func(entry) bool) bool {
	list := r.buckets[b]
	least := list[0].at
	for i := range list {
		least = min(least, list[i].at)
	}
	if least > limit {
		return false
	}
	r.last = least
	r.buckets[b] = list[:0]
	r.filled &^= 1 << b
	for _, e := range list {
		if live(e) {
			r.push(e)
		}
	}
	return true
}
