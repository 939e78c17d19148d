package search

import (
	"math"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// A Verdict says whether requirements hold.
type Verdict string

// The verdicts. Unclear means that the runs do not decide it with the required
// confidence.
const (
	Holds   Verdict = "holds"
	Breaks  Verdict = "breaks"
	Unclear Verdict = "unclear"
)

// A Figure is the figure of a requirement in several runs. Bounds and values are in
// seconds or shares of 1, as the check's dimension says.
type Figure struct {
	experiment.Check
	// Mean is the mean of the runs. It is absent if there are no data; Why then has
	// the reason.
	Mean *float64 `json:"mean,omitempty"`
	// Low and High are the ends of the judged interval for the mean. High is absent
	// if the latencies are beyond the counted range.
	Low     *float64 `json:"low,omitempty"`
	High    *float64 `json:"high,omitempty"`
	Verdict Verdict  `json:"verdict"`
	Why     string   `json:"why,omitempty"`
}

// judge judges requirements by the runs of one setting, in one phase. Each interval
// has the given confidence.
func judge(requirements []Requirement, runs []*result.Result, phase string, confidence float64) (Verdict, []Figure) {
	verdict := Holds
	var figures []Figure
	for _, r := range requirements {
		readings := make([]reading, len(runs))
		for i, run := range runs {
			readings[i] = r.read(run, phase)
		}
		f := r.figure(readings, confidence)
		figures = append(figures, f)
		switch {
		case f.Verdict == Breaks:
			verdict = Breaks
		case f.Verdict == Unclear && verdict == Holds:
			verdict = Unclear
		}
	}
	return verdict, figures
}

// figure judges one requirement. The interval is Student's over the runs; for a
// share of requests it is widened to Wilson's over all requests together, since
// runs that all show none of a rare event do not show that there is none.
func (r Requirement) figure(readings []reading, confidence float64) Figure {
	f := Figure{Check: r.Check, Verdict: Unclear}
	var lows, highs []float64
	var least, most, n int64
	for _, got := range readings {
		if got.missing != "" {
			f.Why = got.missing
			return f
		}
		lows, highs = append(lows, got.low), append(highs, got.high)
		least += int64(math.Round(got.low * float64(got.n)))
		if got.n > 0 {
			most += int64(math.Round(got.high * float64(got.n)))
		}
		n += got.n
	}
	if len(readings) == 0 {
		f.Why = "no data: no run has ended"
		return f
	}
	interval, mean := meanBetween(lows, highs, confidence)
	f.Mean = &mean
	interval.Low = max(interval.Low, 0) // no figure is below
	if r.Condition.Dimension == experiment.Share {
		if n > 0 {
			interval = stats.Interval{Low: min(interval.Low, stats.Wilson(least, n, confidence).Low), High: max(interval.High, stats.Wilson(most, n, confidence).High)}
		}
		interval.High = min(interval.High, 1)
	}
	f.Low = &interval.Low
	if !math.IsInf(interval.High, 0) {
		f.High = &interval.High
	}
	f.Verdict = verdictOf(r.Condition, interval)
	return f
}

// meanBetween returns the interval for the mean of figures that are known only to lie
// between bounds. It also returns the mean of the middles or, without upper bounds,
// of the lower bounds.
func meanBetween(lows, highs []float64, confidence float64) (stats.Interval, float64) {
	low, below := stats.MeanInterval(lows, confidence)
	if math.IsInf(slices.Max(highs), 1) {
		return stats.Interval{Low: below.Low, High: math.Inf(1)}, low
	}
	high, above := stats.MeanInterval(highs, confidence)
	return stats.Interval{Low: below.Low, High: above.High}, (low + high) / 2
}

// verdictOf judges an interval, which must be on one side of the bound for a clear
// verdict.
func verdictOf(c experiment.Condition, i stats.Interval) Verdict {
	low, high := c.Holds(i.Low), c.Holds(i.High)
	switch {
	case low && high:
		return Holds
	case !low && !high:
		return Breaks
	}
	return Unclear
}
