package page

import (
	"fmt"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// binsPerDecade is how fine latencies are drawn: each bin is 12 % wider than
// the one before.
const binsPerDecade = 20

// A histogram is a distribution of latencies in bins of equal width on a
// logarithmic scale.
type histogram struct {
	Name string `json:"name"`
	// First is the exponent of the lowest bin: bin i begins at
	// 10^((First+i)/PerDecade) seconds.
	First     int             `json:"first"`
	PerDecade int             `json:"perDecade"`
	Counts    []int64         `json:"counts"`
	Latency   *result.Latency `json:"latency"`
}

// newHistogram reads the encoded distribution of a load report; nil where
// nothing was measured.
func newHistogram(name string, s *result.LoadStats) (*histogram, error) {
	if s.Histogram == "" {
		return nil, nil
	}
	decoded, err := hdrhistogram.Decode([]byte(s.Histogram))
	if err != nil {
		return nil, fmt.Errorf("reading the latency histogram of %q: %w", name, err)
	}
	if decoded.TotalCount() == 0 {
		return nil, nil
	}
	h := &histogram{Name: name, PerDecade: binsPerDecade, Latency: &s.Latency}
	bins, last := map[int]int64{}, math.MinInt
	h.First = math.MaxInt
	for _, bar := range decoded.Distribution() {
		if bar.Count == 0 {
			continue
		}
		// The format counts microseconds; a bar stands for its middle.
		middle := math.Max(float64(bar.From+bar.To)/2, 0.5) * 1e-6
		bin := int(math.Floor(math.Log10(middle) * binsPerDecade))
		bins[bin] += bar.Count
		h.First, last = min(h.First, bin), max(last, bin)
	}
	h.Counts = make([]int64, last-h.First+1)
	for bin, n := range bins {
		h.Counts[bin-h.First] = n
	}
	return h, nil
}

// newHistograms are that of all requests, and of each phase and each request of
// the mix where there are several.
func newHistograms(load *result.LoadReport) (all []*histogram, err error) {
	if load == nil {
		return []*histogram{}, nil
	}
	all = []*histogram{}
	add := func(name string, s *result.LoadStats) {
		h, failed := newHistogram(name, s)
		if failed != nil && err == nil {
			err = failed
		}
		if h != nil {
			all = append(all, h)
		}
	}
	add("all requests", &load.Total)
	if len(load.Phases) > 1 {
		for i := range load.Phases {
			add("phase "+load.Phases[i].Name, &load.Phases[i].Stats)
		}
	}
	if len(load.Requests) > 1 {
		for i := range load.Requests {
			add(load.Requests[i].Name, &load.Requests[i].Stats)
		}
	}
	return all, err
}
