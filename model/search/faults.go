package search

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// FaultsKind marks the document of a search for faults.
const FaultsKind = "FaultSearch"

// Method describes the method of the search for faults.
const Method = "successive halving over types and targets (Karnin, Koren, Somekh 2013), then the weakest strength of the survivors, then pairs"

// These constants divide the budget of a search.
const (
	// survivors is how many arms remain after the halving.
	survivors = 4
	// paired is how many of the worst arms are combined to pairs.
	paired = 6
	// lookRuns judge one strength or one pair; confirmRuns, with other seeds, a
	// finding.
	lookRuns    = 4
	confirmRuns = 8
	// confirmSeeds is the distance of the seeds of confirmations from those of the
	// search.
	confirmSeeds = 1 << 20
)

// A Hunt has the settings of a search for faults.
type Hunt struct {
	Requirements []Requirement
	Steady       Steady
	// Load is the height of the load.
	Load float64
	Arms []Arm
	// Budget bounds the runs, those of the confirmations included.
	Budget int
	// Known has the readings of earlier runs; the search adds those of its own
	// runs.
	Known *Known
	// Said gets a description of each step of the search. Learnt is called when
	// Known has grown. Both may be nil.
	Said   func(what string)
	Learnt func() error
}

// MinBudget is the smallest budget with which the search can find and confirm a
// fault: runs without faults, of one arm, of its strengths, and of a confirmation.
const MinBudget = lookRuns + 1 + 3*lookRuns + confirmRuns

// A Known has the readings of runs, by the faults and the seed, so that an
// interrupted search can continue.
type Known struct {
	// Of identifies the search.
	Of   string               `json:"of"`
	Runs map[string][]Reading `json:"runs"`
}

// A Reading is the figure of a requirement in one run.
type Reading struct {
	Low float64 `json:"low"`
	// High is absent if there is no upper bound.
	High    *float64 `json:"high,omitempty"`
	N       int64    `json:"n,omitempty"`
	Missing string   `json:"missing,omitempty"`
}

// A FaultSearch says which small faults break requirements. Its JSON may get
// further fields.
type FaultSearch struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Variant    string `json:"variant,omitempty"`
	Target     string `json:"target"`
	// Costs says from where the runs have the costs of requests, calls and sleeps.
	Costs   *result.Costs `json:"costs,omitempty"`
	Command string        `json:"command,omitempty"`
	Seed    uint64        `json:"seed"`
	Method  string        `json:"method"`
	// Incomplete is set if the search ended early; Why says why.
	Incomplete bool   `json:"incomplete"`
	Why        string `json:"incompleteBecause,omitempty"`

	Requirements []experiment.Check `json:"requirements"`
	Load         float64            `json:"load"`
	Budget       int                `json:"budget"`
	// Runs is the number of runs, which is the used part of the budget.
	Runs int `json:"runs"`
	// Candidates counts the arms, and Tried counts the arms that were played at
	// their strongest level.
	Candidates int `json:"candidates"`
	Tried      int `json:"tried"`
	// Findings are the faults that were confirmed to break the requirements, the
	// weakest first.
	Findings []Finding `json:"findings"`
	// Strong has the worst candidates at their strongest level, even if they break
	// no requirement.
	Strong []Candidate `json:"strongest"`
	// Spent is set if the budget was used up before the end of the search.
	Spent bool `json:"budgetSpent"`
	// PairsTried counts the pairs that were tried, in which neither fault alone was
	// seen to break a requirement.
	PairsTried int `json:"pairsTried"`

	experiments []experiment.Experiment
}

// A Candidate is an arm at its strongest level.
type Candidate struct {
	Fault string `json:"fault"`
	// Score says how far the runs are beyond the requirements: it is the worst
	// figure as a multiple of its bound.
	Score float64 `json:"score"`
	Runs  int     `json:"runs"`
}

// A Finding is a fault, or a pair, that breaks the requirements.
type Finding struct {
	Faults []fault.Fault `json:"faults"`
	// Words are the faults in the form that the flag --trigger of limit takes.
	Words []string `json:"words"`
	// Levels are their strengths, counted from 1; Of are how many there are.
	Levels []int `json:"levels"`
	Of     []int `json:"of"`
	// Weaker says that the next weaker strength was not seen to break the
	// requirements. It is true for the weakest strength of all.
	Weaker bool `json:"weakestThatBreaks"`
	// Broke counts the runs with fresh seeds in which a requirement was broken; Low
	// and High are the ends of the 95 % interval for their share (Wilson).
	Broke int     `json:"broke"`
	Runs  int     `json:"runs"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	// Score is the score, as in a Candidate, in the runs with fresh seeds.
	Score   float64  `json:"score"`
	Figures []Figure `json:"figures"`
	// File is the file with the experiment that plays the finding, if it was
	// written.
	File string `json:"file,omitempty"`
}

// Encode writes the search as JSON.
func (s *FaultSearch) Encode(w io.Writer) error { return encode(w, s, "the search of "+s.Name) }

// Experiments returns the experiments that play the findings, in their order.
func (s *FaultSearch) Experiments() []experiment.Experiment { return s.experiments }

// A BatchPlayer plays each experiment once. After an error, the results of the
// experiments that were not played are nil.
type BatchPlayer func(list []experiment.Experiment) ([]Run, error)

// A trial is a set of faults with their strengths.
type trial struct {
	arms, levels []int
}

type hunter struct {
	*Hunt
	e     experiment.Experiment
	play  BatchPlayer
	found *FaultSearch
}

// BrokenError says that the requirements do not hold without faults.
type BrokenError struct{ Figures []Figure }

func (e *BrokenError) Error() string {
	var texts []string
	for _, f := range e.Figures {
		if f.Verdict != Holds {
			texts = append(texts, f.Expr)
		}
	}
	return fmt.Sprintf("%s is not shown to hold without any fault: take a lower load (--load), or a wider bound", strings.Join(texts, ", "))
}

// Find searches for faults. If an error ends it early, it returns the error with
// the findings so far, marked incomplete. The result is nil only if nothing was
// played.
func (h *Hunt) Find(e experiment.Experiment, play BatchPlayer) (*FaultSearch, error) {
	s := &FaultSearch{
		APIVersion: result.ResultVersion, Kind: FaultsKind, Name: e.Name, Variant: e.AppliedVariant, Seed: e.Seed, Method: Method,
		Load: h.Load, Budget: h.Budget, Candidates: len(h.Arms), Findings: []Finding{}, Strong: []Candidate{},
	}
	for _, r := range h.Requirements {
		s.Requirements = append(s.Requirements, r.Check)
	}
	u := hunter{h, e, play, s}
	err := u.search()
	u.order()
	if errors.Is(err, spentError{}) {
		s.Spent, err = true, nil
	}
	if err != nil {
		s.Incomplete, s.Why = true, err.Error()
	}
	return s, err
}

func (h *hunter) say(format string, args ...any) {
	if h.Said != nil {
		h.Said(fmt.Sprintf(format, args...))
	}
}

func (h *hunter) search() error {
	h.say("without faults")
	base, err := h.look(trial{}, lookRuns, 0)
	if err != nil {
		return err
	}
	if v, figures := h.judge(base); v != Holds {
		return &BrokenError{figures}
	}
	worst, err := h.halve()
	if err != nil {
		return err
	}
	weakest := map[int]int{} // the weakest level that breaks, by arm; past the last where none does
	for i, arm := range worst {
		if i == max(survivors, paired) {
			break
		}
		if weakest[arm], err = h.weakest(arm); err != nil {
			return err
		}
		if i < survivors && weakest[arm] < len(h.Arms[arm].Levels) {
			if err := h.confirm(trial{[]int{arm}, []int{weakest[arm]}}, true); err != nil {
				return err
			}
		}
	}
	return h.pairs(worst[:min(len(worst), paired)], weakest)
}

// left returns the rest of the budget, in runs.
func (h *hunter) left() int { return h.Budget - h.found.Runs }

// spentError ends a search whose budget is not enough for what comes next.
type spentError struct{}

func (spentError) Error() string { return "the budget is spent" }

// experiment returns the experiment that plays a trial: its faults begin after the
// warm-up.
func (h *hunter) experiment(t trial) experiment.Experiment {
	e := h.Steady.Experiment(h.e, h.Load, nil)
	for i, arm := range t.arms {
		f := h.Arms[arm].Levels[t.levels[i]]
		f.Start = unit.Duration(h.Steady.WarmUp)
		e.Faults = append(e.Faults, f)
	}
	for _, r := range h.Requirements {
		check := r.Check
		check.Phase = Measured
		e.Checks = append(e.Checks, check)
	}
	return e
}

// look returns the readings of a trial for n seeds, from the given one on. It plays
// only the runs that are not known yet.
func (h *hunter) look(t trial, n int, seed uint64) ([][]Reading, error) {
	lists, err := h.lookAll([]trial{t}, n, seed)
	if err != nil {
		return nil, err
	}
	return lists[0], nil
}

func (h *hunter) key(t trial, seed uint64) string {
	var parts []string
	for i, arm := range t.arms {
		parts = append(parts, describe(&h.Arms[arm].Levels[t.levels[i]]))
	}
	return fmt.Sprintf("%s, seed %d", strings.Join(parts, " + "), seed)
}

// lookAll plays several trials n times each.
func (h *hunter) lookAll(trials []trial, n int, first uint64) ([][][]Reading, error) {
	if h.left() < n*len(trials) {
		return nil, spentError{}
	}
	var list []experiment.Experiment
	var keys []string
	for _, t := range trials {
		for i := range n {
			seed := h.e.Seed + first + uint64(i)
			if key := h.key(t, seed); h.Known.Runs[key] == nil {
				e := h.experiment(t)
				e.Seed = seed
				list, keys = append(list, e), append(keys, key)
			}
		}
	}
	runs, err := h.play(list)
	for i, run := range runs {
		if run.Result == nil {
			continue
		}
		readings := make([]Reading, len(h.Requirements))
		for j, r := range h.Requirements {
			got := r.read(run.Result, Measured)
			readings[j] = Reading{Low: got.low, N: got.n, Missing: got.missing}
			if !math.IsInf(got.high, 1) {
				readings[j].High = &got.high
			}
		}
		h.Known.Runs[keys[i]] = readings
	}
	if len(list) > 0 && h.Learnt != nil {
		err = errors.Join(err, h.Learnt())
	}
	if err != nil {
		return nil, err
	}
	h.found.Runs += n * len(trials)
	lists := make([][][]Reading, len(trials))
	for k, t := range trials {
		for i := range n {
			lists[k] = append(lists[k], h.Known.Runs[h.key(t, h.e.Seed+first+uint64(i))])
		}
	}
	return lists, nil
}

// judge decides whether the requirements hold, by intervals of 95 %.
func (h *hunter) judge(runs [][]Reading) (Verdict, []Figure) {
	verdict := Holds
	var figures []Figure
	for j, r := range h.Requirements {
		var readings []reading
		for _, run := range runs {
			readings = append(readings, run[j].reading())
		}
		f := r.figure(readings, result.Confidence)
		figures = append(figures, f)
		if f.Verdict == Breaks || f.Verdict == Unclear && verdict == Holds {
			verdict = f.Verdict
		}
	}
	return verdict, figures
}

func (r Reading) reading() reading {
	got := reading{r.Low, math.Inf(1), r.N, r.Missing}
	if r.High != nil {
		got.high = *r.High
	}
	return got
}

// broken reports whether a run is known to break a requirement. A figure without
// data does not count.
func (h *hunter) broken(run []Reading) bool {
	for j, r := range h.Requirements {
		got := run[j].reading()
		if got.missing == "" && verdictOf(r.Condition, stats.Interval{Low: got.low, High: got.high}) == Breaks {
			return true
		}
	}
	return false
}

// score returns how far runs are beyond the requirements, on average: the worst
// figure as a multiple of its bound. For a share that must be high, the score uses
// the share that is missing to 1.
func (h *hunter) score(runs [][]Reading) float64 {
	sum := 0.0
	for _, run := range runs {
		worst := 0.0
		for j, r := range h.Requirements {
			value, bound := run[j].Low, r.Condition.Bound
			if strings.HasPrefix(r.Condition.Op, ">") {
				value, bound = 1-value, 1-bound
			}
			if run[j].Missing == "" {
				worst = max(worst, value/max(bound, 1e-6))
			}
		}
		sum += worst
	}
	return sum / float64(max(len(runs), 1))
}

// halve returns the arms that are worst at their strongest level, the worst first.
// It plays all arms a few times and drops the better half, until few are left. It
// uses half of the budget.
func (h *hunter) halve() ([]int, error) {
	arms := h.draw()
	h.found.Tried = len(arms)
	runs := map[int][][]Reading{}
	rounds := max(1, int(math.Ceil(math.Log2(float64(len(arms))/survivors))))
	each := h.Budget / 2 / rounds
	alive := slices.Clone(arms)
	for round := range rounds {
		n := max(1, each/len(alive))
		h.say("round %d of %d: %d candidates, %s each", round+1, rounds, len(alive), unit.Count(n, "run"))
		var trials []trial
		for _, arm := range alive {
			trials = append(trials, trial{[]int{arm}, []int{len(h.Arms[arm].Levels) - 1}})
		}
		have := 0
		if len(runs) > 0 {
			have = len(runs[alive[0]])
		}
		lists, err := h.lookAll(trials, n, uint64(have))
		if err != nil {
			return nil, err
		}
		for i, arm := range alive {
			runs[arm] = append(runs[arm], lists[i]...)
		}
		h.sortArms(alive, runs)
		if round < rounds-1 {
			alive = alive[:max(survivors, (len(alive)+1)/2)]
		}
	}
	h.sortArms(arms, runs)
	// Arms that were dropped come last, because their scores are of fewer runs.
	order := slices.Clone(alive)
	for _, arm := range arms {
		if !slices.Contains(order, arm) {
			order = append(order, arm)
		}
	}
	for _, arm := range order {
		f := &h.Arms[arm].Levels[len(h.Arms[arm].Levels)-1]
		h.found.Strong = append(h.found.Strong, Candidate{describe(f), h.score(runs[arm]), len(runs[arm])})
	}
	return order, nil
}

// draw returns all arms or, if a quarter of the budget does not allow one run of
// each, as many as it allows, drawn by the seed.
func (h *hunter) draw() []int {
	var all []int
	for i := range h.Arms {
		all = append(all, i)
	}
	if most := max(h.Budget/4, 1); len(all) > most {
		key := dist.Seed(h.e.Seed).With("fault search")
		slices.SortFunc(all, func(a, b int) int { return cmp.Compare(key.WithInt(a).Float64(), key.WithInt(b).Float64()) })
		all = all[:most]
		slices.Sort(all)
	}
	return all
}

func (h *hunter) sortArms(arms []int, runs map[int][][]Reading) {
	slices.SortStableFunc(arms, func(a, b int) int { return cmp.Compare(h.score(runs[b]), h.score(runs[a])) })
}

// weakest returns, by bisection, the weakest level of an arm that was seen to break
// the requirements. If the strongest level was not, it returns the number of
// levels.
func (h *hunter) weakest(arm int) (int, error) {
	low, high := 0, len(h.Arms[arm].Levels) // the answer is in [low, high]
	at := high - 1                          // the strongest first: mostly it says all
	for low < high {
		h.say("how weak may %s be", h.Arms[arm].String())
		runs, err := h.look(trial{[]int{arm}, []int{at}}, lookRuns, 0)
		if err != nil {
			return 0, err
		}
		if v, _ := h.judge(runs); v == Breaks {
			high = at
		} else {
			low = at + 1
		}
		at = (low + high) / 2
	}
	return high, nil
}

// confirm plays a trial with seeds that did not influence its choice, and keeps it
// as a finding if it breaks the requirements with them, too.
func (h *hunter) confirm(t trial, weaker bool) error {
	h.say("confirming %s", h.key(t, h.e.Seed))
	runs, err := h.look(t, confirmRuns, confirmSeeds)
	if err != nil {
		return err
	}
	f := Finding{Runs: len(runs), Score: h.score(runs), Weaker: weaker}
	for _, run := range runs {
		if h.broken(run) {
			f.Broke++
		}
	}
	interval := stats.Wilson(int64(f.Broke), int64(f.Runs), result.Confidence)
	f.Low, f.High = interval.Low, interval.High
	var verdict Verdict
	if verdict, f.Figures = h.judge(runs); verdict != Breaks {
		return nil
	}
	for i, arm := range t.arms {
		level := h.Arms[arm].Levels[t.levels[i]]
		f.Words = append(f.Words, describe(&level))
		f.Levels, f.Of = append(f.Levels, t.levels[i]+1), append(f.Of, len(h.Arms[arm].Levels))
	}
	e := h.experiment(t)
	f.Faults = e.Faults
	h.found.Findings = append(h.found.Findings, f)
	h.found.experiments = append(h.found.experiments, e)
	return nil
}

// pairs combines faults of which neither alone was seen to break a requirement,
// each at the strongest such level.
func (h *hunter) pairs(worst []int, weakest map[int]int) error {
	for i, a := range worst {
		for _, b := range worst[:i] {
			la, lb := weakest[a]-1, weakest[b]-1
			if la < 0 || lb < 0 || h.Arms[a].Type == h.Arms[b].Type && h.Arms[a].Target == h.Arms[b].Target {
				continue // alone it breaks at its weakest
			}
			t := trial{[]int{b, a}, []int{lb, la}}
			h.say("pair %s", h.key(t, h.e.Seed))
			runs, err := h.look(t, lookRuns, 0)
			if err != nil {
				return err
			}
			h.found.PairsTried++
			if v, _ := h.judge(runs); v == Breaks {
				if err := h.confirm(t, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// order sorts the findings: the weakest first, and among equally weak ones the
// worst first.
func (h *hunter) order() {
	s := h.found
	index := make([]int, len(s.Findings))
	for i := range index {
		index[i] = i
	}
	weight := func(f *Finding) float64 {
		sum := 0.0
		for i := range f.Levels {
			sum += float64(f.Levels[i]) / float64(f.Of[i])
		}
		return sum
	}
	slices.SortStableFunc(index, func(a, b int) int {
		x, y := &s.Findings[a], &s.Findings[b]
		return cmp.Or(cmp.Compare(weight(x), weight(y)), cmp.Compare(y.Score, x.Score))
	})
	findings, experiments := make([]Finding, len(index)), make([]experiment.Experiment, len(index))
	for i, from := range index {
		findings[i], experiments[i] = s.Findings[from], s.experiments[from]
	}
	s.Findings, s.experiments = findings, experiments
}
