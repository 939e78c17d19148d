// Package dataset describes data sets of failures: a system, its load, and the faults
// that break it, each in a run of its own, in all strengths, at all targets, with
// several seeds.
package dataset

import (
	"reflect"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Dataset is what a file of kind Dataset describes.
type Dataset struct {
	// Name names the set, and directories in it.
	Name string `json:"name"`
	// Seed is that of the first of the runs that are alike, and of the order of
	// columns.
	Seed   uint64          `json:"seed"`
	System topology.System `json:"system"`
	// Load is one phase without a duration: it lasts for Before and After.
	Load load.Profile `json:"load"`
	// Before is how long each run is normal; then its fault begins.
	Before unit.Duration `json:"before"`
	// After is how long each run goes on from there.
	After unit.Duration `json:"after"`
	// Lasts is how long faults act; left out, until the end of the run.
	Lasts unit.Duration `json:"lasts,omitzero"`
	// Faults are what breaks the system, one in each run.
	Faults []Fault `json:"faults"`
	// Targets are the services and edges that faults act on; left out, all services.
	Targets []string `json:"targets,omitempty"`
	// Seeds is how many runs each fault has at each target in each strength.
	Seeds int `json:"seeds,omitempty"`
	// Normal is how many runs have no fault.
	Normal int `json:"normal,omitempty"`
	// Formats are those that the set is written in.
	Formats []string `json:"formats"`
}

// A Fault is one way to break each of the targets.
type Fault struct {
	Type fault.Type `json:"type"`
	// Probability is the share of requests hit.
	Probability unit.Share `json:"probability"`
	// Direction is that of a fault on the network.
	Direction fault.Direction `json:"direction,omitempty"`
	// Args are the parameters that all strengths have.
	Args fault.Args `json:"args,omitzero"`
	// Targets are those of this fault, in place of those of the set.
	Targets []string `json:"targets,omitempty"`
	// Strengths are how hard it is, each with a run of its own; left out, once as it
	// is.
	Strengths []Strength `json:"strengths,omitempty"`
}

// A Strength is what a fault has in place of its own parameters.
type Strength struct {
	fault.Args
	// Probability is the share of requests hit, in place of the fault's.
	Probability *unit.Share `json:"probability,omitempty"`
}

// WithDefaults returns the set with the defaults of what was left out.
func (d Dataset) WithDefaults() Dataset {
	d.Load = d.Load.WithDefaults()
	if d.Seeds == 0 {
		d.Seeds = 1
	}
	return d
}

// A Case is one run of a set. Its experiment has one fault, or none.
type Case struct {
	Experiment experiment.Experiment
	// fault and strength are indexes into the set, and target is one of its words; of
	// a normal run fault is -1.
	fault, strength int
	target          string
}

// Cases lists the runs of the set, which has its defaults and is valid: first those
// without a fault, then those with one.
func (d *Dataset) Cases() []Case {
	var cases []Case
	for i := range d.Normal {
		cases = append(cases, Case{Experiment: d.experiment(d.Seed + uint64(i)), fault: -1})
	}
	for i := range d.Faults {
		for j := range d.Faults[i].strengths() {
			for _, target := range d.targets(i) {
				for k := range d.Seeds {
					c := Case{d.experiment(d.Seed + uint64(k)), i, j, target}
					c.Experiment.Faults = []fault.Fault{d.fault(i, j, target)}
					cases = append(cases, c)
				}
			}
		}
	}
	return cases
}

// experiment is the run without a fault.
func (d *Dataset) experiment(seed uint64) experiment.Experiment {
	e := experiment.Experiment{Name: d.Name, Seed: seed, System: d.System, Load: d.Load.WithDefaults()}
	for i := range e.Load.Phases {
		e.Load.Phases[i].Duration = d.Before + d.After
	}
	return e
}

// strengths are those of the fault, or one that changes nothing.
func (f *Fault) strengths() []Strength {
	if len(f.Strengths) == 0 {
		return []Strength{{}}
	}
	return f.Strengths
}

// targets are those of a fault.
func (d *Dataset) targets(i int) []string {
	switch {
	case len(d.Faults[i].Targets) > 0:
		return d.Faults[i].Targets
	case len(d.Targets) > 0:
		return d.Targets
	}
	var all []string
	for i := range d.System.Services {
		all = append(all, d.System.Services[i].Name)
	}
	return all
}

// fault is a fault in a strength at a target, which can be read.
func (d *Dataset) fault(i, j int, target string) fault.Fault {
	f := &d.Faults[i]
	s := f.strengths()[j]
	one := fault.Fault{Type: f.Type, Probability: f.Probability, Args: merge(f.Args, s.Args), Start: d.Before, Duration: d.Lasts}
	if s.Probability != nil {
		one.Probability = *s.Probability
	}
	if one.Duration == 0 || one.Duration > d.After {
		one.Duration = d.After
	}
	if entry, _ := fault.Lookup(f.Type); entry.Layer == fault.OnProcess && f.Type != fault.Pause {
		one.Duration = 0 // it happens at a moment
	}
	one.Target, _ = fault.ParseTarget(target)
	one.Target.Direction = f.Direction
	return one.WithDefaults()
}

// merge returns parameters with those that are given over them.
func merge(base, over fault.Args) fault.Args {
	to, from := reflect.ValueOf(&base).Elem(), reflect.ValueOf(over)
	for i := range from.NumField() {
		if !from.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
		}
	}
	return base
}
