package measure

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// A distribution is the contents of latency recorders at one moment.
type distribution struct {
	stats.Histogram
	// min and max are exact, except in the result of since, where they are the
	// bounds of the lowest and the highest bucket.
	min, max time.Duration
}

// add adds the present contents of a recorder.
func (d *distribution) add(r *stats.Recorder) {
	least, most, ok := r.Extremes()
	if !ok {
		return
	}
	if d.Count() == 0 {
		d.min = least
	}
	r.AddTo(&d.Histogram)
	d.min, d.max = min(d.min, least), max(d.max, most)
}

// since returns what was added since an earlier state.
func (d *distribution) since(earlier *distribution) (delta distribution) {
	delta.Histogram = d.Histogram.Since(&earlier.Histogram)
	delta.min, delta.max = delta.Bounds()
	return delta
}

// latency returns the summary of the distribution, or nil if it is empty.
func (d *distribution) latency() *result.Latency {
	if d.Count() == 0 {
		return nil
	}
	return result.NewLatency(&d.Histogram, d.min, d.max)
}
