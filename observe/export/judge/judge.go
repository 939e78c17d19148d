// Package judge says what a data set of failures is worth: which faults had an effect
// on the clients, how well simple rules find their causes, and whether something else
// than the failure gives them away. On four public sets simple rules do as well as the
// best methods, and most injections have no effect on the clients (arXiv 2510.04711,
// 2025): a set that is not judged says little of a method.
package judge

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/observe/export"
)

// Kind marks verification.json.
const Kind = "DataSetVerification"

// File is the verification, in the directory of the set.
const File = "verification.json"

// Solved is the share of cases in which a rule names the cause first that makes a set
// easy.
const Solved = 0.8

// A Verification is what is said of a set.
type Verification struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	// Format is the one whose tables were judged.
	Format string `json:"format"`
	// Cases are those with a fault, Normal those without.
	Cases  int `json:"cases"`
	Normal int `json:"normal"`
	// WithoutEffect lists the cases whose faults had no effect on the clients that was
	// seen.
	WithoutEffect []string `json:"withoutEffect"`
	// Scores are of all cases, EffectiveScores of those with an effect.
	Scores          []Score `json:"scores"`
	EffectiveScores []Score `json:"effectiveScores"`
	// Difficulty is easy if a simple rule names the cause first in four of five of the
	// cases with an effect.
	Difficulty string `json:"difficulty"`
	// Leaks are rules that know nothing of what happened after the fault began; one
	// that finds causes gives them away.
	Leaks []Leak `json:"leaks"`
	// NormalRuns says whether normal runs look normal.
	NormalRuns NormalRuns `json:"normalRuns"`
	// Effects are how far each type of fault moved each metric of its service.
	Effects []MetricEffect `json:"effects"`
	Notes   []string       `json:"notes,omitempty"`
}

// A Score says how well a rule finds causes: the share of cases in which the cause is
// among its first one, three, and the mean of those from one to five.
type Score struct {
	Rule  string  `json:"rule"`
	Cases int     `json:"cases"`
	Top1  float64 `json:"top1"`
	Top3  float64 `json:"top3"`
	Avg5  float64 `json:"avg5"`
	// Chance are the same of an order that is drawn; Lift is how many times better
	// than chance Avg5 is.
	ChanceTop1 float64 `json:"chanceTop1"`
	ChanceTop3 float64 `json:"chanceTop3"`
	ChanceAvg5 float64 `json:"chanceAvg5"`
	Lift       float64 `json:"lift"`
}

// A Leak says whether something other than the failure gives causes away.
type Leak struct {
	Rule string `json:"rule"`
	// Top1 is the share of cases in which it finds the cause, Low and High the ends of
	// its interval, Chance what drawing would find.
	Top1   float64 `json:"top1"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Chance float64 `json:"chance"`
	Leaks  bool    `json:"leaks"`
}

// NormalRuns compares the halves of runs without a fault.
type NormalRuns struct {
	// Changed lists those whose clients saw an effect in the second half.
	Cases   int      `json:"cases"`
	Changed []string `json:"changed"`
}

// A MetricEffect is how far a type of fault moved a metric of its service: the median
// over the cases of the difference of means, in standard deviations before the fault
// (Glass's delta). It is absent where no case has the metric.
type MetricEffect struct {
	Type   string  `json:"type"`
	Metric string  `json:"metric"`
	Cases  int     `json:"cases"`
	Delta  float64 `json:"delta"`
}

// A judged case is a table with its truth.
type judged struct {
	record export.Record
	label  *export.Label
	table  *frame
	// ranks are services in the order of each rule, leaks those of each leak.
	ranks, leaks map[string][]string
	services     int
}

// Judge reads a data set and says what it is worth.
func Judge(dir, name string) (*Verification, error) {
	records, err := export.ReadRecords(dir)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("judging the data set %q: it has no cases", dir)
	}
	format, paths, err := tables(dir, records)
	if err != nil {
		return nil, fmt.Errorf("judging the data set %q: %w", dir, err)
	}
	v := &Verification{
		APIVersion: result.ResultVersion, Kind: Kind, Name: name, Format: format,
		WithoutEffect: []string{}, Scores: []Score{}, EffectiveScores: []Score{}, Leaks: []Leak{}, Effects: []MetricEffect{},
		NormalRuns: NormalRuns{Changed: []string{}},
	}
	var broken []*judged
	for i := range records {
		r := records[i]
		if label := &r.Labels[0]; label.Fault != nil {
			broken = append(broken, &judged{record: r, label: label})
		} else {
			v.normal(r.Case, label)
		}
	}
	v.Cases = len(broken)
	effects, err := eachTable(broken, paths)
	if err != nil {
		return nil, fmt.Errorf("judging the data set %q: %w", dir, err)
	}
	v.score(broken)
	v.leaks(broken)
	v.Effects = merged(effects)
	v.note(broken)
	return v, nil
}

// eachTable reads the tables, side by side, and ranks the services of each.
func eachTable(list []*judged, paths map[string]string) (effects []MetricEffect, err error) {
	var next atomic.Int64
	var wait sync.WaitGroup
	var mu sync.Mutex
	for range min(runtime.NumCPU(), runtime.GOMAXPROCS(0), len(list)) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(list); i = int(next.Add(1)) - 1 {
				one, failed := list[i].rank(paths[list[i].record.Case])
				mu.Lock()
				effects = append(effects, one...)
				err = cmp.Or(err, failed)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return effects, err
}

func (v *Verification) normal(name string, label *export.Label) {
	v.Normal++
	v.NormalRuns.Cases++
	if p := label.Impact; p != nil && p.Verdict == export.Effective {
		v.NormalRuns.Changed = append(v.NormalRuns.Changed, name)
	}
}

// rules are the simple rules, in the order in which they are shown.
func rules() []string { return []string{"n-sigma", "robust (as BARO)", "deepest anomalous service"} }

func (v *Verification) score(list []*judged) {
	var effective []*judged
	for _, j := range list {
		if j.label.Impact != nil && j.label.Impact.Verdict == export.Effective {
			effective = append(effective, j)
		} else {
			v.WithoutEffect = append(v.WithoutEffect, j.record.Case)
		}
	}
	v.Difficulty = "not easy"
	for _, rule := range rules() {
		if len(list) > 0 {
			v.Scores = append(v.Scores, scoreOf(rule, list))
		}
		if len(effective) == 0 {
			continue
		}
		s := scoreOf(rule, effective)
		v.EffectiveScores = append(v.EffectiveScores, s)
		if s.Top1 >= Solved {
			v.Difficulty = "easy"
		}
	}
	if len(effective) == 0 {
		v.Difficulty = "not known"
	}
}

func scoreOf(rule string, list []*judged) Score {
	s := Score{Rule: rule, Cases: len(list)}
	n := float64(len(list))
	for _, j := range list {
		place := slices.Index(j.ranks[rule], j.cause())
		for k := 1; k <= 5; k++ {
			hit := 0.0
			if place >= 0 && place < k {
				hit = 1
			}
			chance := min(float64(k)/float64(j.services), 1)
			s.Avg5 += hit
			s.ChanceAvg5 += chance
			switch k {
			case 1:
				s.Top1 += hit
				s.ChanceTop1 += chance
			case 3:
				s.Top3 += hit
				s.ChanceTop3 += chance
			}
		}
	}
	s.Top1, s.Top3, s.Avg5 = s.Top1/n, s.Top3/n, s.Avg5/n/5
	s.ChanceTop1, s.ChanceTop3, s.ChanceAvg5 = s.ChanceTop1/n, s.ChanceTop3/n, s.ChanceAvg5/n/5
	s.Lift = s.Avg5 / s.ChanceAvg5
	return s
}

// cause is the service that was broken, as columns have it.
func (j *judged) cause() string { return strings.ReplaceAll(j.label.Service, "_", "-") }

// The rules that know nothing of what happened after the fault began.
const (
	firstColumn  = "service of the first column"
	lastColumn   = "service of the last column"
	constantOnes = "most columns that are constant before the fault"
	onlyThere    = "columns that other cases lack"
)

func (v *Verification) leaks(list []*judged) {
	if len(list) == 0 {
		return
	}
	seen := map[string]int{}
	for _, j := range list {
		for _, c := range j.table.names {
			seen[c]++
		}
	}
	names := []string{firstColumn, lastColumn, constantOnes, onlyThere}
	for _, name := range names {
		l := Leak{Rule: name}
		var hits int64
		for _, j := range list {
			if name == onlyThere {
				j.leaks[name] = j.odd(seen, len(list))
			}
			if first := j.leaks[name]; len(first) > 0 && first[0] == j.cause() {
				hits++
			}
			l.Chance += 1 / float64(j.services) / float64(len(list))
		}
		interval := stats.Wilson(hits, int64(len(list)), 1-(1-export.Confidence)/float64(len(names)))
		l.Top1, l.Low, l.High = float64(hits)/float64(len(list)), interval.Low, interval.High
		l.Leaks = l.Low > l.Chance
		v.Leaks = append(v.Leaks, l)
	}
}

// odd lists the service that has most columns which not all cases have.
func (j *judged) odd(seen map[string]int, cases int) []string {
	count := map[string]float64{}
	for _, c := range j.table.names {
		if seen[c] < cases {
			count[serviceOf(c)]++
		}
	}
	return ranked(count)
}

// note says what is no leak by itself, but to know.
func (v *Verification) note(list []*judged) {
	begins := map[int64]bool{}
	for _, j := range list {
		begins[j.label.InjectTime-int64(j.table.times[0])] = true
	}
	if len(begins) == 1 && len(list) > 1 {
		v.Notes = append(v.Notes, "all faults begin equally long after the beginning of their case, as in RCAEval: a method that is to find the moment, too, could learn it")
	}
	if v.Format == "rcaeval" {
		v.Notes = append(v.Notes, "the directories of RCAEval's layout name the cause: methods must not see them")
	}
	if v.Normal == 0 {
		v.Notes = append(v.Notes, "there are no normal cases, so nothing shows what methods say where nothing is wrong")
	}
}

// merged takes the median of the effects of each type on each metric.
func merged(list []MetricEffect) []MetricEffect {
	values := map[[2]string][]float64{}
	for _, e := range list {
		key := [2]string{e.Type, e.Metric}
		values[key] = append(values[key], e.Delta)
	}
	all := []MetricEffect{}
	for key, deltas := range values {
		slices.Sort(deltas)
		all = append(all, MetricEffect{key[0], key[1], len(deltas), stats.Quantile(deltas, 0.5)})
	}
	slices.SortFunc(all, func(a, b MetricEffect) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Metric, b.Metric))
	})
	return all
}
