package experiment

import "github.com/microsim-dev/kubectl-microsim/model/topology"

func eachCall(s *topology.Service, visit func(*topology.Call)) {
	s.EachStep(func(step *topology.Step) {
		if step.Call != nil {
			visit(step.Call)
		}
	})
}
