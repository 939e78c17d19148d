package result

import (
	"math"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/exact"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// Confidence is that of all intervals of a comparison.
const Confidence = 0.95

// Vague is how many times the low end of an interval its high end may be before
// the interval says no more than that there were too few seeds.
const Vague = 100

// A Figure is what several seeds gave.
type Figure struct {
	// Mean is the arithmetic mean of the values; of times it is their geometric
	// mean.
	Mean float64 `json:"mean"`
	// Low and High are the ends of the interval; absent for a single seed.
	Low  *float64 `json:"low,omitempty"`
	High *float64 `json:"high,omitempty"`
	// Values are those of the runs, in the order of the seeds.
	Values []float64 `json:"values"`
}

// NewFigure summarises the values of a figure in a dimension; nil without any.
//
// The interval is Student's. Times are taken on a logarithmic scale, because
// they vary by factors: so no end of an interval is below 0. Those that are 0
// somewhere, and all other figures, are taken as they are, and the interval is
// cut to what is possible: no count or rate is negative, no share is outside of 0
// to 1. Since the truth is not there either, the interval holds it as often.
func NewFigure(values []float64, d experiment.Dimension) *Figure {
	if len(values) == 0 {
		return nil
	}
	f := &Figure{Values: values}
	var interval stats.Interval
	if logs, ok := logarithms(values); ok && d == experiment.Seconds {
		f.Mean, interval = stats.MeanInterval(logs, Confidence)
		f.Mean, interval = exact.Exp(f.Mean), stats.Interval{Low: exact.Exp(interval.Low), High: exact.Exp(interval.High)}
		if len(values) == 1 {
			f.Mean, interval.High = values[0], math.Inf(1) // not to be off by the last digit
		}
	} else {
		f.Mean, interval = stats.MeanInterval(values, Confidence)
		if d == experiment.Share {
			interval.High = math.Min(interval.High, 1)
		}
	}
	if len(values) > 1 {
		low := math.Max(interval.Low, 0)
		f.Low, f.High = &low, &interval.High
	}
	return f
}

// cut ends the interval where the figure is impossible because it cannot exceed
// another one, of which the same runs tell: no more is answered than was sent.
func (f *Figure) cut(most *Figure) {
	if f == nil || f.High == nil || most == nil {
		return
	}
	bound := most.Mean
	if most.High != nil {
		bound = *most.High
	}
	// A value of a run is possible, whatever rounding says.
	*f.High = min(*f.High, max(bound, slices.Max(f.Values)))
}

// logarithms are those of the values, if all are above 0.
func logarithms(values []float64) ([]float64, bool) {
	logs := make([]float64, len(values))
	for i, v := range values {
		if v <= 0 {
			return nil, false
		}
		logs[i] = exact.Log(v)
	}
	return logs, true
}
