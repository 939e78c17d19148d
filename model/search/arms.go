package search

import (
	"fmt"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// An Arm is one type of fault at one target, with the strengths that it may have
// from the weakest to the strongest.
type Arm struct {
	Type   fault.Type
	Target fault.Target
	// Levels are the faults without a start.
	Levels []fault.Fault
}

func (a *Arm) String() string { return string(a.Type) + " " + a.Target.String() }

// SearchedTypes are the types of faults that can be searched, in the order of the
// vocabulary.
func SearchedTypes() []fault.Type {
	return []fault.Type{
		fault.Latency, fault.Error, fault.Hang, fault.CPU, fault.Kill, fault.Pause, fault.NetDelay, fault.NetLoss, fault.NetPartition,
	}
}

// levels returns the strengths of a type of fault, which acts for the given time.
// From one to the next, a delay, a share or the duration grows.
func levels(t fault.Type, lasts time.Duration) (list []fault.Fault) {
	add := func(f fault.Fault) {
		f.Type = t
		if f.Probability == 0 {
			f.Probability = 1
		}
		if f.Duration == 0 && t != fault.Kill {
			f.Duration = unit.Duration(lasts)
		}
		list = append(list, f.WithDefaults())
	}
	for _, i := range []int{0, 1, 2, 3} {
		switch t {
		case fault.Latency, fault.NetDelay:
			add(fault.Fault{Args: fault.Args{Delay: dist.Fixed([]time.Duration{50, 200, 1000, 5000}[i] * time.Millisecond)}})
		case fault.Error, fault.Hang:
			add(fault.Fault{Probability: []unit.Share{0.05, 0.2, 0.5, 1}[i]})
		case fault.CPU:
			add(fault.Fault{Args: fault.Args{Hold: unit.Duration([]time.Duration{1, 5, 20, 100}[i] * time.Millisecond)}})
		case fault.NetLoss:
			add(fault.Fault{Args: fault.Args{Percent: []unit.Percent{1, 5, 20, 50}[i]}})
		case fault.Pause, fault.NetPartition:
			add(fault.Fault{Duration: unit.Duration(lasts >> (3 - i))})
		default: // a kill is a kill
			if i == 0 {
				add(fault.Fault{})
			}
		}
	}
	return list
}

// Arms returns all arms of a system: each type at each service or, for types that
// act on the network, at each pair of caller and callee. Targets, if given, are the
// services that may be broken or called. It leaves out an arm if possible refuses
// it at all strengths.
func Arms(e *experiment.Experiment, types []fault.Type, targets []string, lasts time.Duration, possible func(*fault.Fault) bool) (list []Arm) {
	for _, t := range types {
		for _, target := range targetsOf(e, t) {
			if len(targets) > 0 && !slices.Contains(targets, target.Service) {
				continue
			}
			a := Arm{Type: t, Target: target}
			for _, f := range levels(t, lasts) {
				f.Target = target
				if possible(&f) {
					a.Levels = append(a.Levels, f)
				}
			}
			if len(a.Levels) > 0 {
				list = append(list, a)
			}
		}
	}
	return list
}

func targetsOf(e *experiment.Experiment, t fault.Type) (list []fault.Target) {
	entry, _ := fault.Lookup(t)
	if entry.Layer != fault.OnNetwork {
		for i := range e.System.Services {
			list = append(list, fault.Target{Service: e.System.Services[i].Name})
		}
		return list
	}
	for _, edge := range e.System.Edges() {
		target := fault.Target{From: edge.From.Service, Service: edge.To.Service}
		if !slices.Contains(list, target) {
			list = append(list, target)
		}
	}
	return list
}

// describe returns a fault in words: "latency cart delay=200ms duration=10s".
func describe(f *fault.Fault) string {
	text := string(f.Type) + " " + f.Target.String()
	switch f.Type {
	case fault.Latency, fault.NetDelay:
		text += " delay=" + f.Args.Delay.Fixed.String()
	case fault.CPU:
		text += " hold=" + f.Args.Hold.String()
	case fault.NetLoss:
		text += fmt.Sprintf(" percent=%g", float64(f.Args.Percent))
	case fault.Error, fault.Hang:
		text += fmt.Sprintf(" probability=%g%%", 100*float64(f.Probability))
	default: // its duration says all
	}
	if f.Duration > 0 {
		text += " duration=" + f.Duration.String()
	}
	return text
}
