package stats

import (
	"math/bits"
	"time"
)

// The buckets of histograms follow HdrHistogram's: 64 of one nanosecond each,
// then 64 for each octave. A bucket is at most 1/64 as wide as its values, so
// the middle of a bucket is off by at most 0.8 %.
const (
	perOctave = 64
	octaves   = 58
	// Buckets is how many buckets there are; the last one ends at the longest
	// time.Duration.
	Buckets = perOctave * octaves
)

// Bucket returns the index of the bucket that a duration is counted in; one
// below zero counts as zero.
func Bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < perOctave {
		return int(v)
	}
	shift := bits.Len64(v) - 7
	return (shift+1)*perOctave + int(v>>shift) - perOctave
}

// BucketBounds returns the shortest and the longest duration of a bucket.
func BucketBounds(index int) (low, high time.Duration) {
	octave, at := index/perOctave, index%perOctave
	if octave == 0 {
		return time.Duration(at), time.Duration(at)
	}
	low = time.Duration(perOctave+at) << (octave - 1)
	return low, low + 1<<(octave-1) - 1
}

// Middle returns the duration in the middle of a range. It stands for a range
// that is a bucket with an error of at most 0.8 %.
func Middle(low, high time.Duration) time.Duration { return low + (high-low)/2 }
