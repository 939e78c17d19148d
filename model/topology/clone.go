package topology

import "slices"

// Clone copies a system down to the calls and the work of its steps, so that these
// may be changed in place. The copy shares the values to which calls and work
// point.
func (s System) Clone() System {
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

func cloneSteps(steps []Step) []Step {
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

// EachStep visits the steps of a service, those inside parallel ones included.
func (s *Service) EachStep(visit func(*Step)) {
	var walk func(steps []Step)
	walk = func(steps []Step) {
		for i := range steps {
			visit(&steps[i])
			walk(steps[i].Parallel)
		}
	}
	for i := range s.Endpoints {
		walk(s.Endpoints[i].Steps)
	}
}
