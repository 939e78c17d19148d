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
)

// ComparisonKind marks comparison.json.
const ComparisonKind = "Comparison"

// A Comparison says how the variants of an experiment did. Its JSON is
// comparison.json; fields may be added to it, but not renamed.
type Comparison struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	// Title and Doc are the experiment's.
	Title  string `json:"title,omitempty"`
	Doc    string `json:"doc,omitempty"`
	Target string `json:"target"`
	// Command repeats the runs; the command line fills it in.
	Command string    `json:"command,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Seeds   []uint64  `json:"seeds"`
	// Confidence is that of the intervals over the seeds, each by itself.
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
	// Differences are those of all variants to the first, pair by pair of seeds;
	// absent for a single seed.
	Differences []Difference `json:"differences,omitempty"`

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
	// P99 is the latency in seconds that decides between nearly equal numbers per
	// second; see Compare.
	P99 *Figure `json:"p99,omitempty"`
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

	// Requests, the rates and the share of degraded requests are of the clients in
	// the whole run; Outcomes the shares of each class. Latencies are in seconds.
	Requests *Figure                   `json:"requests,omitempty"`
	Offered  *Figure                   `json:"offeredRate,omitempty"`
	Degraded *Figure                   `json:"degraded,omitempty"`
	Rate     *Figure                   `json:"rate,omitempty"`
	Goodput  *Figure                   `json:"goodput,omitempty"`
	Outcomes map[outcome.Class]*Figure `json:"outcomes"`
	P50      *Figure                   `json:"p50,omitempty"`
	P99      *Figure                   `json:"p99,omitempty"`
	// Tail is in seconds, where the system was watched after the load.
	Tail *Figure `json:"tail,omitempty"`
	// Processes are those of the services whose replicas were processes on this
	// machine.
	Processes []ProcessSummary `json:"processes,omitempty"`
	Checks    []CheckSummary   `json:"checks"`
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
//
// Variants are ranked by the figure that the experiment names. Numbers per second
// that are at most 5 % below the best count as equal, and so do those at most 5 %
// below the best of the rest, and so on; between them the lower p99 decides. A
// system that lets requests wait for ever so gets no better place than one that
// serves as much in time.
func Compare(e *experiment.Experiment, variants []experiment.Variant, seeds []uint64, results []*Result, err error) *Comparison {
	c := &Comparison{
		APIVersion: ResultVersion, Kind: ComparisonKind, Name: e.Name, Title: e.Title, Doc: e.Doc,
		Seeds: seeds, Confidence: Confidence, RankBy: e.Rank.WithDefaults(), Passed: err == nil,
		Ranking: []Ranked{}, Variants: []VariantSummary{}, Results: results,
	}
	if err != nil {
		c.Incomplete, c.Why = true, err.Error()
	}
	var names []string
	finishedOf := map[string][]*Result{}
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
		names, finishedOf[v.Name] = append(names, v.Name), finished
		if c.RankBy.Metric == experiment.NoRank {
			continue
		}
		ranked := Ranked{Variant: v.Name, Value: figureOf(finished, c.RankBy)}
		if c.RankBy.Metric.IsRate() {
			latency := c.RankBy
			latency.Metric = experiment.P99
			ranked.P99 = figureOf(finished, latency)
		}
		c.Ranking = append(c.Ranking, ranked)
	}
	c.sortRanking()
	for _, rank := range c.differing() {
		c.Differences = append(c.Differences, differences(names, finishedOf, rank)...)
	}
	return c
}

// differing lists the figures whose differences are told: that of the ranking,
// and those that every comparison shows.
func (c *Comparison) differing() []experiment.Rank {
	var ranks []experiment.Rank
	by := c.RankBy
	by.Better = "" // which end is better changes nothing of the figure
	if by.Metric != experiment.NoRank {
		ranks = append(ranks, by)
	}
	for _, m := range []experiment.Metric{experiment.Goodput, experiment.Errors, experiment.Degraded, experiment.P50, experiment.P99} {
		if rank := (experiment.Rank{Metric: m}); rank != by {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

// nearlyEqual is by how much a number per second may be below the best of its
// group.
const nearlyEqual = 0.05

func (c *Comparison) sortRanking() {
	slices.SortStableFunc(c.Ranking, c.byValue)
	if c.RankBy.Metric.IsRate() {
		for from := 0; from < len(c.Ranking); {
			to := from + 1
			for to < len(c.Ranking) && c.nearlyEqual(&c.Ranking[from], &c.Ranking[to]) {
				to++
			}
			slices.SortStableFunc(c.Ranking[from:to], func(a, b Ranked) int { return byFigure(a.P99, b.P99, false) })
			from = to
		}
	}
	for i := range c.Ranking {
		c.Ranking[i].Place = i + 1
		if i > 0 && c.Ranking[i].Value != nil && c.byValue(c.Ranking[i], c.Ranking[i-1]) == 0 && byFigure(c.Ranking[i].P99, c.Ranking[i-1].P99, false) == 0 {
			c.Ranking[i].Place = c.Ranking[i-1].Place
		}
	}
}

func (c *Comparison) byValue(a, b Ranked) int {
	return byFigure(a.Value, b.Value, c.RankBy.HigherIsBetter())
}

// byFigure puts the better figure first, and one without data last.
func byFigure(a, b *Figure, higherIsBetter bool) int {
	switch {
	case a == nil || b == nil:
		return boolRank(a == nil) - boolRank(b == nil)
	case a.Mean == b.Mean:
		return 0
	case a.Mean > b.Mean == higherIsBetter:
		return -1
	}
	return 1
}

func (c *Comparison) nearlyEqual(best, other *Ranked) bool {
	return best.Value != nil && other.Value != nil && other.Value.Mean >= (1-nearlyEqual)*best.Value.Mean
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// figureOf gathers a figure of several results; nil where none has it.
func figureOf(results []*Result, rank experiment.Rank) *Figure {
	condition, err := rank.Condition()
	if err != nil {
		return nil
	}
	var values []float64
	value := rankValue(rank)
	for _, r := range results {
		if v, ok := value(r); ok {
			values = append(values, v)
		}
	}
	return NewFigure(values, condition.Dimension)
}

func summarise(v experiment.Variant, results []*Result) VariantSummary {
	s := VariantSummary{Name: v.Name, Doc: v.Doc, Finished: len(results), Passed: len(results) > 0, Outcomes: map[outcome.Class]*Figure{}, Checks: []CheckSummary{}}
	of := func(m experiment.Metric) *Figure { return figureOf(results, experiment.Rank{Metric: m}) }
	s.Offered, s.Degraded = of(experiment.Offered), of(experiment.Degraded)
	s.Requests, s.Rate, s.Goodput, s.P50, s.P99, s.Tail = of(experiment.Requests), of(experiment.Rate), of(experiment.Goodput), of(experiment.P50), of(experiment.P99), of(experiment.TailTime)
	s.Rate.cut(s.Offered)
	s.Goodput.cut(s.Offered)
	for _, class := range outcome.Classes() {
		if f := of(experiment.Metric(class)); f != nil && f.Mean > 0 {
			s.Outcomes[class] = f
		}
	}
	s.Processes = summariseProcesses(results)
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
	var values []float64
	for _, r := range results {
		if v := r.Checks[i].Value; v != nil {
			values = append(values, *v)
		}
	}
	s.Mean = NewFigure(values, results[0].Checks[i].Dimension)
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
