package spec

import (
	"reflect"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// This file reads MicroSim's objects and requests.

const (
	microsimGroup     = "microsim.isala.me"
	kindSimulation    = "Simulation"
	kindLoadGenerator = "LoadGenerator"
	kindRequest       = "Request"
)

type simulationFile struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   objectMeta     `json:"metadata"`
	Spec       simulationSpec `json:"spec"`
	Status     ignored        `json:"status"`
}

type simulationSpec struct {
	// Name stands in MicroSim's own sample, without a value.
	Name     string                       `json:"name"`
	Services map[string]simulationService `json:"services"`
}

type simulationService struct {
	Language  string `json:"language"`
	Framework string `json:"framework"`
}

type loadGeneratorFile struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   objectMeta        `json:"metadata"`
	Spec       loadGeneratorSpec `json:"spec"`
	Status     ignored           `json:"status"`
}

type loadGeneratorSpec struct {
	Requests      []string      `json:"requests"`
	Replicas      *int          `json:"replicas"`
	SimulationRef simulationRef `json:"simulationRef"`
	RequestCount  int           `json:"requestCount"`
	Timeout       unit.Duration `json:"timeout"`
	BetweenDelay  unit.Duration `json:"betweenDelay"`
}

type simulationRef struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

func readMicroSim(f *file, n *node) *pending {
	switch kind := n.text("kind"); kind {
	case kindSimulation:
		return readSimulation(f, n)
	case kindLoadGenerator:
		return readLoadGenerator(f, n)
	default:
		f.mistake(n.get("kind").or(n), "kind", "write Simulation or LoadGenerator", "kind %q of %s is not known", kind, microsimGroup)
		return nil
	}
}

// readSimulation makes a service that answers at "/" of each service. Who calls
// whom is told by the requests.
func readSimulation(f *file, n *node) *pending {
	p := newPending(f, n, MicroSim, kindSimulation)
	var in simulationFile
	f.decode(n, "", reflect.ValueOf(&in).Elem())
	p.System = &topology.System{Name: behave.ServiceName(in.Metadata.Name), Namespace: in.Metadata.Namespace}
	p.moved["name"], p.moved["namespace"] = "metadata.name", "metadata.namespace"
	p.moved["services"] = "spec.services"
	services := n.get("spec").get("services")
	if services == nil || services.shape != object {
		return p
	}
	for i, field := range services.fields {
		s := topology.NewService(behave.ServiceName(field.key))
		s.Language, s.Framework = in.Spec.Services[field.key].Language, in.Spec.Services[field.key].Framework
		for _, key := range []string{"language", "framework"} {
			if field.value.get(key) == nil {
				f.mistake(field.value, "spec.services."+field.key+"."+key, "write it beside the other", "%s of service %q is missing", key, field.key)
			}
		}
		p.System.Services = append(p.System.Services, s)
		p.System.Entry = append(p.System.Entry, s.Name)
		p.moved[problem.Index("services", i)] = "spec.services." + field.key
	}
	return p
}

// endless is the duration of a load that goes on until it is stopped.
const endless = unit.Duration(0)

// readLoadGenerator makes an open loop of the ticks: each tick sends every
// request as many times as there are replicas.
func readLoadGenerator(f *file, n *node) *pending {
	p := newPending(f, n, MicroSim, kindLoadGenerator)
	var in loadGeneratorFile
	f.decode(n, "", reflect.ValueOf(&in).Elem())
	phase := load.Phase{Name: "ticks", Duration: endless, Arrivals: load.Constant, Burst: 1, Each: true, Count: in.Spec.RequestCount, Rate: 1}
	if in.Spec.Replicas != nil {
		if phase.Burst = *in.Spec.Replicas; phase.Burst < 1 {
			f.mistake(n.get("spec").get("replicas"), "spec.replicas", "write how often each request is sent in a round, 1 or more", "%d replicas send nothing", phase.Burst)
		}
	}
	if k := len(in.Spec.Requests); k > 0 {
		// MicroSim counts each request of a tick; a phase counts ticks.
		phase.Count = (phase.Count + k - 1) / k
	}
	switch between := in.Spec.BetweenDelay; {
	case n.get("spec").get("betweenDelay") == nil:
		f.mistake(n.get("spec").or(n), "spec.betweenDelay", "write the time between rounds, such as 1s", "betweenDelay is missing")
	case between < 0:
		f.mistake(n.get("spec").get("betweenDelay"), "spec.betweenDelay", "write a duration from 0 up", "betweenDelay %q is negative", between)
	case between == 0:
		phase.Count = 1 // one round, and no more
	default:
		phase.Rate = 1 / between.Seconds()
	}
	if in.Spec.Timeout > 0 {
		phase.Duration = in.Spec.Timeout
	}
	p.moved["phases[0].burst"], p.moved["phases[0].rate"] = "spec.replicas", "spec.betweenDelay"
	p.moved["phases[0].count"], p.moved["phases[0].duration"] = "spec.requestCount", "spec.timeout"
	profile := load.Profile{Phases: []load.Phase{phase}}
	for i := range in.Spec.Requests {
		at := problem.Index("spec.requests", i)
		chain := chainText(f, n.get("spec").get("requests").items[i], at)
		name := ""
		if len(in.Spec.Requests) > 1 {
			name = problem.Index(in.Metadata.Name, i)
		} else {
			name = in.Metadata.Name
		}
		profile.Requests = append(profile.Requests, load.Request{Name: name, Chain: chain, Weight: 1})
		p.moved[problem.Index("requests", i)] = at
	}
	if len(in.Spec.Requests) == 0 {
		f.mistake(n.get("spec").or(n), "spec.requests", "give at least one", "there are no requests")
	}
	p.Load = &Load{Name: behave.ServiceName(in.Metadata.Name), System: behave.ServiceName(in.Spec.SimulationRef.Name), Profile: profile.WithDefaults()}
	return p
}
