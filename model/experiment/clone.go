package experiment

import (
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// cloneSystem copies a system as deep as a variant changes it: to its calls.
func cloneSystem(s topology.System) topology.System {
	s.Services = slices.Clone(s.Services)
	for i := range s.Services {
		service := &s.Services[i]
		service.Endpoints = slices.Clone(service.Endpoints)
		for j := range service.Endpoints {
			service.Endpoints[j].Steps = cloneSteps(service.Endpoints[j].Steps)
		}
	}
	return s
}

func cloneSteps(steps []topology.Step) []topology.Step {
	steps = slices.Clone(steps)
	for i := range steps {
		if c := steps[i].Call; c != nil {
			copied := *c
			steps[i].Call = &copied
		}
		if w := steps[i].Work; w != nil {
			copied := *w
			steps[i].Work = &copied
		}
		steps[i].Parallel = cloneSteps(steps[i].Parallel)
	}
	return steps
}

// eachStep visits the steps of a service, those inside parallel ones included.
func eachStep(s *topology.Service, visit func(*topology.Step)) {
	var walk func(steps []topology.Step)
	walk = func(steps []topology.Step) {
		for i := range steps {
			visit(&steps[i])
			walk(steps[i].Parallel)
		}
	}
	for i := range s.Endpoints {
		walk(s.Endpoints[i].Steps)
	}
}

func eachCall(s *topology.Service, visit func(*topology.Call)) {
	eachStep(s, func(step *topology.Step) {
		if step.Call != nil {
			visit(step.Call)
		}
	})
}
