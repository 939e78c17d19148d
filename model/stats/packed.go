package stats

import (
	"encoding/binary"
	"time"
)

// Packed is a histogram in a few bytes, without its sum: for many that are kept
// and seldom read. The zero value is empty.
type Packed string

// Pack packs the histogram.
func (h *Histogram) Pack() Packed {
	if h.Count() == 0 {
		return ""
	}
	text := binary.AppendUvarint(make([]byte, 0, 3*len(h.buckets)+2), uint64(len(h.buckets)))
	last := 0
	for _, b := range h.buckets {
		text = binary.AppendUvarint(text, uint64(b.index()-last))
		text = binary.AppendUvarint(text, uint64(b.count()))
		last = b.index()
	}
	for _, w := range h.wide {
		text = binary.AppendUvarint(text, uint64(w.low))
		text = binary.AppendUvarint(text, uint64(w.high))
		text = binary.AppendUvarint(text, uint64(w.count))
	}
	return Packed(text)
}

// AddTo adds what was packed to a histogram.
func (p Packed) AddTo(h *Histogram) {
	text := []byte(p)
	next := func() uint64 {
		v, n := binary.Uvarint(text)
		text = text[max(n, 0):]
		return v
	}
	var one Histogram
	index := 0
	for range next() {
		index += int(next())
		one.AddBucket(index, int64(next()))
	}
	for len(text) > 0 {
		low, high := time.Duration(next()), time.Duration(next())
		one.AddRange(low, high, int64(next()))
	}
	h.Merge(&one)
}
