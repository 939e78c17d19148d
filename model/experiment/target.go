package experiment

import (
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// CheckTarget refuses a target that a running system does not have, because a fault
// there would never act. It does not check that the caller calls the service, because
// the chain of a request may call any service.
func CheckTarget(system *topology.System, t fault.Target) error {
	service := system.Service(t.Service)
	switch {
	case service == nil:
		return fmt.Errorf("there is no service %q in system %q (%s)", t.Service, system.Name, otherServices(system, t.Service))
	case t.Replica > service.Replicas:
		return fmt.Errorf("service %q has %s, not %d", t.Service, unit.Count(service.Replicas, "replica"), t.Replica)
	case t.From != "" && system.Service(t.From) == nil:
		return fmt.Errorf("there is no service %q in system %q that could call %q (%s)", t.From, system.Name, t.Service, otherServices(system, t.From))
	case t.Endpoint != "" && !answers(service, "", t.Endpoint):
		return fmt.Errorf("service %q has no endpoint %q (%s)", t.Service, t.Endpoint, otherEndpoints(service))
	}
	return nil
}

// otherServices returns a hint with the names of services, for a name that does not
// exist.
func otherServices(system *topology.System, name string) string {
	var names []string
	for i := range system.Services {
		names = append(names, system.Services[i].Name)
	}
	known := "its services are " + strings.Join(names[:min(len(names), 20)], ", ")
	if len(names) > 20 {
		known += ", ..."
	}
	return problem.DidYouMean(name, names, known)
}

// answers reports whether a service answers a path. "/" is always there: every service
// takes chains.
func answers(s *topology.Service, method, endpoint string) bool {
	return endpoint == topology.DefaultPath || s.HasEndpoint(method, endpoint)
}

// otherEndpoints lists the endpoints of a service.
func otherEndpoints(s *topology.Service) string {
	names := []string{}
	for _, e := range s.Endpoints {
		names = append(names, strings.TrimSpace(e.Method+" "+e.Path))
	}
	return "it has " + strings.Join(names, ", ")
}
