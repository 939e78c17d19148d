package result

// Quantiles summarise latencies that were counted in a few wide buckets, in
// seconds. Inside a bucket values are taken to be spread evenly.
type Quantiles struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	// Limit is the largest bound; a quantile that reaches it is only known to be
	// at least as large.
	Limit float64 `json:"limit"`
}

// BucketQuantiles summarises the counts of buckets; nil where they are empty.
// Bounds are the buckets' upper ends in seconds; counts has one more, for what
// is above the last. Sum is that of all latencies in seconds.
func BucketQuantiles(bounds []float64, counts []int64, sum float64) *Quantiles {
	var total int64
	for _, n := range counts {
		total += n
	}
	if total <= 0 || len(bounds) == 0 {
		return nil
	}
	q := func(share float64) float64 { return bucketQuantile(bounds, counts, total, share) }
	return &Quantiles{
		Mean: sum / float64(total), P50: q(0.5), P90: q(0.9), P95: q(0.95), P99: q(0.99), P999: q(0.999),
		Limit: bounds[len(bounds)-1],
	}
}

func bucketQuantile(bounds []float64, counts []int64, total int64, share float64) float64 {
	rank := share * float64(total)
	var seen float64
	for i, n := range counts {
		if i == len(bounds) {
			break
		}
		if seen+float64(n) >= rank && n > 0 {
			low := 0.0
			if i > 0 {
				low = bounds[i-1]
			}
			return low + (bounds[i]-low)*(rank-seen)/float64(n)
		}
		seen += float64(n)
	}
	return bounds[len(bounds)-1]
}
