package document

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// afterFaults is how long a load without an end goes on after the last fault.
const afterFaults = 30 * time.Second

// EndlessFor is how long a load without an end goes on in an experiment.
const EndlessFor = unit.Duration(5 * 60e9)

// A system without a load gets so many requests a second, for so long where no fault
// says otherwise.
const (
	PlainRate = 20
	PlainFor  = unit.Duration(60e9)
)

// Plain reports whether the experiment is a system for which no load is described.
func (d Documents) Plain() bool {
	return len(d.Experiments()) == 0 && len(d.Systems()) == 1 && len(d.Loads()) == 0
}

// Experiment returns the one experiment that the documents describe: one of kind
// Experiment, or a system with a load of its own. A system without one gets a plain load.
// Faults that stand alone are added to it. A load without an end goes on until 30 s after
// the last fault.
func (d Documents) Experiment() (*experiment.Experiment, error) {
	e, err := d.base()
	if err != nil {
		return nil, err
	}
	if len(d.Faults()) == 0 && len(d.Experiments()) == 1 {
		return e, nil
	}
	e.Faults = slices.Clone(e.Faults)
	for _, f := range d.Faults() {
		faults, err := f.For(&e.System, e.Seed)
		if err != nil {
			return nil, err
		}
		e.Faults = append(e.Faults, faults...)
	}
	if len(d.Experiments()) == 0 {
		e.Load.Phases = slices.Clone(e.Load.Phases)
		for i := range e.Load.Phases {
			if p := &e.Load.Phases[i]; p.Endless() {
				p.Duration = lastEnd(e.Faults)
			}
		}
	}
	if err := e.Validate().Err(); err != nil {
		return nil, fmt.Errorf("experiment %q, put together of several documents, cannot be run: %w", e.Name, err)
	}
	return e, nil
}

// Each returns the experiments that the documents describe, which are run one after
// the other: those of kind Experiment or, where there are none, the one of Experiment.
// Faults that stand alone are added to each.
func (d Documents) Each() ([]*experiment.Experiment, error) {
	all := d.Experiments()
	if len(all) < 2 {
		e, err := d.Experiment()
		return []*experiment.Experiment{e}, err
	}
	var each []*experiment.Experiment
	for i, e := range all {
		if slices.ContainsFunc(all[:i], func(before *experiment.Experiment) bool { return before.Name == e.Name }) {
			return nil, fmt.Errorf("two experiments are named %q, so results could not tell them apart: rename one", e.Name)
		}
		alone := slices.DeleteFunc(slices.Clone(d), func(one Document) bool { return one.Experiment != nil && one.Experiment != e })
		e, err := alone.Experiment()
		if err != nil {
			return nil, err
		}
		each = append(each, e)
	}
	return each, nil
}

// base is the experiment without the faults that stand alone.
func (d Documents) base() (*experiment.Experiment, error) {
	experiments, systems, loads := d.Experiments(), d.Systems(), d.Loads()
	switch {
	case len(experiments) == 1 && len(loads) > 0:
		return nil, fmt.Errorf("experiment %q has a load of its own, and the files describe %d more, such as %q: choose one of them with --only, of %s", experiments[0].Name, len(loads), loads[0].Name, strings.Join(d.Names(), ", "))
	case len(experiments) == 1:
		e := *experiments[0]
		return &e, nil
	case len(experiments) > 1:
		var names []string
		for _, e := range experiments {
			names = append(names, e.Name)
		}
		return nil, fmt.Errorf("the files describe %d experiments, and one can run at a time: choose it with --only, of %s", len(experiments), strings.Join(names, ", "))
	case len(systems) > 1:
		var names []string
		for _, s := range systems {
			names = append(names, s.Name)
		}
		return nil, fmt.Errorf("the files describe %d systems, and one can run at a time: choose it with --only, of %s", len(systems), strings.Join(names, ", "))
	case d.Plain():
		return &experiment.Experiment{Name: systems[0].Name, Seed: DefaultSeed, System: *systems[0], Load: d.plainLoad()}, nil
	case len(systems) != 1 || len(loads) == 0:
		return nil, fmt.Errorf("the files describe no experiment, and %s and %s: name a file of kind Experiment, or one system, its loads (LoadGenerator) and its faults", unit.Count(len(systems), "system"), unit.Count(len(loads), "load"))
	}
	system := systems[0]
	joined, err := d.Join()
	if err != nil {
		return nil, err
	}
	if joined.System != "" && joined.System != system.Name {
		return nil, fmt.Errorf("the load %q is meant for system %q, not %q", joined.Name, joined.System, system.Name)
	}
	return &experiment.Experiment{Name: system.Name, Seed: DefaultSeed, System: *system, Load: joined.Profile}, nil
}

// plainLoad has no end of its own where faults are to be seen.
func (d Documents) plainLoad() load.Profile {
	steady := load.Phase{Rate: PlainRate}
	if len(d.Faults()) == 0 {
		steady.Duration = PlainFor
	}
	return load.Profile{Phases: []load.Phase{steady}}.WithDefaults()
}

// lastEnd is how long a load without an end lasts with these faults.
func lastEnd(faults []fault.Fault) unit.Duration {
	if len(faults) == 0 {
		return EndlessFor
	}
	var end time.Duration
	for i := range faults {
		end = max(end, faults[i].End())
	}
	return unit.Duration(end + afterFaults)
}
