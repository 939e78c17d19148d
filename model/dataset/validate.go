package dataset

import (
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// MaxCases bounds the runs of a set.
const MaxCases = 20000

// Validate names every mistake in a set that has its defaults. Formats are words of
// those who write them, and judged there.
func (d *Dataset) Validate() (problems problem.List) {
	problems.CheckFileName("name", d.Name)
	d.checkTimes(&problems)
	d.checkLoad(&problems)
	if d.Seeds < 1 {
		problems.AddHint("seeds", "write how many runs are alike but for their seed, such as 5", "%d seeds are not possible", d.Seeds)
	}
	if d.Normal < 0 {
		problems.AddHint("normal", "write how many runs have no fault, such as 5", "%d normal runs are not possible", d.Normal)
	}
	if len(d.Formats) == 0 {
		problems.AddHint("formats", "name one, such as formats: [rcaeval]", "there is no format")
	}
	if len(d.Faults) == 0 && d.Normal == 0 {
		problems.AddHint("faults", "describe some, such as faults: [{type: latency, delay: 100ms}]", "nothing is broken")
	}
	problems.Under("system", d.System.Validate())
	targets := d.checkTargets(&problems, "targets", d.Targets)
	for i := range d.Faults {
		targets = d.checkTargets(&problems, problem.Join(problem.Index("faults", i), "targets"), d.Faults[i].Targets) && targets
	}
	if len(problems) > 0 || !targets {
		return problems
	}
	return d.checkCases()
}

func (d *Dataset) checkTimes(problems *problem.List) {
	for _, one := range []struct {
		path string
		is   time.Duration
		why  string
	}{{"before", d.Before.Std(), "the time before the fault"}, {"after", d.After.Std(), "the time from the fault on"}} {
		if one.is < 2*time.Second || one.is%time.Second != 0 {
			problems.AddHint(one.path, "write full seconds, two at least, such as 6min", "%s is %s: rows are of a second each", one.why, one.is)
		}
	}
	if d.Lasts < 0 || d.Lasts > d.After {
		problems.AddHint("lasts", "write a time up to that of after, or leave it out", "faults that last %s do not fit into the %s after their beginning", d.Lasts, d.After)
	}
}

func (d *Dataset) checkLoad(problems *problem.List) {
	if len(d.Load.Phases) != 1 {
		problems.AddHint("load", "write one, such as load: {rate: 50}", "the load has %d phases, and a run of a data set has one", len(d.Load.Phases))
		return
	}
	if p := &d.Load.Phases[0]; p.Duration != 0 || p.Count != 0 {
		problems.AddHint("load", "leave duration and count out; before and after say how long it lasts", "the load has a length of its own")
	}
}

// checkTargets reports whether all targets can be read.
func (d *Dataset) checkTargets(problems *problem.List, path string, targets []string) bool {
	seen := map[string]bool{}
	ok := true
	for i, text := range targets {
		at := problem.Index(path, i)
		if seen[text] {
			problems.AddHint(at, "name it once", "target %q is named twice", text)
			ok = false
		}
		seen[text] = true
		if _, err := fault.ParseTarget(text); err != nil {
			message, hint, _ := strings.Cut(err.Error(), ": ")
			problems.AddHint(at, hint, "%s", message)
			ok = false
		}
	}
	return ok
}

// checkCases validates a run of each fault in each strength at each target, all of
// which are sound in themselves.
func (d *Dataset) checkCases() (problems problem.List) {
	count := d.Normal
	for i := range d.Faults {
		count += len(d.Faults[i].strengths()) * len(d.targets(i)) * d.Seeds
	}
	if count > MaxCases {
		problems.AddHint("seeds", "write fewer seeds, targets or strengths", "the set has %d runs, more than %d", count, MaxCases)
		return problems
	}
	normal := d.experiment(d.Seed)
	if problems = normal.Validate(); len(problems) > 0 {
		return problems
	}
	for i := range d.Faults {
		for j := range d.Faults[i].strengths() {
			for k, target := range d.targets(i) {
				e := normal
				e.Faults = []fault.Fault{d.fault(i, j, target)}
				for _, p := range e.Validate() {
					p.Path = d.written(i, j, k, p.Path)
					problems = append(problems, p)
				}
				if len(problems) > 0 {
					return problems // those of the next targets are mostly the same
				}
			}
		}
	}
	return problems
}

// written is the path in the set of what has a path in a case.
func (d *Dataset) written(i, j, k int, path string) string {
	rest, ok := strings.CutPrefix(path, "faults[0]")
	if !ok {
		return path
	}
	at := problem.Index("faults", i)
	rest = strings.TrimPrefix(rest, ".")
	switch name, inside, _ := strings.Cut(rest, "."); {
	case name == "target" && len(d.Faults[i].Targets) > 0:
		return problem.Index(problem.Join(at, "targets"), k)
	case name == "target" && len(d.Targets) > 0:
		return problem.Index("targets", k)
	case name == "args" && len(d.Faults[i].Strengths) > 0:
		return problem.Join(problem.Index(problem.Join(at, "strengths"), j), inside)
	case name == "type", name == "probability", name == "args":
		return problem.Join(at, rest)
	}
	return at
}
