package result

import (
	"fmt"
	"math"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/exact"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// A Difference says how a figure of one variant differs from that of another.
// Runs with the same seed are compared with each other, so that what the seed
// does to both does not count.
type Difference struct {
	Variant string            `json:"variant"`
	Against string            `json:"against"`
	Metric  experiment.Metric `json:"metric"`
	// Service, From and Phase say what the figure is of, if it is not of the
	// clients in the whole run; see experiment.Rank.
	Service string `json:"service,omitempty"`
	From    string `json:"from,omitempty"`
	Phase   string `json:"phase,omitempty"`
	// Relative says that Low and High, the ends of the interval, are shares of
	// the other's figure: -0.1 is 10 % less. Otherwise they are in the figure's
	// own dimension.
	Relative bool    `json:"relative"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	// Pairs is the number of seeds with which both have the figure.
	Pairs int `json:"pairs"`
	// Seen is set if the interval does not hold 0.
	Seen bool `json:"seen"`
	// Text says it for people.
	Text string `json:"text"`
}

// Figure names what differs: "requests of leaf in during".
func (d *Difference) Figure() string {
	return experiment.Rank{Metric: d.Metric, Service: d.Service, From: d.From, Phase: d.Phase}.Figure()
}

// differences compares a figure of all variants with that of the first. There
// are none for a single seed, which shows nothing about chance.
func differences(names []string, results map[string][]*Result, rank experiment.Rank) (all []Difference) {
	condition, err := rank.Condition()
	if err != nil || len(names) < 2 {
		return nil
	}
	value := rankValue(rank)
	for _, name := range names[1:] {
		var own, others []float64
		for _, r := range results[name] {
			for _, other := range results[names[0]] {
				a, ok := value(r)
				b, okToo := value(other)
				if r.Seed == other.Seed && ok && okToo {
					own, others = append(own, a), append(others, b)
				}
			}
		}
		if len(own) >= 2 {
			d := newDifference(condition, own, others)
			d.Variant, d.Against = name, names[0]
			d.Service, d.From, d.Phase = rank.Service, rank.From, rank.Phase
			all = append(all, d)
		}
	}
	return all
}

// newDifference is the interval of the mean difference of pairs: of ratios on a
// logarithmic scale or, for shares and where a value is 0, of the values.
func newDifference(c experiment.Condition, own, others []float64) Difference {
	d := Difference{Metric: c.Metric, Pairs: len(own)}
	ownLogs, ok := logarithms(own)
	otherLogs, okToo := logarithms(others)
	var interval stats.Interval
	if d.Relative = ok && okToo && c.Dimension != experiment.Share; d.Relative {
		_, interval = stats.MeanInterval(minus(ownLogs, otherLogs), Confidence)
		interval = stats.Interval{Low: exact.Exp(interval.Low) - 1, High: exact.Exp(interval.High) - 1}
	} else {
		_, interval = stats.MeanInterval(minus(own, others), Confidence)
		if c.Dimension == experiment.Share {
			interval = stats.Interval{Low: math.Max(interval.Low, -1), High: math.Min(interval.High, 1)}
		}
	}
	d.Low, d.High = interval.Low, interval.High
	d.Seen = d.Low > 0 || d.High < 0
	d.Text = d.say(c)
	return d
}

func minus(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// say puts the difference into words: "faster by 12 to 18 %".
func (d *Difference) say(c experiment.Condition) string {
	if !d.Seen {
		switch {
		case d.Low == 0 && d.High == 0:
			return "no difference"
		case d.Relative && (1+d.High) > Vague*(1+d.Low):
			return fmt.Sprintf("no difference seen; %d seeds are too few to tell", d.Pairs)
		}
		return fmt.Sprintf("no difference seen (%s to %s)", d.amount(c, d.Low, true), d.amount(c, d.High, true))
	}
	word := "higher"
	low, high := d.Low, d.High
	if d.High < 0 {
		word, low, high = "lower", -d.High, -d.Low
	}
	if c.Dimension == experiment.Seconds {
		word = map[string]string{"higher": "slower", "lower": "faster"}[word]
		if !c.Metric.IsLatency() {
			word = map[string]string{"slower": "longer", "faster": "shorter"}[word]
		}
	}
	switch {
	case d.Relative && d.Low >= 2-1e-9:
		return times(word, 1+d.Low, 1+d.High)
	case d.Relative && d.High <= -2.0/3:
		return times(word, 1/(1+d.High), 1/(1+d.Low))
	}
	from, to := d.amount(c, low, false), d.amount(c, high, false)
	if from == to {
		return word + " by " + to + d.unit(c)
	}
	return fmt.Sprintf("%s by %s to %s%s", word, from, to, d.unit(c))
}

// times says a difference of at least three times.
func times(word string, low, high float64) string {
	from, to := twoDigits(low), twoDigits(high)
	switch {
	case from == to:
		return word + ": " + from + " times"
	case high > Vague*low:
		return word + ": at least " + from + " times"
	}
	return fmt.Sprintf("%s: %s to %s times", word, from, to)
}

// amount prints an end of the interval; with its sign and unit if it stands
// alone.
func (d *Difference) amount(c experiment.Condition, v float64, alone bool) string {
	var text string
	switch {
	case d.Relative || c.Dimension == experiment.Share:
		text = twoDigits(100 * math.Abs(v))
	default:
		text = c.Format(math.Abs(v))
	}
	if !alone {
		return text
	}
	sign := "+"
	if v < 0 {
		sign = "-"
	}
	return sign + text + d.unit(c)
}

func (d *Difference) unit(c experiment.Condition) string {
	switch {
	case d.Relative:
		return " %"
	case c.Dimension == experiment.Share:
		return " points"
	}
	return ""
}

// twoDigits writes two significant digits, and whole numbers.
func twoDigits(v float64) string {
	if v >= 10 || v == 0 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}
