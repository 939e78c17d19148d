package result

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// ComparisonKind marks comparison.json.
const ComparisonKind = "Comparison"

// Confidence is that of all intervals of a comparison.
const Confidence = 0.95

// A Comparison says how the variants of an experiment did. Its JSON is
// comparison.json; fields may be added to it, but not renamed.
type Comparison struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Target     string `json:"target"`
	// Command repeats the runs; the command line fills it in.
	Command string    `json:"command,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Seeds   []uint64  `json:"seeds"`
	// Confidence is that of the intervals, which are Student's over the seeds.
	Confidence float64 `json:"confidence"`
	// Incomplete is set where not all runs were made; Why says for what.
	Incomplete bool   `json:"incomplete"`
	Why        string `json:"incompleteBecause,omitempty"`
	// Passed is set where all runs were made and none failed a check.
	Passed bool `json:"passed"`

	RankBy experiment.Rank `json:"rankBy"`
	// Ranking has the variants from the best to the worst; those without data
	// are last.
	Ranking  []Ranked         `json:"ranking"`
	Variants []VariantSummary `json:"variants"`

	// Results are those of all runs in order, the last of them perhaps
	// incomplete. They are kept out of the JSON, because each is a file of its
	// own.
	Results []*Result `json:"-"`
}

// Encode writes the comparison as the JSON of comparison.json.
func (c *Comparison) Encode(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(c); err != nil {
		return fmt.Errorf("writing the comparison of %q: %w", c.Name, err)
	}
	return nil
}

// Ranked is a variant's place.
type Ranked struct {
	Variant string `json:"variant"`
	// Place counts from 1. Value is absent without data.
	Place int     `json:"place"`
	Value *Figure `json:"value,omitempty"`
}

// A Figure is the mean of what several seeds gave.
type Figure struct {
	Mean float64 `json:"mean"`
	// Low and High are the ends of the interval; absent for a single seed.
	Low  *float64 `json:"low,omitempty"`
	High *float64 `json:"high,omitempty"`
	// Values are those of the runs, in the order of the seeds.
	Values []float64 `json:"values"`
}

func newFigure(values []float64) *Figure {
	if len(values) == 0 {
		return nil
	}
	mean, interval := stats.MeanInterval(values, Confidence)
	f := &Figure{Mean: mean, Values: values}
	if !math.IsInf(interval.Low, 0) && !math.IsInf(interval.High, 0) {
		f.Low, f.High = &interval.Low, &interval.High
	}
	return f
}

// A VariantSummary says how one variant did in its finished runs.
type VariantSummary struct {
	Name string `json:"name"`
	Doc  string `json:"doc,omitempty"`
	// Planned counts the runs that were to be made, Finished those that were.
	// Aborted counts those of them that a condition ended early.
	Planned  int  `json:"planned"`
	Finished int  `json:"finished"`
	Aborted  int  `json:"aborted,omitempty"`
	Passed   bool `json:"passed"`

	// Requests, Rate and Goodput are of the clients in the whole run; Outcomes
	// the shares of each class. Latencies are in seconds.
	Requests *Figure                   `json:"requests,omitempty"`
	Rate     *Figure                   `json:"rate,omitempty"`
	Goodput  *Figure                   `json:"goodput,omitempty"`
	Outcomes map[outcome.Class]*Figure `json:"outcomes"`
	P50      *Figure                   `json:"p50,omitempty"`
	P99      *Figure                   `json:"p99,omitempty"`
	// Tail is in seconds, where the system was watched after the load.
	Tail   *Figure        `json:"tail,omitempty"`
	Checks []CheckSummary `json:"checks"`
}

// A CheckSummary says in how many runs a check held.
type CheckSummary struct {
	experiment.Check
	Held int     `json:"held"`
	Runs int     `json:"runs"`
	Mean *Figure `json:"value,omitempty"`
	// Why is what was found in the first run in which it did not hold.
	Why string `json:"why,omitempty"`
}

// Compare summarises the results of an experiment's variants, each run with
// every seed. An error is what ended the runs early. The caller fills in Target,
// Started and Ended.
func Compare(e *experiment.Experiment, variants []experiment.Variant, seeds []uint64, results []*Result, err error) *Comparison {
	c := &Comparison{
		APIVersion: ResultVersion, Kind: ComparisonKind, Name: e.Name,
		Seeds: seeds, Confidence: Confidence, RankBy: e.Rank.WithDefaults(), Passed: err == nil,
		Ranking: []Ranked{}, Variants: []VariantSummary{}, Results: results,
	}
	if err != nil {
		c.Incomplete, c.Why = true, err.Error()
	}
	for _, v := range variants {
		var finished []*Result
		for _, result := range results {
			if result.Variant == v.Name && (!result.Incomplete || result.Aborted != nil) {
				finished = append(finished, result)
			}
		}
		summary := summarise(v, finished)
		summary.Planned = len(seeds)
		c.Variants = append(c.Variants, summary)
		c.Passed = c.Passed && summary.Passed
		c.Ranking = append(c.Ranking, Ranked{Variant: v.Name, Value: figureOf(finished, rankValue(c.RankBy))})
	}
	c.sortRanking()
	return c
}

func (c *Comparison) sortRanking() {
	slices.SortStableFunc(c.Ranking, func(a, b Ranked) int {
		switch {
		case a.Value == nil || b.Value == nil:
			return boolRank(a.Value == nil) - boolRank(b.Value == nil)
		case a.Value.Mean == b.Value.Mean:
			return 0
		case a.Value.Mean > b.Value.Mean == c.RankBy.HigherIsBetter():
			return -1
		}
		return 1
	})
	for i := range c.Ranking {
		c.Ranking[i].Place = i + 1
		if i > 0 && c.Ranking[i].Value != nil && c.Ranking[i-1].Value.Mean == c.Ranking[i].Value.Mean {
			c.Ranking[i].Place = c.Ranking[i-1].Place
		}
	}
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// figureOf gathers a value of several results; nil where none has it.
func figureOf(results []*Result, value func(*Result) (float64, bool)) *Figure {
	var values []float64
	for _, r := range results {
		if v, ok := value(r); ok {
			values = append(values, v)
		}
	}
	return newFigure(values)
}

func summarise(v experiment.Variant, results []*Result) VariantSummary {
	s := VariantSummary{Name: v.Name, Doc: v.Doc, Finished: len(results), Passed: len(results) > 0, Outcomes: map[outcome.Class]*Figure{}, Checks: []CheckSummary{}}
	of := func(m experiment.Metric) *Figure { return figureOf(results, rankValue(experiment.Rank{Metric: m})) }
	s.Requests, s.Rate, s.Goodput, s.P50, s.P99, s.Tail = of(experiment.Requests), of(experiment.Rate), of(experiment.Goodput), of(experiment.P50), of(experiment.P99), of(experiment.TailTime)
	for _, class := range outcome.Classes() {
		if f := of(experiment.Metric(class)); f != nil && f.Mean > 0 {
			s.Outcomes[class] = f
		}
	}
	for _, r := range results {
		s.Passed = s.Passed && r.Passed
		if r.Aborted != nil {
			s.Aborted++
		}
	}
	if len(results) > 0 {
		for i := range results[0].Checks {
			s.Checks = append(s.Checks, summariseCheck(results, i))
		}
	}
	return s
}

// summariseCheck summarises the check of an index over the runs of a variant,
// which all have the same checks.
func summariseCheck(results []*Result, i int) CheckSummary {
	s := CheckSummary{Check: results[0].Checks[i].Check}
	for _, r := range results {
		if s.Runs++; r.Checks[i].Pass {
			s.Held++
		} else if s.Why == "" {
			s.Why = r.Checks[i].Why
		}
	}
	s.Mean = figureOf(results, func(r *Result) (float64, bool) {
		if v := r.Checks[i].Value; v != nil {
			return *v, true
		}
		return 0, false
	})
	return s
}

// rankValue returns the function that reads the rank's figure in a result; it
// returns false without data.
func rankValue(r experiment.Rank) func(*Result) (float64, bool) {
	condition, err := r.Condition()
	return func(result *Result) (float64, bool) {
		if err != nil {
			return 0, false
		}
		check := experiment.Check{Service: r.Service, From: r.From, Phase: r.Phase}
		if experiment.IsFaultPart(r.Phase) && len(result.Faults) == 0 {
			check.Phase = "" // a run without faults is compared as a whole
		}
		v, why := result.Value(check, condition)
		if condition.Metric.IsLatency() && v.isWide() {
			return 0, false // a rank needs a number
		}
		return v.Number, why == "" && !math.IsNaN(v.Number)
	}
}
