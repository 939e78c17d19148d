package search

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// LimitKind marks the document of a limit.
const LimitKind = "Limit"

// A Run is one run of an experiment: its result, and its use of resources.
type Run struct {
	Result *result.Result
	Usage  *Usage
}

// A Player plays an experiment once with each seed. An error ends the search, which
// then ignores the runs of this call.
type Player func(e experiment.Experiment, seeds []uint64) ([]Run, error)

// Limits has the settings of the search for the highest load.
type Limits struct {
	Requirements []Requirement
	Steady       Steady
	// Bisection has the range and the precision of the search. Its Start is the
	// load of the file.
	Bisection Bisection
	// Confidence is the confidence of all verdicts together. Seeds bounds the runs
	// of one load, of which LeastSeeds are made at first.
	Confidence float64
	Seeds      int
	// Trigger has the faults after which the system must recover; without faults,
	// the search does not ask this.
	Trigger []fault.Fault
	// Cores are the processors of the machine.
	Cores float64
	// Tried is called with each load that was judged; it may be nil.
	Tried func(trigger bool, p *Point)
}

// LeastSeeds is the smallest number of runs of a load: fewer runs give no useful
// interval.
const LeastSeeds = 4

// A Limit is the highest load that a system bears. Times are in seconds, loads in
// Unit. Its JSON may get further fields.
type Limit struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Variant    string `json:"variant,omitempty"`
	Target     string `json:"target"`
	// Costs says where the runs have from what requests, calls and sleeps take.
	Costs *result.Costs `json:"costs,omitempty"`
	// Command repeats the search.
	Command string `json:"command,omitempty"`
	Seed    uint64 `json:"seed"`
	// Incomplete is set where the search was ended early; Why says by what.
	Incomplete bool   `json:"incomplete"`
	Why        string `json:"incompleteBecause,omitempty"`

	// Requirements are the checks that must hold.
	Requirements []experiment.Check `json:"requirements"`
	// Unit is "requests/s", or "users" of a closed loop.
	Unit string `json:"unit"`
	// Confidence is a lower bound of the probability that no verdict is wrong, for
	// all loads and looks together.
	Confidence float64 `json:"confidence"`
	WarmUp     float64 `json:"warmUp"`
	Duration   float64 `json:"duration"`

	Answer
	// First is the resource that runs out first; absent if none was full.
	First *Resource `json:"first,omitempty"`
	// Resources are all resources that fill up, the fullest first.
	Resources []Resource `json:"resources"`
	// Trigger says up to which load the system recovers after a trigger.
	Trigger *TriggerLimit `json:"trigger,omitempty"`
}

// A TriggerLimit is the highest load at which a system recovers after faults.
type TriggerLimit struct {
	Faults []fault.Fault `json:"faults"`
	// Recovery is the time in seconds after which the requirements must hold again.
	Recovery float64 `json:"recovery"`
	Answer
}

// An Answer is the result of a search.
type Answer struct {
	// Holds is the highest load that was shown to hold, Breaks the lowest load that
	// was shown to break. Each is absent if it was not found between Least and
	// Most.
	Holds  *float64 `json:"holds,omitempty"`
	Breaks *float64 `json:"breaks,omitempty"`
	// Again is a load above Breaks that held nevertheless.
	Again *float64 `json:"again,omitempty"`
	// Least and Most bound the loads that were tried.
	Least float64 `json:"least"`
	Most  float64 `json:"most"`
	// Growing is set where requests still piled up at the load that holds, so that
	// it may break in longer runs.
	Growing bool `json:"growing,omitempty"`
	// Points are the loads that were tried, in ascending order.
	Points []Point `json:"points"`
}

// A Point has the figures at one load.
type Point struct {
	Load    float64  `json:"load"`
	Verdict Verdict  `json:"verdict"`
	Runs    int      `json:"runs"`
	Figures []Figure `json:"figures"`
	// Requests is the average number of requests in a run. Errors is the share of
	// them that failed, and Goodput the number per second that ended well at every
	// hop.
	Requests float64 `json:"requests"`
	Errors   float64 `json:"errors"`
	Goodput  float64 `json:"goodput"`
	// Growing is set where requests pile up during the runs.
	Growing bool `json:"growing,omitempty"`

	runs []Run
}

// Encode writes the limit as JSON.
func (l *Limit) Encode(w io.Writer) error { return encode(w, l, "the limit of "+l.Name) }

func encode(w io.Writer, v any, what string) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("writing %s: %w", what, err)
	}
	return nil
}

// Find searches for the highest load. An error ends it early; the limit then has
// the results so far, and says that it is incomplete. The caller fills in Target
// and Command.
func (o Limits) Find(e experiment.Experiment, play Player) (*Limit, error) {
	l := &Limit{
		APIVersion: result.ResultVersion, Kind: LimitKind, Name: e.Name, Variant: e.AppliedVariant, Seed: e.Seed,
		Unit: "requests/s", Confidence: o.Confidence, WarmUp: o.Steady.WarmUp.Seconds(), Duration: o.Steady.Duration.Seconds(),
	}
	if o.Steady.Phase.IsClosed() {
		l.Unit = "users"
	}
	for _, r := range o.Requirements {
		l.Requirements = append(l.Requirements, r.Check)
	}
	var err error
	l.Answer, err = o.answer(e, nil, play)
	o.saturation(&e, l)
	if err == nil && len(o.Trigger) > 0 && l.Holds != nil {
		l.Trigger = &TriggerLimit{Faults: o.Trigger, Recovery: o.Steady.Recovery.Seconds()}
		// No load beyond the limit holds after a trigger, either.
		o.Bisection.Start, o.Bisection.Most = *l.Holds, *l.Holds
		l.Trigger.Answer, err = o.answer(e, o.Trigger, play)
	}
	if err != nil {
		l.Incomplete, l.Why = true, err.Error()
	}
	return l, err
}

// answer runs one search, with a trigger or without.
func (o Limits) answer(e experiment.Experiment, trigger []fault.Fault, play Player) (Answer, error) {
	a := Answer{Least: o.Bisection.Least, Most: o.Bisection.Most, Points: []Point{}}
	bracket, err := o.Bisection.Find(func(load float64) (Verdict, error) {
		p, err := o.point(e, load, trigger, play)
		if err != nil {
			return Unclear, err
		}
		if o.Tried != nil {
			o.Tried(len(trigger) > 0, &p)
		}
		a.Points = append(a.Points, p)
		return p.Verdict, nil
	})
	slices.SortFunc(a.Points, func(p, q Point) int {
		if p.Load < q.Load {
			return -1
		}
		return 1
	})
	a.Holds, a.Breaks, a.Again = bracket.Holds, bracket.Breaks, bracket.Again
	if p := a.at(a.Holds); p != nil {
		a.Growing = p.Growing
	}
	return a, err
}

func (a *Answer) at(load *float64) *Point {
	if load == nil {
		return nil
	}
	for i := range a.Points {
		if a.Points[i].Load == *load {
			return &a.Points[i]
		}
	}
	return nil
}

// looks returns the numbers of runs after which a load is judged.
func (o Limits) looks() (list []int) {
	for n := min(LeastSeeds, o.Seeds); ; n = min(2*n, o.Seeds) {
		list = append(list, n)
		if n == o.Seeds {
			return list
		}
	}
}

// each returns the confidence of one interval, so that all intervals together have
// the required confidence (Bonferroni).
func (o Limits) each() float64 {
	searches := 1
	if len(o.Trigger) > 0 {
		searches = 2
	}
	all := searches * o.Bisection.Tries * len(o.looks()) * len(o.Requirements)
	return 1 - (1-o.Confidence)/float64(all)
}

// point plays one load until the verdict is clear, or all seeds are used. Every load
// is played with the same seeds, so that only the load differs.
func (o Limits) point(e experiment.Experiment, load float64, trigger []fault.Fault, play Player) (Point, error) {
	played := o.Steady.Experiment(e, load, trigger)
	p := Point{Load: load, Verdict: Unclear}
	for _, n := range o.looks() {
		var seeds []uint64
		for i := len(p.runs); i < n; i++ {
			seeds = append(seeds, e.Seed+uint64(i))
		}
		runs, err := play(played, seeds)
		if err != nil {
			return p, err
		}
		p.runs = append(p.runs, runs...)
		var results []*result.Result
		for _, r := range p.runs {
			results = append(results, r.Result)
		}
		p.Verdict, p.Figures = judge(o.Requirements, results, Measured, o.each())
		if p.Verdict != Unclear {
			break
		}
	}
	p.sum(o.Confidence)
	return p, nil
}

// sum fills in the figures of a point other than the requirements.
func (p *Point) sum(confidence float64) {
	p.Runs = len(p.runs)
	var requests, errors int64
	var usages []*Usage
	for _, r := range p.runs {
		usages = append(usages, r.Usage)
		if s := segment(r.Result, Measured); s != nil {
			requests += s.Clients.Requests
			errors += s.Clients.Errors
			p.Goodput += s.Clients.Goodput / float64(p.Runs)
		}
	}
	if requests > 0 {
		p.Requests = float64(requests) / float64(p.Runs)
		p.Errors = float64(errors) / float64(requests)
	}
	p.Growing = grows(usages, confidence)
}

// saturation finds the resources that fill up between the ends of the bracket.
func (o Limits) saturation(e *experiment.Experiment, l *Limit) {
	var ends [2]map[Resource]float64
	for i, load := range []*float64{l.Holds, l.Breaks} {
		if p := l.at(load); p != nil {
			ends[i] = shares(e, o.Cores, p.runs)
		}
	}
	l.Resources = resources(ends[0], ends[1])
	l.First = first(&e.System, l.Resources)
}

func joinNames(names []string) string { return strings.Join(names, ", ") }
