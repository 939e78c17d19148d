package search

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// The phases of a run under steady load. Only figures of Measured are judged.
const (
	WarmUp   = "warm-up"
	Trigger  = "trigger"
	Recovery = "recovery"
	Measured = "measured"
)

// A Steady describes runs under a constant load.
type Steady struct {
	// Phase is the phase of the file, which has all settings of the load but its
	// height.
	Phase load.Phase
	// WarmUp comes before Duration and is not judged.
	WarmUp, Duration time.Duration
	// Recovery is how long after a trigger the requirements may be broken.
	Recovery time.Duration
}

// Template returns the phase of an experiment's load whose height is varied: the
// phase of that name or, if the name is empty, the highest phase.
func Template(profile load.Profile, name string) (load.Phase, error) {
	best, height := -1, 0.0
	var names []string
	for i, p := range profile.Phases {
		names = append(names, p.Name)
		if h := Height(p); p.Name == name || name == "" && h > height {
			best, height = i, h
		}
	}
	switch {
	case best >= 0:
		return profile.Phases[best], nil
	case name != "":
		return load.Phase{}, fmt.Errorf("there is no phase %q in the load (%s)", name, didYouMean(name, names))
	}
	return load.Phase{}, fmt.Errorf("the load has no phase with a rate or users")
}

// Height returns the highest load of a phase, in arrivals per second or in users.
func Height(p load.Phase) float64 {
	high := max(p.Rate, float64(p.Users))
	if p.RateTo != nil {
		high = max(high, *p.RateTo)
	}
	if p.UsersTo != nil {
		high = max(high, float64(*p.UsersTo))
	}
	if p.Sine != nil {
		high += p.Sine.Amplitude
	}
	return high
}

// at returns a phase of the given name, length and height.
func (s Steady) at(name string, length time.Duration, height float64) load.Phase {
	p := load.Phase{
		Name: name, Duration: unit.Duration(length),
		Arrivals: s.Phase.Arrivals, Burst: s.Phase.Burst, Think: s.Phase.Think, Every: s.Phase.Every, Each: s.Phase.Each,
	}
	if s.Phase.IsClosed() {
		p.Users = int(math.Round(height))
	} else {
		p.Rate = height
	}
	return p
}

// Experiment returns an experiment under a load of the given height, without its
// faults. The faults of a trigger come after the warm-up, with their times relative
// to each other. The judged phase then begins after the recovery from them.
func (s Steady) Experiment(e experiment.Experiment, height float64, trigger []fault.Fault) experiment.Experiment {
	e.Checks, e.AbortOn, e.Variants, e.Tail, e.Window, e.Rank, e.Faults = nil, nil, nil, 0, 0, experiment.Rank{}, nil
	phases := []load.Phase{s.at(WarmUp, s.WarmUp, height)}
	if len(trigger) > 0 {
		first, last := span(trigger)
		e.Faults = slices.Clone(trigger)
		for i := range e.Faults {
			e.Faults[i].Start += unit.Duration(s.WarmUp - first)
		}
		phases = append(phases, s.at(Trigger, max(last-first, time.Millisecond), height), s.at(Recovery, s.Recovery, height))
	}
	phases = append(phases, s.at(Measured, s.Duration, height))
	e.Load.Requests = slices.Clone(e.Load.Requests)
	for i := range e.Load.Requests {
		if beat := e.Load.Requests[i].Beat; beat != nil {
			steady := *beat
			steady.Count = 0 // a load that ends would not be steady
			e.Load.Requests[i].Beat = &steady
		}
	}
	e.Load.Phases = slices.DeleteFunc(phases, func(p load.Phase) bool { return p.Duration == 0 })
	return e
}

// span returns the start of the first fault and the end of the last.
func span(faults []fault.Fault) (first, last time.Duration) {
	first = math.MaxInt64
	for i := range faults {
		first, last = min(first, faults[i].Start.Std()), max(last, faults[i].End())
	}
	return first, last
}

// Ends reports whether a fault ends by itself, as a trigger must: kills and
// restarts end at once.
func Ends(f *fault.Fault) bool {
	return f.Duration > 0 || f.Type == fault.Kill || f.Type == fault.Restart
}
