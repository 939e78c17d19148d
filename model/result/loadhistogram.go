package result

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// SetLatency writes down the latencies of a histogram that is not empty, of
// which the shortest and the longest are known exactly.
func (s *LoadStats) SetLatency(h *stats.Histogram, least, most time.Duration) error {
	s.Latency = *NewLatency(h, least, most)
	text, err := encodeHistogram(h)
	s.Histogram = text
	return err
}

// The encoded histograms of loads hold microseconds with three significant
// digits, which is finer than our own buckets from 64 µs on.
const (
	longestEncoded = 24 * time.Hour
	encodedDigits  = 3
)

// encodeHistogram writes a histogram in HdrHistogram's format, which other
// programs read. A bucket is written as its middle.
func encodeHistogram(h *stats.Histogram) (string, error) {
	encoded := hdrhistogram.New(1, longestEncoded.Microseconds(), encodedDigits)
	for index, n := range h.Fine() {
		middle := stats.Middle(stats.BucketBounds(index))
		us := min(max(middle.Round(time.Microsecond), time.Microsecond), longestEncoded).Microseconds()
		if err := encoded.RecordValues(us, n); err != nil {
			return "", fmt.Errorf("encoding a histogram: %w", err)
		}
	}
	text, err := encoded.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", fmt.Errorf("encoding a histogram: %w", err)
	}
	return string(text), nil
}

// decodeHistogram adds an encoded histogram to another, without a sum, and
// returns how many latencies it holds. Empty text holds none.
func decodeHistogram(text string, to *stats.Histogram) (n int64, err error) {
	if text == "" {
		return 0, nil
	}
	encoded, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return 0, fmt.Errorf("decoding a histogram: %w", err)
	}
	for _, bar := range encoded.Distribution() {
		middle := time.Duration(bar.From+bar.To) * time.Microsecond / 2
		to.AddBucket(stats.Bucket(middle), bar.Count)
	}
	return encoded.TotalCount(), nil
}

// fromSeconds is the duration of so many seconds, to the nanosecond.
func fromSeconds(v float64) time.Duration { return time.Duration(math.Round(v * 1e9)) }
